"""A data model of JWST goes through a pipeline of astroclean, and what changed comes back.

The model is written as its own FITS file and read as every file is. So the instrument files, the
convention of the DQ, units and WCS are those of a run, and not a second version of them.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from astropy.io import fits

from astroclean.config.load import load_pipeline
from astroclean.core.flags.conventions import load_convention
from astroclean.errors import AstrocleanError, FrameError
from astroclean.io.frames.read import ReadSettings, open_exposure
from astroclean.runner.api import run

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from astroclean.core.flags.planes import MaskPlane
    from astroclean.report.model import FileRecord

__all__ = ["Cleaned", "cleaned"]

_PLANE, _CUBE = 2, 3
_FOR_THE_MODEL = (
    'products.name="{stem}_clean"',
    "products.science=true",
    'products.keep=["flags", "uncertainty"]',
)
"""Settings of the run: what a model has room for."""


@dataclass(frozen=True, eq=False)
class Cleaned:
    """What a pipeline found and changed. Arrays have the shape of the model's data."""

    data: NDArray[np.floating]
    changed: NDArray[np.bool_]
    """Pixels with another value than before."""
    err: NDArray[np.floating] | None
    """None where the model has none."""
    err_changed: NDArray[np.bool_]
    dq: NDArray[np.uint32]
    """Values of JWST's convention to be added (OR): those of the planes that pixels have gained."""
    untold: MaskPlane
    """Planes that pixels have gained and the convention has no value for."""
    record: FileRecord


def cleaned(model: Any, pipeline: str | Mapping[str, Any], *, settings: Sequence[str]) -> Cleaned:
    """Run a pipeline on a data model.

    Parameters
    ----------
    model : stdatamodels.jwst.datamodels.JwstDataModel
        With ``data`` of two axes, or three (integrations). Not modified.
    pipeline : str or mapping
        As for :func:`astroclean.run`.
    settings : sequence of str
        ``stage.key=value``, or ``table.key=value``.

    Returns
    -------
    Cleaned
        With the record of the run, which has its notes and what is suspect.

    Raises
    ------
    FrameError
        The data have other axes.
    AstrocleanError
        The run failed.
    """
    data = np.asarray(model.data)
    if data.ndim not in {_PLANE, _CUBE}:
        raise FrameError(
            "an image, or integrations of one, is needed",
            where=str(model.meta.filename),
            received=f"{type(model).__name__} with {data.ndim} axes",
            remedy="Run the step after the fit of ramps.",
        )
    config = load_pipeline(pipeline, settings=settings).config
    told = config.instrument
    reading = ReadSettings(told.name, told.overrides(), config.run.reject)
    # Not "astroclean-": a run clears away folders of that name that no run of it made.
    with tempfile.TemporaryDirectory(prefix="stpipe-") as folder:
        written = _written(model, Path(folder))
        report = run(
            pipeline,
            written,
            output=Path(folder) / "out",
            jobs=0,
            settings=[*settings, *_FOR_THE_MODEL],
        )
        (record,) = report.files
        if record.error is not None:
            raise AstrocleanError(record.error.rstrip("."), where=str(model.meta.filename))
        result = Path(folder) / "out" / f"{written.stem}_clean.fits"
        # An exposure that a screening stage rejected may have no output: it stays as it is.
        result = written if record.rejected_by and not result.is_file() else result
        return _compared(written, result, record, reading)


def _written(model: Any, folder: Path) -> Path:
    """Write a model under its own name, by which files of options may be named."""
    name = Path(str(model.meta.filename or "frame")).name
    path = folder / (name.removesuffix(".gz").rpartition(".")[0] or name)
    path = path.with_name(f"{path.name}.fits")
    with model.copy() as own:  # a model that is saved takes the name of its file
        own.save(str(path))
    return path


def _compared(before: Path, after: Path, record: FileRecord, reading: ReadSettings) -> Cleaned:
    data, changed = _changed(before, after, "SCI")
    assert data is not None
    err, err_changed = _changed(before, after, "ERR")
    old, new = (_flags(path, reading, data.shape) for path in (before, after))
    convention, gained = load_convention("jwst"), new & ~old
    return Cleaned(
        data=data,
        changed=changed,
        err=err,
        err_changed=err_changed,
        dq=convention.from_planes(gained, reject=reading.reject_bits).astype(np.uint32),
        untold=convention.untranslated(gained),
        record=record,
    )


def _changed(
    before: Path, after: Path, name: str
) -> tuple[NDArray[np.floating] | None, NDArray[np.bool_]]:
    """Return an image of the result, and which of its pixels differ."""
    with fits.open(before) as old, fits.open(after) as new:
        if name not in old:
            return None, np.zeros((), dtype=bool)
        was, now = np.array(old[name].data), np.array(new[name].data)
    same = (was == now) | (np.isnan(was) & np.isnan(now))
    return now, ~same


def _flags(path: Path, reading: ReadSettings, shape: tuple[int, ...]) -> NDArray[np.uint32]:
    with open_exposure(path, reading) as exposure:
        planes = [exposure.frame(slot).flags for slot in exposure.slots]
    flags: NDArray[np.uint32] = np.stack(planes).reshape(shape)
    return flags
