"""Measure what the numbers of `pais` mean on crowded fields, and write it beside the finder's card.

    python benchmarks/pais_calibrate.py --first 7000 --count 12

Scenes are those of simulator ``crowded`` whose seeds no evaluation has. The threshold is that of
the best F1; probabilities are logistic regressions of the scores; errors of fluxes get what
profiles add, so that pulls have a deviation of 1.
"""

from __future__ import annotations

import argparse
import itertools
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import astroclean_pais
import numpy as np
from astroclean_pais.calibration import Calibration, Logistic
from astroclean_pais.stage import PaisDeblender, PaisOptions
from scipy.optimize import minimize

from astroclean.evaluation.light import source_snr
from astroclean.evaluation.matching import WANTED_SNR, match_catalogue, plain, positions
from astroclean.simulate.crowded import simulate_crowded

if TYPE_CHECKING:
    from astroclean.core.image.frame import Frame
    from astroclean.simulate.scene import Scene

_CARD = Path(astroclean_pais.__file__).parent / "cards" / "pais-astroclean.calibration.toml"
_LOW = 0.12
_LEVELS = np.arange(0.16, 0.6, 0.02)


class Measured(NamedTuple):
    """Entries of the catalogues of all scenes, and wanted sources."""

    score: np.ndarray[Any, Any]
    is_true: np.ndarray[Any, Any]
    blend: np.ndarray[Any, Any]
    is_blend: np.ndarray[Any, Any]
    star: np.ndarray[Any, Any]
    is_star: np.ndarray[Any, Any]
    flux: np.ndarray[Any, Any]
    error: np.ndarray[Any, Any]
    blendedness: np.ndarray[Any, Any]
    true_flux: np.ndarray[Any, Any]
    found: np.ndarray[Any, Any]
    """Score of the detection of each wanted source, 0: none."""


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--first", type=int, default=7000)
    parser.add_argument("--count", type=int, default=12)
    parser.add_argument("--out", type=Path, default=_CARD)
    given = parser.parse_args()
    scenes = [simulate_crowded(seed=seed) for seed in range(given.first, given.first + given.count)]
    told = calibrated(scenes)
    given.out.write_text(_toml(told), "utf-8")
    print(given.out.read_text("utf-8"))


def measure(scenes: list[Scene], level: float) -> Measured:
    """Deblend scenes at a threshold with the networks as they are."""
    stage = PaisDeblender(PaisOptions(threshold=level))
    # Not what an earlier calibration made of the scores.
    stage._calibration = Calibration()  # noqa: SLF001
    parts = [_of_scene(scene, stage.run(scene.frame).frame) for scene in scenes]
    return Measured(*(np.concatenate(values) for values in zip(*parts, strict=True)))


def _of_scene(scene: Scene, frame: Frame) -> Measured:
    true, found = scene.sources, frame.sources
    assert true is not None
    assert found is not None
    assert scene.frame.psf is not None
    table = found.table
    radius = max(1.5, scene.frame.psf.fwhm_pixels / 2)
    flux = plain(table["flux"])
    matching = match_catalogue(positions(found), flux, true, radius=radius)
    mine, theirs = matching.pairs
    told = source_snr(true, scene.frame.noise("scatter"))
    snr = np.array([told.get(int(i), 0.0) for i in true.table["id"]])
    score, wanted = plain(table["detection_probability"]), snr >= WANTED_SNR
    reached = np.zeros(len(snr))
    reached[theirs] = score[mine]
    missed = positions(true)[wanted & (reached == 0)]
    places = positions(found)
    away = np.hypot(*(places[:, np.newaxis] - missed[np.newaxis]).transpose(2, 0, 1))
    is_blend = (away < radius).any(axis=1) if len(missed) else np.zeros(len(places), dtype=bool)
    other = np.full(len(flux), np.nan)
    other[mine] = plain(true.table["flux"])[theirs]
    is_star = np.full(len(flux), np.nan)
    is_star[mine] = (np.asarray(true.table["kind"]) == "star")[theirs]
    return Measured(
        score,
        matching.genuine,
        plain(table["blend_probability"]),
        is_blend,
        plain(table["star_probability"]),
        is_star,
        flux,
        plain(table["flux_err"]),
        np.nan_to_num(plain(table["blendedness"])),
        other,
        reached[wanted],
    )


