"""Measures as pure functions on arrays: no frame, no file, no plugin."""
