"""Drives stages over frames: inputs, plans, processes, resume. Touches no pixel itself."""
