"""Take compact sources out of their holes: light and background by their equations."""
