"""Fill holes: cut-outs around them, the network, and noise as that of the surroundings."""
