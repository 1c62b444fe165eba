"""Classical methods as astroclean plugins: thin adapters over libraries of the field."""
