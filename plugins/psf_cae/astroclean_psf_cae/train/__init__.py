"""Train the network: samples, loss, scores, and the files that are shipped."""
