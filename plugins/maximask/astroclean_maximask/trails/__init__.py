"""Trails, whole: lines in what the network says and in the pixels, followed, measured, listed."""
