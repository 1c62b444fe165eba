"""Measure what the numbers of `psf-cae` mean on stamps, and write it beside the network's card.

    OMP_NUM_THREADS=1 python benchmarks/psf_cae_calibrate.py --first 70000 --count 600

Stamps are those of simulator ``stamps``, all families, of seeds that no evaluation has. Errors are
scaled, and get a floor, so that 68 and 95 % hold in the fainter and the brighter half alike;
fluxes are corrected by the mean of recovered over true at their S/N.
"""

from __future__ import annotations

import argparse
import itertools
from pathlib import Path
from typing import TYPE_CHECKING, Any

import astroclean_psf_cae
import numpy as np
from astroclean_psf_cae.calibration import Calibration, ErrorScale, PixelError
from astroclean_psf_cae.renormalize import fitted_flux_correction
from astroclean_psf_cae.stage import PsfCae, PsfCaeOptions

from astroclean.evaluation.metrics.deconvolve import shape_of
from astroclean.evaluation.target import true_image
from astroclean.simulate.galaxies import GalaxyRange
from astroclean.simulate.held_out import EVERY_KIND
from astroclean.simulate.stamps import StampConfig, simulate_stamp

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Row = dict[str, float]

_CARD = Path(astroclean_psf_cae.__file__).parent / "cards" / "psf-cae-astroclean.calibration.toml"
_CONFIG = StampConfig(kinds=EVERY_KIND, blank=0.1, galaxy=GalaxyRange(half_light_radius=(1.0, 6.0)))
_SCALES = np.geomspace(0.15, 4.0, 25)
_FLOORS = (0.0, *np.geomspace(0.002, 0.2, 24))
_WANTED = (0.683, 0.954)
_PARTS = np.array([0.0, 0.002, 0.005, 0.01, 0.015, 0.02, 0.03, 0.04, 0.06, 0.08, 0.12])
"""Of what is added to errors of pixels."""
_FEW = 400
"""Pixels of a stamp that are taken by chance, beside those with light."""


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--first", type=int, default=70000)
    parser.add_argument("--count", type=int, default=600)
    parser.add_argument("--weights", default="astroclean")
    parser.add_argument("--out", type=Path, default=_CARD)
    given = parser.parse_args()
    told = calibrated(range(given.first, given.first + given.count), given.weights)
    given.out.write_text(_toml(told), "utf-8")
    print(given.out.read_text("utf-8"))


def calibrated(seeds: range, weights: str) -> Calibration:
    """Return the calibration of stamps."""
    stage = PsfCae(PsfCaeOptions(weights=weights, draws=0))
    # Not what an earlier calibration made of the numbers.
    stage.calibration = Calibration()
    rows: list[Row] = []
    pixels: list[NDArray[Any]] = []
    for seed in seeds:
        _measure(stage, seed, rows, pixels)
    of = {name: np.array([row[name] for row in rows]) for name in rows[0]}
    seen = of["snr"] > stage.calibration.snr
    correction = fitted_flux_correction(of["snr"][seen], (of["flux"] / of["true_flux"])[seen])
    flux = of["flux"] / correction.factor(of["snr"])
    half = of["snr"] > np.median(of["snr"][seen])
    places = np.concatenate([of["x"] - of["true_x"], of["y"] - of["true_y"]])
    shapes = np.concatenate([of["e1"] - of["true_e1"], of["e2"] - of["true_e2"]])
    twice = np.tile(seen, 2)
    return Calibration(
        snr=stage.calibration.snr,
        pixel=_pixel_error(np.concatenate(pixels, axis=1)),
        flux=_scaled((flux - of["true_flux"], of["flux_err"], of["true_flux"]), half, seen),
        place=_scaled(
            (places, np.concatenate([of["x_err"], of["y_err"]]), np.tile(of["fwhm"], 2)),
            np.tile(half, 2),
            twice,
        ),
        size=_scaled((of["size"] - of["true_size"], of["size_err"], of["true_size"]), half, seen),
        shape=_scaled(
            (shapes, np.concatenate([of["e1_err"], of["e2_err"]]), np.ones(2 * len(half))),
            np.tile(half, 2),
            twice,
        ),
        flux_correction=correction,
    )


