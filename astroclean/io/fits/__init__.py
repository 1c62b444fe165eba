"""FITS as a container: headers, blocks and pixels, within limits."""
