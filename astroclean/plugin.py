"""Everything that the author of a plugin imports.

    from astroclean.plugin import Frame, Mask, Masker, MaskPlane, StageOptions

Names here stay; the modules that they come from may move.
"""

from astroclean.core.frame import Frame
from astroclean.core.frameset import FrameSet
from astroclean.core.grid import Grid
from astroclean.core.kinds.deblend import Deblender
from astroclean.core.kinds.deconvolve import Deconvolver
from astroclean.core.kinds.mask import Masker
from astroclean.core.kinds.remove import SourceRemover
from astroclean.core.kinds.screen import Screener
from astroclean.core.kinds.superres import SuperResolver
from astroclean.core.layer import BACKGROUND, Layer, LayerSpec
from astroclean.core.needs import Needs, Provides
from astroclean.core.options import StageOptions
from astroclean.core.plane_choice import PlaneChoice, pixels_to_fill
from astroclean.core.planes import MaskPlane
from astroclean.core.psf import Psf
from astroclean.core.resources import ImageResource, TableResource
from astroclean.core.results import (
    Deconvolution,
    Mask,
    Outcome,
    Removal,
    Score,
    Separation,
    StageResult,
    Upsampling,
)
from astroclean.core.run_cache import cached_for_run
from astroclean.core.scope import WHOLE, Scope, Survey
from astroclean.core.sources import Sources, SourceStamp
from astroclean.core.stage import Stage
from astroclean.errors import AstrocleanError, AstrocleanWarning, StageError, SuspectWarning

__all__ = [
    "BACKGROUND",
    "WHOLE",
    "AstrocleanError",
    "AstrocleanWarning",
    "Deblender",
    "Deconvolution",
    "Deconvolver",
    "Frame",
    "FrameSet",
    "Grid",
    "ImageResource",
    "Layer",
    "LayerSpec",
    "Mask",
    "MaskPlane",
    "Masker",
    "Needs",
    "Outcome",
    "PlaneChoice",
    "Provides",
    "Psf",
    "Removal",
    "Scope",
    "Score",
    "Screener",
    "Separation",
    "SourceRemover",
    "SourceStamp",
    "Sources",
    "Stage",
    "StageError",
    "StageOptions",
    "StageResult",
    "SuperResolver",
    "Survey",
    "SuspectWarning",
    "TableResource",
    "Upsampling",
    "cached_for_run",
    "pixels_to_fill",
]
