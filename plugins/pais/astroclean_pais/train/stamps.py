"""Stamps to train profiles on: sources of drawn scenes, with models as they are in a sweep."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from astroclean.core.image.arrays import add_box
from astroclean.core.psf.transform import psf_transform
from astroclean_pais.models import elliptical_models
from astroclean_pais.profiles import INPUTS, profile_inputs, side_of
from astroclean_pais.train.labels import is_hidden_in
from astroclean_pais.train.scenes import DrawnScene, draw_scene

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["PER_SCENE", "STAMP", "TARGETS", "StampSampleMaker"]

STAMP = 64
"""Pixels along a stamp; of small sources a step sees the middle half."""
PER_SCENE = 12
TARGETS = ("shape", "true", "weight")
_FOUND = 3.3
_MISSED = 0.05
"""Share of sources that no model stands for, though they could be found."""
_SEEDS = 6_000_000_000
_LIMIT = 6e4
"""Of what a stored number can be."""


@dataclass(frozen=True)
class StampSampleMaker:
    """Makes the sample of a number; a function that other processes can be given."""

    seed: int
    """Of the training."""
    offset: int = 0
    """Added to numbers, for a set of its own."""
    held_out: bool = False
    """Whether galaxies are those of the validation."""

    def __call__(self, number: int) -> dict[str, NDArray[Any]]:
        """Return stamps of one scene.

        Parameters
        ----------
        number : int
            The same number gives the same bytes.

        Returns
        -------
        dict
            ``inputs``, (12, 7, 64, 64) float16; ``target``, (12, 3, 64, 64) float16 of `TARGETS`,
            the true light times 1000; ``about``, (12, 3) float32: S/N (0: no source), half-light
            radius over FWHM, FWHM.
        """
        rng = np.random.default_rng(_SEEDS + 100_000_000 * self.seed + self.offset + number)
        while True:
            scene = draw_scene(rng, held_out=self.held_out)
            known = (scene.snr > _FOUND) & ~is_hidden_in(scene)
            known &= rng.random(len(known)) >= _MISSED
            known &= (np.minimum(scene.x, scene.y) > 0) & (
                np.maximum(scene.x, scene.y) < len(scene.data) - 1
            )
            if known.any():
                return _stamps(rng, scene, np.flatnonzero(known))


def _stamps(
    rng: np.random.Generator, scene: DrawnScene, known: NDArray[np.intp]
) -> dict[str, NDArray[Any]]:
    models, fluxes, corners, offsets = _models(rng, scene, known)
    side = len(scene.data)
    room = (side + 2 * STAMP, side + 2 * STAMP)
    every, light = np.zeros(room, dtype=np.float32), np.zeros(room, dtype=np.float32)
    usable = np.zeros(room, dtype=bool)
    noise = np.ones(room, dtype=np.float32)
    inner = np.s_[STAMP : STAMP + side, STAMP : STAMP + side]
    light[inner], usable[inner], noise[inner] = scene.data, scene.usable, scene.noise
    for model, flux, corner in zip(models, fluxes, corners, strict=True):
        add_box(every, flux * model, (int(corner[0]) + STAMP, int(corner[1]) + STAMP))
    chance = np.minimum(scene.snr[known], 30.0)
    count = min(PER_SCENE, len(known))
    chosen = rng.choice(len(known), count, replace=False, p=chance / chance.sum())
    psfs = _drawn(scene, offsets[chosen], np.zeros((count, 3)), np.full(count, STAMP))
    inputs = np.zeros((PER_SCENE, len(INPUTS), STAMP, STAMP), dtype=np.float16)
    target = np.zeros((PER_SCENE, len(TARGETS), STAMP, STAMP), dtype=np.float16)
    about = np.zeros((PER_SCENE, 3), dtype=np.float32)
    for number, one in enumerate(chosen):
        row, (y, x) = known[one], corners[one] + STAMP
        box = np.s_[y : y + STAMP, x : x + STAMP]
        own = fluxes[one] * models[one]
        top, left = scene.origins[row] + STAMP
        shift = (int(top - y), int(left - x))
        image = np.zeros((STAMP, STAMP), dtype=np.float32)
        add_box(image, scene.images[row], shift)
        seen = profile_inputs(
            light[box][np.newaxis],
            own[np.newaxis],
            psfs[number][np.newaxis],
            (every[box] - own)[np.newaxis],
            usable[box][np.newaxis],
        )[0]
        inputs[number] = np.clip(seen, -_LIMIT, _LIMIT)
        whole = max(float(image.sum()), 1e-9)
        target[number, 0] = models[one] / models[one].max()
        target[number, 1] = 1000 * image / whole
        target[number, 2] = np.clip(whole * usable[box] / noise[box], 0, _LIMIT)
        width = scene.width
        about[number] = scene.snr[row], scene.radius[row] / width, width
    return {"inputs": inputs, "target": target, "about": about}


def _models(
    rng: np.random.Generator, scene: DrawnScene, known: NDArray[np.intp]
) -> tuple[NDArray[np.float32], NDArray[np.float64], NDArray[np.intp], NDArray[np.float64]]:
    """Return models of flux 1, fluxes, first pixels of the stamps, and places in them."""
    snr = scene.snr[known]
    width = scene.width
    blur = (0.03 + 0.45 / snr) * np.maximum(width, scene.radius[known])
    places = np.column_stack([scene.y, scene.x])[known]
    places = places + rng.normal(size=places.shape) * blur[:, np.newaxis]
    middle = np.rint(places).astype(np.intp)
    size = np.exp(rng.normal(0, 1, len(known)) * (0.1 + 0.6 / snr**0.7))
    stretch = 1 + 0.6 * rng.normal(size=len(known)) * (0.1 + 0.8 / snr**0.7)
    matrices = scene.moments[known] * (size**2)[:, np.newaxis]
    # A star is told a small size, a small galaxy now and then none.
    points = (0.1 * width * rng.random(len(known))) ** 2
    matrices[:, :2] = np.maximum(matrices[:, :2], points[:, np.newaxis])
    matrices[:, 0] *= np.clip(stretch, 0.5, 2)
    matrices[:, 2] *= np.clip(1 + 0.3 * rng.normal(size=len(known)), 0, 1.2)
    limit = 0.95 * np.sqrt(matrices[:, 0] * matrices[:, 1])
    matrices[:, 2] = np.clip(matrices[:, 2], -limit, limit)
    offsets = places - middle
    radius = np.sqrt(np.sqrt(np.maximum(matrices[:, 0] * matrices[:, 1], 0)))
    models = _drawn(scene, offsets, matrices, side_of(radius, width))
    corners = middle - STAMP // 2
    if rng.random() < 0.5:  # noqa: PLR2004 - half the scenes are those of a second sweep
        share = rng.uniform(0.4, 0.95)
        for number, row in enumerate(known):
            image = np.zeros((STAMP, STAMP), dtype=np.float32)
            top, left = scene.origins[row] - corners[number]
            add_box(image, scene.images[row], (int(top), int(left)))
            models[number] = (1 - share) * models[number] + share * image / scene.flux[row]
    error = np.exp(rng.normal(0, 1, len(known)) * (0.03 + 0.7 / snr))
    return models, scene.flux[known] * error, corners, offsets


def _drawn(
    scene: DrawnScene,
    offsets: NDArray[np.float64],
    matrices: NDArray[np.float64],
    sides: NDArray[np.intp],
) -> NDArray[np.float32]:
    """Return models on stamps of one size; small ones are drawn on less."""
    stamps = np.zeros((len(offsets), STAMP, STAMP), dtype=np.float32)
    fine = scene.psf.fine_at(0.0, 0.0)
    for side in (STAMP // 2, STAMP):
        rows = np.flatnonzero(np.minimum(sides, STAMP) == side)
        if not len(rows):
            continue
        transform, first = psf_transform(fine, side), (STAMP - side) // 2
        box = slice(first, first + side)
        for part in np.array_split(rows, max(len(rows) // 16, 1)):
            drawn = elliptical_models(transform, offsets[part], matrices[part], side)
            stamps[part, box, box] = np.maximum(drawn, 0)
    return stamps
