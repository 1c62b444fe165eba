"""astroclean as a step of the pipelines of JWST: `strun astroclean FILE`."""
