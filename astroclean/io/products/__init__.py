"""Frames, layers and catalogues to files."""
