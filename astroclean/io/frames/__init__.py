"""Files to frames: which HDUs belong together, by the rules of the instrument."""
