"""Where scenes come from: a simulator, or frames of the user with truth that is added or known."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from astroclean.config.schema import PsfConfig
from astroclean.core.points import load_point
from astroclean.evaluation.evaluation import find_simulator
from astroclean.io.address import parse_address
from astroclean.io.names import split_name
from astroclean.io.read import ReadSettings, open_exposure
from astroclean.runner.psf_source import PsfSource
from astroclean.simulate.options import configured

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from astroclean.core.frame import Frame
    from astroclean.evaluation.evaluation import Evaluation
    from astroclean.simulate.scene import Scene

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

    Yields
    ------
    Scene
        One at a time.
    """
    number = seed
    for file in files:
        with open_exposure(file, settings) as exposure:
            for slot in exposure.slots:
                frame = _with_psf(exposure.frame(slot), file, psf)
                scene = evaluation.inject(frame, seed=number)
                if told_psf is not None:
                    scene = replace(scene, frame=_with_psf(scene.frame, file, told_psf))
                yield scene
                number += 1


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
