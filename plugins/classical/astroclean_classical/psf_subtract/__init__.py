"""The stage `psf-subtract`."""
