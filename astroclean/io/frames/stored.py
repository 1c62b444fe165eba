"""Frames of files that stages ask for by their headers: masters, raw frames to make them of."""

from __future__ import annotations

import glob
import json
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from astroclean.core.regular import is_there, user_path
from astroclean.core.run_cache import cached_for_run, file_version
from astroclean.core.stage.resources import StoredFrame
from astroclean.errors import FitsReadError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from astroclean.core.image.frame import Frame

__all__ = ["found_files", "stored_frames"]

_REMEMBERED = 6
"""Frames that a worker keeps: bias, dark and flat of two cameras or filters."""


def found_files(text: str, *, base: Path) -> list[Path]:
    """Return the files that a path or glob names, in order of their names.

    Parameters
    ----------
    text : str
        A path, or a glob such as ``masters/flat_*.fits``.
    base : Path
        Folder to which relative paths refer.

    Returns
    -------
    list of Path
        A path that is no glob, whether it exists or not.

    Raises
    ------
    FitsReadError
        No file matches the glob.
    """
    path = base / user_path(text)
    if is_there(path) or not glob.has_magic(text):
        return [path]
    found = [Path(name) for name in sorted(glob.glob(str(path)))]  # noqa: PTH207 - absolute too
    if not found:
        raise FitsReadError("no file matches", where=str(path), remedy="Check the option's path.")
    return found


def stored_frames(
    paths: Sequence[Path], *, instrument: str = "auto", overrides: Mapping[str, Any] | None = None
) -> tuple[StoredFrame, ...]:
    """Return all frames of files; only headers are read.

    Parameters
    ----------
    paths : sequence of Path
        FITS files.
    instrument : str
        Name, path, or ``auto`` to go by each header.
    overrides : mapping, optional
        Values that go before those of the headers, such as ``gain``.

    Returns
    -------
    tuple of StoredFrame
        In the order given; of a file in that of its HDUs.

    Raises
    ------
    FitsReadError
        A file is not FITS, is damaged or holds no image.
    """
    settings = json.dumps([instrument, dict(overrides or {})], sort_keys=True)
    return tuple(frame for path in paths for frame in _frames_of(path, settings))


def _frames_of(path: Path, settings: str) -> list[StoredFrame]:
    from astroclean.io.frames.read import open_exposure  # noqa: PLC0415 - astropy.io.fits on use

    version = file_version(path)
    with open_exposure(path, _read_settings(settings)) as exposure:
        return [
            StoredFrame(
                path.name,
                exposure.header_frame(slot),
                (int(slot.science.shape[-2]), int(slot.science.shape[-1])),
                partial(_pixels, path, settings, version, index),
            )
            for index, slot in enumerate(exposure.slots)
            if slot.color is None
        ]


def _read_settings(settings: str) -> Any:
    from astroclean.io.frames.read import ReadSettings  # noqa: PLC0415 - astropy.io.fits on use

    instrument, overrides = json.loads(settings)
    return ReadSettings(instrument, overrides)


@cached_for_run(maxsize=_REMEMBERED)
def _pixels(path: Path, settings: str, version: tuple[int, int, int], index: int) -> Frame:
    from astroclean.io.frames.read import open_exposure  # noqa: PLC0415 - astropy.io.fits on use

    if file_version(path) != version:
        raise FitsReadError(
            "was changed since its header was read",
            where=str(path),
            remedy="Run again.",
        )
    with open_exposure(path, _read_settings(settings)) as exposure:
        return exposure.frame(exposure.slots[index]).read_only()
