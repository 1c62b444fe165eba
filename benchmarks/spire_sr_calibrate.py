"""Measure what the numbers of `spire-sr` mean on simulated fields, and write it beside its card.

    OMP_NUM_THREADS=1 python benchmarks/spire_sr_calibrate.py --first 90000 --count 8

Fields are those of the simulator ``far-infrared`` as it draws them by default, of seeds that no
evaluation has, for each set of bands at each noise. What an entry means depends on both.
"""

from __future__ import annotations

import argparse
import itertools
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import astroclean_spire_sr
import numpy as np
from astroclean_spire_sr.calibration import Calibration, Depth, Line
from astroclean_spire_sr.stage import SpireOptions, SpireSuperResolver
from scipy.spatial import cKDTree

from astroclean.simulate.far_infrared.band import MapRange
from astroclean.simulate.far_infrared.scene import FarInfraredConfig, simulate_far_infrared

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from astroclean.simulate.scene import Scene

    Values = NDArray[np.float64]

_CARD = Path(astroclean_spire_sr.__file__).parent / "cards" / "spire-sr-astroclean.calibration.toml"
_BANDS = (("250", "350", "500"), ("250", "350", "500", "24"), ("250",), ("250", "24"))
_NOISE = (1.5, 3.0, 6.0)
_SHAPE = (220, 220)
_LEAST_SCORE = 0.05
_FLUXES = np.log(np.array([0.8, 1.2, 1.8, 2.5, 3.5, 5.0, 7.0, 10.0, 14.0, 20.0, 30.0, 60.0]))
"""Edges of bins, logarithms of mJy."""
_SCORES = np.array([0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.55, 0.7, 0.85, 0.95, 1.0])
_FEW = 25
_RADIUS = 12.0
"""Arcsec, pixels of the fine grid."""
_BORDER = 30.0
_REAL, _SHARE = 1.0, 0.5
_SIGMA = 0.683


class Matched(NamedTuple):
    """Entries of catalogues, and true sources, of some fields."""

    flux: Values
    error: Values
    score: Values
    true: Values
    """Of each entry; NaN where there is none."""
    sources: Values
    """Fluxes of all true sources."""
    found: NDArray[np.bool_]
    """Whether each is in the catalogue."""


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--first", type=int, default=90000)
    parser.add_argument("--count", type=int, default=8)
    parser.add_argument("--weights", default="astroclean")
    parser.add_argument("--threshold", type=float, default=0.25)
    parser.add_argument("--out", type=Path, default=_CARD)
    given = parser.parse_args()
    told = calibrated(given.weights, range(given.first, given.first + given.count), given.threshold)
    given.out.write_text(_toml(told), "utf-8")
    Calibration.model_validate(tomllib.loads(given.out.read_text("utf-8")))
    print(given.out.read_text("utf-8"))


def calibrated(weights: str, seeds: range, threshold: float) -> Calibration:
    """Return the calibration of a network."""
    stage = SpireSuperResolver(SpireOptions(weights=weights))
    depths, pixels = [], []
    for bands in _BANDS:
        for noise in _NOISE:
            # Not what an earlier calibration made of the numbers; faint entries, too.
            stage.calibration = Calibration(threshold=_LEAST_SCORE)
            maps = MapRange(noise=(noise, noise), noise_ratio=(1.0, 1.0))
            config = FarInfraredConfig(bands=bands, maps=maps)
            parts = []
            for seed in seeds:
                scene = simulate_far_infrared(seed=seed, shape=_SHAPE, config=config)
                result = stage.run_set(scene.frames)["250"]
                layer = result.layers["SUPERRES"]
                assert scene.fine is not None
                pixels.append(_errors(layer.data, layer.uncertainty, scene.fine.data, seed))
                parts.append(_matched(scene, result.frame.sources, threshold))
            depths.append(_depth(bands, noise, parts, threshold))
            print(depths[-1], flush=True)
    scale, floor = _pixel_error(np.concatenate(pixels, axis=1))
    return Calibration(
        threshold=threshold, error_scale=scale, error_floor=floor, depths=tuple(depths)
    )


def _errors(image: Any, told: Any, true: Any, seed: int) -> Values:
    """Return errors and what is told of them, of some pixels."""
    chosen = np.random.default_rng(seed).random(image.shape) < 20_000 / image.size
    chosen &= np.isfinite(image)
    return np.stack([np.abs(image - true)[chosen], told[chosen]]).astype(float)


def _pixel_error(pixels: Values) -> tuple[float, float]:
    """Return scale and floor by which errors of pixels hold in both halves of what is told."""
    off, told = pixels
    high = told > np.quantile(told, 0.8)
    best, least = (1.0, 0.0), np.inf
    for scale in np.geomspace(0.4, 3.0, 30):
        for floor in (0.0, 0.02, 0.05, 0.08, 0.1, 0.15, 0.2, 0.3):
            pull = off / np.hypot(scale * told, floor)
            miss = sum((np.mean(pull[part] < 1) - _SIGMA) ** 2 for part in (high, ~high))
            if miss < least:
                best, least = (float(scale), floor), miss
    return best


