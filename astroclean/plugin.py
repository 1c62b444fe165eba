"""Everything that the author of a plugin imports.

    from astroclean.plugin import Frame, Mask, Masker, MaskPlane, StageOptions

Names here stay; the modules that they come from may move.
"""

from astroclean.core.flags.plane_choice import PlaneChoice, pixels_to_fill
from astroclean.core.flags.planes import MaskPlane
from astroclean.core.image.frame import Frame
from astroclean.core.image.frameset import FrameSet
from astroclean.core.image.grid import Grid
from astroclean.core.image.layer import BACKGROUND, Layer, LayerSpec
from astroclean.core.length import IN_ARCSEC, IN_PIXELS
from astroclean.core.psf.psf import Psf
from astroclean.core.run_cache import cached_for_run
from astroclean.core.sources.shares import model_image, with_shares
from astroclean.core.sources.sources import Sources, SourceStamp
from astroclean.core.stage.kinds.calibrate import Calibrator
from astroclean.core.stage.kinds.deblend import MODEL, SEGMENTATION, Deblender
from astroclean.core.stage.kinds.deconvolve import Deconvolver
from astroclean.core.stage.kinds.mask import Masker
from astroclean.core.stage.kinds.remove import SourceRemover
from astroclean.core.stage.kinds.screen import Screener
from astroclean.core.stage.kinds.superres import SuperResolver
from astroclean.core.stage.masters import LeftOut, MadeMaster
from astroclean.core.stage.needs import Needs, Provides
from astroclean.core.stage.options import StageOptions
from astroclean.core.stage.resources import (
    FrameResource,
    ImageResource,
    RegionResource,
    StoredFrame,
    TableResource,
)
from astroclean.core.stage.results import (
    Calibration,
    Deconvolution,
    Mask,
    Outcome,
    Removal,
    Score,
    Separation,
    StageResult,
    Upsampling,
)
from astroclean.core.stage.scope import WHOLE, Scope, Survey
from astroclean.core.stage.stage import Stage
from astroclean.errors import AstrocleanError, AstrocleanWarning, StageError, SuspectWarning

__all__ = [
    "BACKGROUND",
    "IN_ARCSEC",
    "IN_PIXELS",
    "MODEL",
    "SEGMENTATION",
    "WHOLE",
    "AstrocleanError",
    "AstrocleanWarning",
    "Calibration",
    "Calibrator",
    "Deblender",
    "Deconvolution",
    "Deconvolver",
    "Frame",
    "FrameResource",
    "FrameSet",
    "Grid",
    "ImageResource",
    "Layer",
    "LayerSpec",
    "LeftOut",
    "MadeMaster",
    "Mask",
    "MaskPlane",
    "Masker",
    "Needs",
    "Outcome",
    "PlaneChoice",
    "Provides",
    "Psf",
    "RegionResource",
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
    "StoredFrame",
    "SuperResolver",
    "Survey",
    "SuspectWarning",
    "TableResource",
    "Upsampling",
    "cached_for_run",
    "model_image",
    "pixels_to_fill",
    "with_shares",
]
