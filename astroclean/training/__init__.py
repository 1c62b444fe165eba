"""Train networks: one loop for all; what is learned from what comes with each plugin."""
