"""Stages that undo the PSF: Richardson-Lucy, Wiener, models, matched filter."""
