"""The stage `maximask`: network, priors, and evidence for what it flags."""
