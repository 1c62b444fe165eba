"""Super-resolution of Herschel/SPIRE maps for astroclean."""