def _matched(scene: Scene, found: Any, threshold: float) -> Matched:
    """Match entries and true sources one to one, bright ones first."""
    assert scene.sources is not None
    assert scene.fine is not None
    assert scene.fine.grid is not None
    table, true = found.table, scene.sources.table
    step = scene.fine.grid.step
    flux = np.asarray(table["flux"].value)
    score = np.asarray(table["reliability"], dtype=float)
    place = np.column_stack([np.asarray(table[name], dtype=float) for name in ("x", "y")])
    every = np.asarray(true["flux"], dtype=float)
    real = every >= _REAL
    sky = np.column_stack([(np.asarray(true[n], float) + 0.5) / step - 0.5 for n in ("x", "y")])
    every, sky = every[real], sky[real]
    partner = np.full(len(flux), -1)
    tree = cKDTree(place)
    for index in np.argsort(-every):
        near = [j for j in tree.query_ball_point(sky[index], _RADIUS) if partner[j] < 0]
        if near:
            away = np.hypot(*(place[near] - sky[index]).T)
            # Of several, that whose flux and place fit best.
            off = (away / 4) ** 2 + (np.log(flux[near] / every[index]) / 0.5) ** 2
            partner[near[int(np.argmin(off))]] = index
    ny, nx = scene.fine.grid.shape

    def inner(places: Values) -> NDArray[np.bool_]:
        low = (places > _BORDER).all(axis=1)
        return np.asarray(low & (places[:, 0] < nx - _BORDER) & (places[:, 1] < ny - _BORDER))

    got = np.zeros(len(every), dtype=bool)
    listed = partner[(partner >= 0) & (score >= threshold)]
    got[listed] = True
    own, there = inner(place), inner(sky)
    partners = np.where(partner >= 0, every[np.maximum(partner, 0)], np.nan)
    return Matched(
        flux[own],
        np.asarray(table["flux_err"].value)[own],
        score[own],
        partners[own],
        every[there],
        got[there],
    )


def _depth(bands: tuple[str, ...], noise: float, parts: list[Matched], threshold: float) -> Depth:
    all_of = Matched(*(np.concatenate(values) for values in zip(*parts, strict=True)))
    logarithm, listed = np.log(all_of.flux), all_of.score >= threshold
    real = np.isfinite(all_of.true) & (all_of.true >= _SHARE * all_of.flux)
    score = np.clip(all_of.score, 1e-6, 1 - 1e-6)
    reliability = _line(np.log(score / (1 - score)), real.astype(float), _logit(_SCORES), np.mean)
    known = listed & np.isfinite(all_of.true)
    off = np.log(all_of.true[known]) - logarithm[known]
    flux = _line(logarithm[known], off, _FLUXES, np.median)
    corrected = all_of.flux[known] * np.exp(flux.at(logarithm[known]))
    error = all_of.error[known] * np.exp(flux.at(logarithm[known]))
    pull = np.abs(corrected - all_of.true[known]) / error
    flux_error = _line(logarithm[known], pull, _FLUXES, lambda x: float(np.quantile(x, _SIGMA)))
    completeness = _line(np.log(all_of.sources), all_of.found.astype(float), _FLUXES, np.mean)
    return Depth(
        bands=bands,
        noise=noise,
        completeness=completeness,
        reliability=reliability,
        flux=flux,
        flux_error=flux_error,
    )


def _logit(share: Values) -> Values:
    inside = np.clip(share, 1e-6, 1 - 1e-6)
    return np.asarray(np.log(inside / (1 - inside)))


def _line(x: Values, y: Values, edges: Values, of: Any) -> Line:
    """Return what holds of the values in bins that have some."""
    points = []
    for low, high in itertools.pairwise(edges):
        inside = (x >= low) & (x < high)
        if np.count_nonzero(inside) >= _FEW:
            points.append((round(float(np.mean(x[inside])), 4), round(float(of(y[inside])), 4)))
    return Line(points=tuple(points) or ((0.0, float(of(y)) if len(y) else 0.0),))


def _toml(told: Calibration) -> str:
    lines = [
        f"{name} = {getattr(told, name):.4g}"
        for name in ("threshold", "separation", "error_scale", "error_floor")
    ]
    for depth in told.depths:
        lines += ["", "[[depths]]", f"bands = {list(depth.bands)}".replace("'", '"')]
        lines.append(f"noise = {depth.noise:g}")
        for name in ("completeness", "reliability", "flux", "flux_error"):
            points = [list(point) for point in getattr(depth, name).points]
            lines.append(f"{name} = {{ points = {points} }}")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
