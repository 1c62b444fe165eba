"""Flags: planes of the mask, and the conventions of others."""
