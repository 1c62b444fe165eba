"""A plugin of kind @KIND@ for astroclean."""

__version__ = "0.1.0"
