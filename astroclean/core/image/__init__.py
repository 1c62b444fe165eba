"""Images: frames and sets of them, their grids, layers, units, noise and history."""
