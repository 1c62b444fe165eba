"""The networks of deepCR (Zhang & Bloom 2020, ApJ 889, 24)."""
