"""Where scenes come from: a simulator, or frames of the user with truth that is added or known."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from astroclean.core.detector import Detector
from astroclean.core.psf import Psf
from astroclean.evaluation.evaluation import find_simulator
from astroclean.io.read import ReadSettings, open_exposure
from astroclean.registry.points import load_point

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

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
    name: str, *, seed: int, count: int, shape: tuple[int, int]
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

    Yields
    ------
    Scene
        One at a time.
    """
    simulator = find_simulator(name)
    for offset in range(count):
        yield simulator(seed=seed + offset, shape=shape)


def injected_scenes(
    evaluation: Evaluation,
    files: Sequence[str],
    *,
    seed: int,
    settings: ReadSettings,
    psf_fwhm: str | None = None,
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
    psf_fwhm : str, optional
        ``"2.5 pixel"`` or ``"0.9 arcsec"``: a Gaussian PSF; by default that of the instrument,
        where it is known.

    Yields
    ------
    Scene
        One at a time.
    """
    number = seed
    for file in files:
        with open_exposure(file, settings) as exposure:
            for slot in exposure.slots:
                frame = _with_psf(exposure.frame(slot), psf_fwhm)
                yield evaluation.inject(frame, seed=number)
                number += 1


def observed_scenes(
    truth: str, files: Sequence[str], *, settings: ReadSettings, psf_fwhm: str | None = None
) -> Iterator[Scene]:
    """Yield scenes of files whose truth is known from the observation itself.

    Parameters
    ----------
    truth : str
        Entry point in group ``astroclean.truths``.
    files, settings, psf_fwhm
        As for :func:`injected_scenes`.

    Yields
    ------
    Scene
        One at a time.
    """
    maker: ObservedTruth = load_point(TRUTHS_GROUP, truth, "no truth")
    for file in files:
        for scene in maker(file, settings):
            yield replace(scene, frame=_with_psf(scene.frame, psf_fwhm))


def _with_psf(frame: Frame, fwhm: str | None) -> Frame:
    detector = Detector.of(frame.meta)
    if fwhm is None:
        if detector.psf_fwhm is None or detector.pixel_scale is None:
            return frame
        fwhm = f"{detector.psf_fwhm} arcsec"
    return frame.replace(psf=Psf.from_fwhm(fwhm, pixel_scale_arcsec=detector.pixel_scale))
