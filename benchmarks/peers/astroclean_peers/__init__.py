"""Published tools of the field as plugins of astroclean."""
