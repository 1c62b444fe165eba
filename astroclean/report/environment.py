"""What a run stood on: versions for its record."""

from __future__ import annotations

import platform
from importlib import metadata

from astroclean import __version__

__all__ = ["versions"]

_LIBRARIES = (
    *("numpy", "scipy", "astropy", "pydantic", "stevedore", "photutils", "sep", "ccdproc"),
    *("astroscrappy", "maskfill", "scikit-image"),
)


def versions() -> dict[str, str]:
    """Return the versions of Python, astroclean and the libraries that are installed."""
    found = {"python": platform.python_version(), "astroclean": __version__}
    for library in _LIBRARIES:
        try:
            found[library] = metadata.version(library)
        except metadata.PackageNotFoundError:
            continue
    return found
