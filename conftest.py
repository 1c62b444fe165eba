"""Settings of all tests, those of the plugins among them."""

from __future__ import annotations

from hypothesis import settings

# A busy machine is no fault of what is tested.
settings.register_profile("astroclean", deadline=None)
settings.load_profile("astroclean")
