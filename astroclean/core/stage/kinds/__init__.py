"""The kinds of stage: one file each, found through the entry points ``astroclean.kinds``."""
