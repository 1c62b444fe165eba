"""The stage `streaks`."""
