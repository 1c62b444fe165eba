"""What a user's folder holds for a training: darks, frames, a library of hits."""

from __future__ import annotations

import hashlib
import json
import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from astroclean.errors import AstrocleanError, AstrocleanWarning, ConfigurationError
from astroclean.io.fits.address import parse_address
from astroclean.io.frames.read import open_exposure
from astroclean.runner.plan.inputs import find_inputs
from astroclean.simulate.contaminants.cosmic_rays import HITS_FILE, load_hits
from astroclean.training.folder import TrainingFolder
from astroclean_maximask.train.frames import FrameSampleMaker, large_enough
from astroclean_maximask.train.harvest import TEST_EVERY, hits_of_files, write_hits
from astroclean_maximask.train.samples import LEAST, VALIDATION, SampleMaker

if TYPE_CHECKING:
    Maker = SampleMaker | FrameSampleMaker

__all__ = ["InstrumentData", "gather", "makers"]

_DARKS, _FRAMES = "darks", "frames"
_INVENTORY = "data.json"
_HELD_OUT = 5
"""Every fifth frame is for validation alone."""
_FEWEST = 2


@dataclass(frozen=True)
class InstrumentData:
    """What a training uses of a folder."""

    hits: Path | None
    """Library of hits: a folder or a file, as `load_hits` takes it."""
    frames: tuple[str, ...] = ()
    """Files that samples are cut from."""
    held_out: tuple[str, ...] = ()
    """Files that the samples of the validation are cut from."""
    suffix: str = ""
    """Of the folders of samples: those made of other files do not fit."""


def gather(data: Path | None, folder: Path) -> InstrumentData:
    """Find what a folder holds, and harvest the hits of its darks.

    Parameters
    ----------
    data : Path, optional
        May hold ``cosmic_rays_itl_even.fits.gz``, ``darks/`` and ``frames/``.
    folder : Path
        Of the training; takes the harvested hits and the list of files.

    Returns
    -------
    InstrumentData
        For a folder with neither darks nor frames, that folder as library of hits.

    Raises
    ------
    ConfigurationError
        There are too few frames or no hit, or files changed since the training began.
    """
    darks, frames = ([] if data is None else _files(data / name) for name in (_DARKS, _FRAMES))
    if data is None or not (darks or frames):
        return InstrumentData(data)
    suffix = _same_files([*darks, *frames], folder)
    library = data if (data / HITS_FILE).is_file() else None
    if darks:
        library = _harvested(darks, library, folder / f"hits{suffix}.fits")
    if not frames:
        return InstrumentData(library, suffix=suffix)
    usable = [file for file in frames if _is_usable(file)]
    if len(usable) < _FEWEST:
        raise ConfigurationError(
            f"{data / _FRAMES}: {len(usable)} of {len(frames)} files can be used, and two are the "
            f"least: one is for validation alone. A frame has {LEAST} x {LEAST} pixels or more."
        )
    apart = usable[::_HELD_OUT]
    learned = tuple(file for file in usable if file not in apart)
    return InstrumentData(library, learned, tuple(apart), suffix)


def makers(data: InstrumentData, *, seed: int, share: float) -> tuple[Maker, Maker]:
    """Return what makes the samples of steps, and those of the validation.

    Parameters
    ----------
    data : InstrumentData
        From `gather`.
    seed : int
        Of the training.
    share : float
        Of the samples that are cut from frames, where there are frames.

    Returns
    -------
    learned, held_out : callable
        No number and no frame is common to both.
    """
    learned = SampleMaker(seed, data.hits)
    held_out = replace(learned, offset=VALIDATION)
    if not data.frames:
        return learned, held_out
    return (
        FrameSampleMaker(learned, data.frames, share),
        FrameSampleMaker(held_out, data.held_out, share),
    )


def _files(folder: Path) -> list[str]:
    return find_inputs([str(folder)], base=Path(), twins=True).files if folder.is_dir() else []


def _same_files(files: list[str], folder: Path) -> str:
    """Keep a list of the files; return what tells it from others.

    A training that goes on must find the files that it began with: which frames are held out
    depends on them.
    """
    paths = [parse_address(file).path for file in files]
    listed = {f"{path.parent.name}/{path.name}": path.stat().st_size for path in paths}
    kept = folder / _INVENTORY
    if TrainingFolder(folder).checkpoint() is not None and kept.is_file():
        before = json.loads(kept.read_text("utf-8"))
        changed = sorted({name for name, _ in before.items() ^ listed.items()})
        if changed:
            raise ConfigurationError(
                f"data: files changed since the training began: {', '.join(changed)}. Put them "
                "back, or begin anew with `--restart`."
            )
    kept.write_text(json.dumps(listed, indent=2) + "\n", "utf-8")
    digest = hashlib.sha256(json.dumps(listed, sort_keys=True).encode()).hexdigest()
    return f"-{digest[:8]}"


def _harvested(darks: list[str], library: Path | None, path: Path) -> Path:
    if path.is_file():
        return path
    found = [hit.charge for hit in hits_of_files(darks)]
    if not found and library is None:
        raise ConfigurationError(
            f"{Path(darks[0]).parent}: no particle hit in {len(darks)} darks. Take longer ones."
        )
    kept = [hit for number, hit in enumerate(found, 1) if number % TEST_EVERY]
    apart = found[TEST_EVERY - 1 :: TEST_EVERY]
    if library is not None:
        kept += load_hits(library)
        apart += load_hits(library, test=True)
    write_hits(path, kept, apart=apart)
    return path


def _is_usable(file: str) -> bool:
    try:
        with open_exposure(file) as exposure:
            slots = large_enough(exposure)
            for slot in slots:
                # One pixel tells whether unit, DQ and header are understood.
                exposure.frame(slot, (slice(0, 1), slice(0, 1)))
            if slots:
                return True
            reason = f"no frame of {LEAST} x {LEAST} pixels"
    except AstrocleanError as error:
        reason = str(error)
    warnings.warn(f"{file}: not trained with: {reason}", AstrocleanWarning, stacklevel=3)
    return False
