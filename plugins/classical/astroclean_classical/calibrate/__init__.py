"""Raw frames become images of the sky in electrons, by ccdproc; masters are made of raw frames."""

from astroclean_classical.calibrate.stage import Ccdproc, CcdprocOptions

__all__ = ["Ccdproc", "CcdprocOptions"]
