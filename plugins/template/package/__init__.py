"""A plugin of kind PLUGIN_KIND for astroclean."""

__version__ = "0.1.0"
