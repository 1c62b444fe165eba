"""Network cards and weights: what a network is, and whether it is that."""
