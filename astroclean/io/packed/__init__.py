"""Compressed files and tiles, decoded within limits."""
