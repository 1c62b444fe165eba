"""What stages went by, for the record: values of a frame and options, each with what told it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from astroclean.core.image.detector import DETECTOR_KEYWORDS
from astroclean.core.stage.scope import chunk_of
from astroclean.report.model import NOT_KNOWN, StageOptionsRecord, ValueRecord

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from astroclean.core.image.frame import Frame
    from astroclean.core.stage.stage import Stage
    from astroclean.io.header.values import Resolved
    from astroclean.report.model import FrameRecord
    from astroclean.runner.plan.plan import FilePlan
    from astroclean.runner.work.state import Account

__all__ = ["known_values", "options_of", "units_of", "with_measured", "with_origins"]

_UNITS = {
    "gain": "electron / adu",
    "read_noise": "electron",
    "exposure": "s",
    "pixel_scale": "arcsec",
    "psf_fwhm": "arcsec",
}
_SETTING = "setting "
_LEVEL = "saturation level"
"""Metric of a stage that finds at which value pixels are full."""


def units_of(frame: Frame) -> dict[str, str]:
    """Return the unit of each field of `Detector` that has one, for a frame."""
    return {**_UNITS, "saturation": str(frame.unit)}


def known_values(frame: Frame) -> dict[str, ValueRecord]:
    """Return the values of a frame that stages go by.

    Parameters
    ----------
    frame : Frame
        The science image after the last stage, or a chunk of it.

    Returns
    -------
    dict of str to ValueRecord
        Fields of `Detector` in their order, without the instrument, those that are not known too.
        The width is that of the PSF of the frame, where it has one.
    """
    detector, psf = frame.detector, chunk_of(frame).of_whole(frame.psf)
    units, values = units_of(frame), {}
    for name, keyword in DETECTOR_KEYWORDS.items():
        value = getattr(detector, name)
        if name == "instrument":
            continue
        if value is None:
            values[name] = ValueRecord(value=None)
        else:
            origin = _comment(frame, keyword) or f"card {keyword}"
            values[name] = ValueRecord(value=value, unit=units.get(name, ""), origin=origin)
    if psf is not None:
        width = float(psf.fwhm_pixels)
        values["psf_fwhm"] = ValueRecord(value=width, unit="pixel", origin="PSF of the file")
    return values


def _comment(frame: Frame, keyword: str) -> str:
    """Return what the reader, or a stage, noted of where a value came from."""
    comments = getattr(frame.meta, "comments", None)
    return "" if comments is None else str(comments[keyword]).strip()


def with_measured(
    values: Mapping[str, ValueRecord], account: Account, unit: str | None
) -> dict[str, ValueRecord]:
    """Return values with what the pipeline told or measured on the way.

    Parameters
    ----------
    values : mapping of str to ValueRecord
        As :func:`known_values` gives them.
    account : Account
        What the stages said of the frame.
    unit : str or None
        Of the pixels; None where they became others on the way, and levels were of the old ones.
    """
    told = dict(values)
    if account.psf_origin and told["psf_fwhm"].unit == "pixel":
        origin = account.psf_origin.rpartition("; ")[0] or account.psf_origin
        told["psf_fwhm"] = told["psf_fwhm"].model_copy(update={"origin": origin})
    for stage, metrics in account.metrics.items():
        level = metrics.get(_LEVEL, math.nan)
        if unit is not None and math.isfinite(level) and level != told["saturation"].value:
            origin = f"stage '{stage}'"
            told["saturation"] = ValueRecord(value=float(level), unit=unit, origin=origin)
    return told


def with_origins(
    record: FrameRecord, resolved: Mapping[str, Resolved], layers: Mapping[str, str]
) -> FrameRecord:
    """Return the record of a frame with the whole of what told its values.

    Parameters
    ----------
    record : FrameRecord
        As it was made of pixels and cards, whose comments hold 40 characters.
    resolved : mapping of str to Resolved
        What headers, instrument and settings told when the frame was read.
    layers : mapping of str to str
        ``instrument.gain`` and the like to the layer of the pipeline that set it.
    """
    told = dict(record.values)
    for name, known in record.values.items():
        read = resolved.get(name)
        if read is None or known.origin == NOT_KNOWN or not read.origin.startswith(known.origin):
            continue
        if record.is_calibrated and known.value != read.value:
            origin = f"calibration; {read.origin} told {read.value}"
            told[name] = known.model_copy(update={"origin": origin})
            continue
        setting = read.origin.removeprefix(_SETTING)
        layer = layers.get(setting, "pipeline")
        is_set = read.origin.startswith(_SETTING)
        origin = f"{setting} ({layer})" if is_set else read.origin
        told[name] = known.model_copy(update={"origin": origin})
    return record.model_copy(update={"values": told})


def options_of(plan: FilePlan, stages: Sequence[Stage]) -> dict[str, StageOptionsRecord]:
    """Return the options that counted for each stage of a plan.

    Parameters
    ----------
    plan : FilePlan
        What was to be done; tells which layer set an option.
    stages : sequence of Stage
        As they were built.
    """
    given: dict[str, Mapping[str, Any]] = {spec.name: spec.options for spec in plan.specs}
    layers = plan.pipeline.origins
    of_instrument = f"instrument '{plan.instrument}'"
    return {
        stage.name: StageOptionsRecord(
            values=stage.options.record(),
            origins={
                key: layers.get(f"{stage.name}.{key}", of_instrument)
                for key in given.get(stage.name, {})
            },
        )
        for stage in stages
    }