def _measure(stage: PsfCae, seed: int, rows: list[Row], pixels: list[NDArray[Any]]) -> None:
    """Add what a stamp tells: its source, and errors of pixels over those told."""
    scene = simulate_stamp(seed=seed, config=_CONFIG)
    result = stage.run(scene.frame.replace(sources=scene.catalogue))
    true, frame = true_image(scene), result.frame
    assert frame.uncertainty is not None
    assert scene.frame.psf is not None
    noise = float(np.median(scene.frame.noise("scatter")))
    lit = true > noise
    few = np.random.default_rng(seed).random(true.shape) < _FEW / true.size
    images = (frame.data - true, frame.uncertainty.array, frame.data, lit * noise)
    pixels.append(np.stack([image[lit | few] / noise for image in images]))
    if not float(scene.notes["snr"]):
        return
    assert scene.sources is not None
    (source,), table = scene.sources.table, result.tables["moments"]
    if not len(table):
        return
    width = scene.frame.psf.fwhm_pixels
    shape = shape_of(true, center=(source["x"], source["y"]), radius=max(width, 3.0))
    row = {name: float(getattr(table[name][0], "value", table[name][0])) for name in table.colnames}
    truth = {"x": source["x"], "y": source["y"], "flux": scene.notes["flux"]}
    truth |= {"size": shape.size, "e1": shape.e1, "e2": shape.e2}
    rows.append({**row, "fwhm": width, **{f"true_{n}": float(v) for n, v in truth.items()}})


def _pixel_error(pixels: NDArray[Any]) -> PixelError:
    """Return what makes errors of pixels hold what they say: sky, faint and bright light alike."""
    off, told, image, lit = pixels
    sky, light = lit == 0, lit > 0
    bright = light & (image > np.median(image[light]))
    best, least = PixelError(), np.inf
    for scale, floor, part in itertools.product(_SCALES, _PARTS, _PARTS):
        error = PixelError(scale=float(scale), floor=float(floor), relative=float(part))
        pull = np.abs(off) / np.maximum(error.of(told, image), 1e-9)
        # Errors have longer tails than a Gaussian: of both, the wider interval counts more.
        miss = sum(
            limit**2 * (np.mean(pull[kind] < limit) - share) ** 2
            for kind in (sky, light & ~bright, bright)
            for limit, share in zip((1, 2), _WANTED, strict=True)
        )
        if miss < least:
            best, least = error, miss
    pull = np.abs(off) / best.of(told, image)
    for name, kind in (("sky", sky), ("faint", light & ~bright), ("bright", bright)):
        print(f"# {name}: {[round(float(np.mean(pull[kind] < limit)), 3) for limit in (1, 2)]}")
    return best


def _scaled(
    parts: tuple[NDArray[Any], NDArray[Any], NDArray[Any]],
    half: NDArray[np.bool_],
    seen: NDArray[np.bool_],
) -> ErrorScale:
    """Return scale and floor by which errors hold what they say, in both halves."""
    off, error, unit = parts
    known = seen & np.isfinite(off) & np.isfinite(error)

    def miss(scale: float, floor: float) -> float:
        told = np.hypot(scale * error, floor * np.abs(unit))
        pull = np.abs(off) / told
        return sum(
            (np.mean(pull[part & known] < limit) - share) ** 2
            for part in (half, ~half)
            for limit, share in zip((1, 2), _WANTED, strict=True)
        )

    scale, floor = min(itertools.product(_SCALES, _FLOORS), key=lambda pair: miss(*pair))
    return ErrorScale(scale=round(float(scale), 4), floor=round(float(floor), 5))


def _toml(told: Calibration) -> str:
    lines = ["# Written by benchmarks/psf_cae_calibrate.py"]
    values = told.model_dump()
    lines += [f"{key} = {value:.6g}" for key, value in values.items() if isinstance(value, float)]
    for key, table in values.items():
        if isinstance(table, dict):
            lines += ["", f"[{key}]", *(f"{name} = {_told(one)}" for name, one in table.items())]
    return "\n".join(lines) + "\n"


def _told(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(f'{one:.6g}' for one in value)}]"
    return f"{value:.6g}"


if __name__ == "__main__":
    main()
