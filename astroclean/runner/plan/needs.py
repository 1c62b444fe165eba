"""Refuse an order of stages in which a need cannot be met, before the first pixel."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from astropy.nddata import StdDevUncertainty

from astroclean.core.flags.planes import MaskPlane
from astroclean.core.suggest import did_you_mean
from astroclean.errors import ConfigurationError, NeedError
from astroclean.runner.work.finish import RESIDUAL
from astroclean.runner.work.remarks import Remarks
from astroclean.runner.work.stages import faults_named

if TYPE_CHECKING:
    from collections.abc import Sequence

    from astroclean.config.schema import PipelineConfig
    from astroclean.core.psf.psf import Psf
    from astroclean.core.stage.stage import Stage
    from astroclean.io.frames.read import Exposure
    from astroclean.runner.plan.psf_source import PsfSource

__all__ = ["check_headers", "check_kept", "check_needs"]


def check_needs(stages: Sequence[Stage], exposure: Exposure, config: PipelineConfig) -> None:
    """Check that each stage finds what it needs in the file or through an earlier stage.

    Parameters
    ----------
    stages : sequence of Stage
        In order.
    exposure : Exposure
        The input; only its headers are looked at.
    config : PipelineConfig
        For ``[psf]`` and ``[bands]``.

    Raises
    ------
    NeedError
        The first need that cannot be met, with the stage and what to do.
    """
    fields, planes = _present(exposure)
    if config.psf is not None:
        fields.add("psf")
    for stage in stages:
        where = f"stage '{stage.name}' on {exposure.source.path.name}"
        _check_bands(stage, config, where)
        _check_colors(stage, exposure, where)
        needs = stage.needs()
        missing = sorted(needs.fields - fields)
        if missing:
            raise NeedError(
                f"needs {', '.join(missing)}, which neither the file nor an earlier stage gives",
                where=where,
                remedy=_remedy(missing),
            )
        if needs.planes and not needs.planes & planes:
            names = ", ".join(str(p.name) for p in MaskPlane if p & needs.planes)
            raise NeedError(
                f"needs flags of {names}, which no earlier stage sets and the file's DQ lacks",
                where=where,
                remedy="Put a stage of kind `mask` that finds them before it.",
            )
        fields |= stage.provides().fields
        planes |= stage.provides().planes


_OF_EVERY_RUN = ("flags", "uncertainty", "sources", "votable", "tables", "regions", "stamps")
_OF_SOME_STAGES = ("probabilities", "background", "removed")
"""Layers that a pipeline may ask for whatever its stages are: what ready pipelines share."""


def check_kept(stages: Sequence[Stage], config: PipelineConfig) -> None:
    """Check that each word of ``[products] keep`` is of a layer that a stage may give.

    Parameters
    ----------
    stages : sequence of Stage
        Of the pipeline.
    config : PipelineConfig
        For ``[products]``.

    Raises
    ------
    ConfigurationError
        With every word that names nothing, or a segmentation that no stage gives.
    """
    declared = [spec.word for stage in stages for spec in stage.layers()]
    known = {*_OF_EVERY_RUN, *_OF_SOME_STAGES, RESIDUAL.word, *declared}
    problems = [
        f"products.keep: no stage of this pipeline gives '{word}'. {did_you_mean(word, known)} "
        f"It may be {', '.join(sorted(known))}."
        for word in config.products.keep
        if word not in known
    ]
    if config.products.segmentation and not any(
        "segmentation" in stage.provides().fields for stage in stages
    ):
        problems.append(
            "products.segmentation: no stage of this pipeline tells which pixels are whose. "
            "Add one of kind `deblend`, such as `sep`."
        )
    if problems:
        raise ConfigurationError(problems)


def check_headers(
    stages: Sequence[Stage], exposure: Exposure, psf_source: PsfSource | None
) -> None:
    """Check that headers tell what the stages and the PSF need to know of each frame.

    Parameters
    ----------
    stages : sequence of Stage
        In order.
    exposure : Exposure
        The input; only its headers are looked at.
    psf_source : PsfSource or None
        Where the PSF comes from.

    Raises
    ------
    UnitError
        The unit of the pixels is not told.
    PsfError, StageError
        What a run would end with for this file.
    """
    psfs: dict[tuple[Any, ...], Psf] = {}
    uses_psf = psf_source is not None and any(s.needs().uses_psf for s in stages)
    for slot in exposure.slots:
        frame = exposure.header_frame(slot)
        if uses_psf and psf_source is not None:
            detector = frame.detector
            key = detector.pixel_scale, detector.psf_fwhm
            if key not in psfs:
                psfs[key] = psf_source.psf_expected(frame)
            frame = frame.replace(psf=psfs[key])
        for stage in stages:
            with faults_named(stage, frame.frame_id, Remarks()):
                stage.check_header(frame)
            if "uncertainty" in stage.provides().fields and frame.uncertainty is None:
                one = StdDevUncertainty(np.ones((1, 1), dtype=np.float32))
                frame = frame.replace(uncertainty=one)


def _check_colors(stage: Stage, exposure: Exposure, where: str) -> None:
    if not stage.takes_colors and any(slot.color is not None for slot in exposure.slots):
        raise NeedError(
            "each color of a mosaic has every second pixel of the sky, which is no image to a "
            f"stage of kind '{stage.kind}'",
            where=where,
            remedy="Interpolate the colors first (debayer), then run this stage.",
        )


def _check_bands(stage: Stage, config: PipelineConfig, where: str) -> None:
    if "frame" not in stage.accepts and not config.bands:
        raise NeedError("works on several bands together; give `[bands]`", where=where)
    absent = [band for band in stage.needs().bands if band not in config.bands]
    if absent:
        raise NeedError(f"needs bands {', '.join(absent)} in `[bands]`", where=where)


def _present(exposure: Exposure) -> tuple[set[str], MaskPlane]:
    """Return the fields and planes that frames of a file have when they are read."""
    fields, planes = {"flags"}, MaskPlane.NO_DATA
    first = exposure.slots[0]
    header = exposure.source.header(first.science.index)
    if {"error", "variance", "inverse_variance"} & set(first.companions):
        fields.add("uncertainty")
    if header.get("CTYPE1"):
        fields.add("wcs")
    if exposure.instrument.trim_keyword and exposure.instrument.trim_keyword in header:
        planes |= MaskPlane.OVERSCAN
    if "dq" in first.companions:
        told = exposure.masks.declared(first)
        planes |= MaskPlane.BAD_PIXEL if told is None else told.convention.provides
    return fields, planes


def _remedy(missing: Sequence[str]) -> str:
    if "psf" in missing:
        return 'Give `[psf]` with `file`, `fwhm = "0.9 arcsec"` or `estimate = true`.'
    return "Put a stage that provides it before; `astroclean plugins list` shows which do."
