"""Where scenes come from: a simulator, or frames of the user with truth that is added or known."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from astroclean.config.schema import PsfConfig
from astroclean.core.image.frameset import FrameSet
from astroclean.core.sources.points import load_point
from astroclean.errors import ConfigurationError
from astroclean.evaluation.evaluation import JudgesSets, find_simulator
from astroclean.io.fits.address import parse_address
from astroclean.io.frames.read import ReadSettings, open_exposure
from astroclean.io.products.names import split_name
from astroclean.runner.plan.psf_source import PsfSource
from astroclean.runner.plan.units import grouped
from astroclean.simulate.options import configured
from astroclean.simulate.scene import Scene

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from astroclean.core.image.frame import Frame
    from astroclean.evaluation.evaluation import Evaluation

__all__ = [
    "TRUTHS_GROUP",
    "ObservedTruth",
    "injected_scenes",
    "observed_scenes",
    "simulated_scenes",
]

TRUTHS_GROUP = "astroclean.truths"


class ObservedTruth(Protocol):
    """Makes scenes of a file whose truth is known; entry points in ``astroclean.truths``."""

    def __call__(self, path: str, settings: ReadSettings) -> Iterator[Scene]:
        """Yield the scenes of a file."""


def simulated_scenes(
    name: str,
    *,
    seed: int,
    count: int,
    shape: tuple[int, int],
    settings: Mapping[str, Any] | None = None,
) -> Iterator[Scene]:
    """Yield scenes of a simulator, with seeds from ``seed`` on.

    Parameters
    ----------
    name : str
        Entry point in group ``astroclean.simulators``.
    seed, count : int
        First seed; how many scenes.
    shape : (int, int)
        (ny, nx) in pixels.
    settings : mapping of str to object, optional
        Options of the simulator, as for :func:`astroclean.simulate.options.configured`.

    Returns
    -------
    iterator of Scene
        Made one at a time; what is wrong with name or options is told at once.
    """
    simulator = configured(find_simulator(name), settings or {})
    return (simulator(seed=number, shape=shape) for number in range(seed, seed + count))


def injected_scenes(
    evaluation: Evaluation,
    files: Sequence[str],
    *,
    seed: int,
    settings: ReadSettings,
    psf: PsfConfig | None = None,
    told_psf: PsfConfig | None = None,
    bands: Mapping[str, str] | None = None,
) -> Iterator[Scene]:
    """Yield every frame of some files with truth added.

    Parameters
    ----------
    evaluation : Evaluation
        Knows what to add.
    files : sequence of str
        Paths, with an HDU address or without.
    seed : int
        Of the first frame; each has one of its own.
    settings : ReadSettings
        How files are read.
    psf : PsfConfig, optional
        Where the PSF comes from, as in a pipeline; by default a Gaussian as wide as the
        instrument's, where that is known.
    told_psf : PsfConfig, optional
        PSF that the frame has afterwards, where it is to be another than that of what was added.
    bands : mapping of str to str, optional
        Band to file-name pattern with one ``*``, or to ``[HDU]``, as in a pipeline: the scenes
        have several bands.

    Yields
    ------
    Scene
        One at a time.
    """
    for index, (field, slots) in enumerate(_fields(files, bands or {}, settings)):
        found = {
            band: _with_psf(frame, file, psf)
            for (band, file), frame in zip(field.items(), slots, strict=True)
        }
        scene = _injected(evaluation, found, seed + index)
        if told_psf is not None:
            told = {
                band: replace(one, frame=_with_psf(one.frame, field[band], told_psf))
                for band, one in scene.by_band.items()
            }
            scene = replace(scene, bands=told) if scene.bands else told[""]
        yield scene


def _fields(
    files: Sequence[str], bands: Mapping[str, str], settings: ReadSettings
) -> Iterator[tuple[dict[str, str], tuple[Frame, ...]]]:
    """Yield the file of each band, and a frame of each, field by field."""
    if not bands:
        fields = [{"": file} for file in files]
    elif all(text.startswith("[") for text in bands.values()):
        fields = [{band: f"{file}{hdu}" for band, hdu in bands.items()} for file in files]
    else:
        fields = grouped(files, [parse_address(file).path.name for file in files], bands)
    for field in fields:
        with ExitStack() as stack:
            opened = [stack.enter_context(open_exposure(f, settings)) for f in field.values()]
            counts = {len(exposure.slots) for exposure in opened}
            if len(counts) > 1:
                raise ConfigurationError(
                    f"{', '.join(field.values())}: bands of one field must have the same number of "
                    "frames"
                )
            for slots in zip(*(exposure.slots for exposure in opened), strict=True):
                pairs = zip(opened, slots, strict=True)
                yield field, tuple(exposure.frame(slot) for exposure, slot in pairs)


def _injected(evaluation: Evaluation, frames: dict[str, Frame], seed: int) -> Scene:
    if "" in frames:
        return evaluation.inject(frames[""], seed=seed)
    if isinstance(evaluation, JudgesSets):
        return evaluation.inject_set(FrameSet(frames), seed=seed)
    # What one band is hit by does not hit another.
    seeds = np.random.SeedSequence(seed).generate_state(len(frames))
    pairs = zip(frames.items(), seeds, strict=True)
    return Scene.of_bands({b: evaluation.inject(f, seed=int(own)) for (b, f), own in pairs})


def observed_scenes(
    truth: str, files: Sequence[str], *, settings: ReadSettings, psf: PsfConfig | None = None
) -> Iterator[Scene]:
    """Yield scenes of files whose truth is known from the observation itself.

    Parameters
    ----------
    truth : str
        Entry point in group ``astroclean.truths``.
    files, settings, psf
        As for :func:`injected_scenes`.

    Yields
    ------
    Scene
        One at a time.
    """
    maker: ObservedTruth = load_point(TRUTHS_GROUP, truth, "no truth")
    for file in files:
        for scene in maker(file, settings):
            yield replace(scene, frame=_with_psf(scene.frame, file, psf))


def _with_psf(frame: Frame, file: str, config: PsfConfig | None) -> Frame:
    if config is None:
        detector = frame.detector
        if detector.psf_fwhm is None or detector.pixel_scale is None:
            return frame
        config = PsfConfig(instrument=True)
    stem, _ = split_name(parse_address(file).path)
    psf, _ = PsfSource(config, Path(), stem).psf_for(frame)
    return frame.replace(psf=psf)