def calibrated(scenes: list[Scene]) -> Calibration:
    """Return the calibration that measurements on scenes ask for."""
    low = measure(scenes, _LOW)
    threshold = float(max(_LEVELS, key=lambda level: _f1(low, float(level))))
    # Fluxes depend on which neighbors there are: measured anew with those that are kept.
    seen = measure(scenes, threshold)
    matched = np.isfinite(seen.true_flux)
    sure = matched & (seen.flux > 5 * seen.error)
    star = _logistic(seen.star[sure], seen.is_star[sure])
    return Calibration(
        threshold=round(threshold, 3),
        detection=_logistic(low.score, low.is_true),
        blend=_logistic(seen.blend[matched], seen.is_blend[matched]),
        star=star,
        **_errors(seen, matched, star),
    )


def _f1(seen: Measured, level: float) -> float:
    complete = float((seen.found >= level).mean())
    pure = float(seen.is_true[seen.score >= level].mean())
    return 2 * complete * pure / max(complete + pure, 1e-9)


def _logistic(score: np.ndarray[Any, Any], label: np.ndarray[Any, Any]) -> Any:
    """Return slope and offset of the best logistic regression on the logit of a score."""
    inside = np.clip(score, 1e-6, 1 - 1e-6)
    logit, wanted = np.log(inside / (1 - inside)), label.astype(float)

    def loss(values: np.ndarray[Any, Any]) -> float:
        drawn = values[0] * logit + values[1]
        return float(np.mean(np.logaddexp(0, drawn) - wanted * drawn) + 1e-4 * values @ values)

    slope, offset = minimize(loss, np.array([1.0, 0.0]), method="Nelder-Mead").x
    return {"slope": round(float(slope), 4), "offset": round(float(offset), 4)}


def _errors(
    seen: Measured, matched: np.ndarray[Any, Any], star: dict[str, float]
) -> dict[str, float]:
    """Return what makes the pulls of three classes of blendedness have a deviation of 1."""
    edges = (-np.inf, 0.05, 0.35, np.inf)
    off, flux = (seen.flux - seen.true_flux)[matched], np.abs(seen.flux[matched])
    error, blend = seen.error[matched], seen.blendedness[matched]
    is_galaxy = 1 - Logistic(**star)(seen.star[matched])

    def loss(values: np.ndarray[Any, Any]) -> float:
        scale, profile, more = np.exp(values)
        pull = off / np.hypot(scale * error, (profile * is_galaxy + more * blend) * flux)
        worst = 0.0
        for low, high in itertools.pairwise(edges):
            for faint in (True, False):
                chosen = (blend >= low) & (blend < high) & ((flux < 15 * error) == faint)
                if chosen.sum() >= 10:  # noqa: PLR2004 - enough for a deviation
                    spread = 1.4826 * np.median(np.abs(pull[chosen]))
                    worst += float(np.log(max(spread, 1e-6)) ** 2 * np.sqrt(chosen.sum()))
        return worst + 0.01 * float(values[0] ** 2)

    best = min(
        (
            minimize(loss, np.log(start), method="Nelder-Mead")
            for start in ((1.0, 0.05, 0.1), (1.1, 0.02, 0.3), (1.0, 0.1, 0.5))
        ),
        key=lambda one: float(one.fun),
    )
    names = ("error_scale", "profile_error", "blend_error")
    return {name: round(float(value), 4) for name, value in zip(names, np.exp(best.x), strict=True)}


def _toml(told: Calibration) -> str:
    lines = ["# Written by benchmarks/pais_calibrate.py"]
    values = told.model_dump()
    lines += [f"{key} = {value:.6g}" for key, value in values.items() if isinstance(value, float)]
    for key, table in values.items():
        if isinstance(table, dict):
            lines += ["", f"[{key}]", *(f"{name} = {value:.6g}" for name, value in table.items())]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
