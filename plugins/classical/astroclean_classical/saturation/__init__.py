"""The stage `saturation`."""
