"""Temporary files, and files that appear when they are whole."""
