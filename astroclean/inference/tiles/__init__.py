"""Networks over whole frames, tile by tile."""
