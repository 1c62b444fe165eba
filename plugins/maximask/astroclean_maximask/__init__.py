"""MaxiMask and MaxiTrack (Paillassa, Bertin & Bouy 2020, A&A 634, A48)."""
