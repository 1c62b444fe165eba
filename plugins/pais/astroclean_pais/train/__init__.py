"""Train the networks: samples, losses, scores, and the files that are shipped."""
