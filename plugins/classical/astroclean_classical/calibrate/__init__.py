"""Raw frames become images of the sky in electrons, by ccdproc; masters are made of raw frames."""

from importlib.util import find_spec

if find_spec("ccdproc") is None:  # told where the plugin is loaded, so that `doctor` lists it
    raise ModuleNotFoundError(
        "the package ccdproc is not installed; `python -m pip install ccdproc` brings it",
        name="ccdproc",
    )

from astroclean_classical.calibrate.stage import Ccdproc, CcdprocOptions

__all__ = ["Ccdproc", "CcdprocOptions"]
