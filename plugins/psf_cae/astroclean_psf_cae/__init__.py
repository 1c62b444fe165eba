"""Deconvolution with a known PSF: a fit, filters, and a network that knows what to take of each."""
