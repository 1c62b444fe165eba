"""Deconvolvers whose answers are made to be off by known amounts, scored on pairs of stamps."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import astropy.units as u
import numpy as np
import pytest
from astropy.nddata import StdDevUncertainty
from astropy.table import QTable

from astroclean.core.image.frame import Frame
from astroclean.core.image.layer import Layer
from astroclean.core.psf.psf import Psf
from astroclean.core.sources.sources import Sources, SourceStamp
from astroclean.core.stage.kinds.deconvolve import Deconvolver
from astroclean.core.stage.results import Deconvolution
from astroclean.evaluation.contest import Contestant, hold_contest
from astroclean.evaluation.deconvolve import DeconvolveEvaluation
from astroclean.evaluation.metrics.deconvolve import shape_of
from astroclean.evaluation.target import TARGET, at_target, blurred
from astroclean.simulate.scene import Scene

if TYPE_CHECKING:
    from collections.abc import Callable

NOISE, SIDE, PSF_RADIUS = 1.0, 65, 3.0


def gaussian(flux: float, size: float, e: complex, *, x: float, y: float, side: int = SIDE) -> Any:
    """Elliptical Gaussian of these moments, sampled at pixels."""
    xx, yy = np.meshgrid(np.arange(side) - x, np.arange(side) - y)
    moments = size**2 * np.array([[1 + e.real, e.imag], [e.imag, 1 - e.real]])
    (a, b), (_, c) = np.linalg.inv(moments)
    image = np.exp(-0.5 * (a * xx**2 + 2 * b * xx * yy + c * yy**2))
    return flux * image / (2 * math.pi * math.sqrt(np.linalg.det(moments)))


def scene(seed: int, *, blank: bool = False, noise: float = NOISE) -> Scene:
    """A Gaussian galaxy; odd seeds are the even ones before, with the PSF turned by 90 degrees."""
    rng = np.random.default_rng(seed // 2)
    turn = -1 if seed % 2 else 1
    e, e_psf = (rng.uniform(0.1, 0.3) * np.exp(2j * math.pi * rng.uniform()) for _ in range(2))
    x, y = SIDE // 2 + rng.uniform(-2, 2, 2)
    size, snr = rng.uniform(1.5, 4.0), 0.0 if blank else rng.uniform(5, 200)
    unit = gaussian(1.0, math.hypot(size, 1.8), e, x=x, y=y)
    flux = snr * noise / math.sqrt(np.sum(unit**2))
    data = flux * unit + noise * rng.standard_normal((SIDE, SIDE))
    kernel = gaussian(1.0, 1.8, turn * e_psf, x=12, y=12, side=25)
    table = QTable({"id": [1], "x": [x], "y": [y], "flux": [flux] * u.electron, "radius": [2.0]})
    frame = Frame(
        data,
        unit="electron",
        uncertainty=StdDevUncertainty(np.full(data.shape, noise, np.float32)),
        psf=Psf(kernel, computed=True),
        frame_id=str(seed),
    )
    truth = gaussian(flux, size, e, x=x, y=y).astype(np.float32)
    stamp = SourceStamp(1, (0, 0), (flux * unit).astype(np.float32))
    notes = {"pair": float(seed // 2), "e1": e.real, "e2": e.imag, "size": size}
    sources = Sources(table, stamps=(stamp,))
    return Scene(frame, target=Layer(truth, psf=TARGET), sources=sources, notes=notes)


def again(
    one: Scene, *, flux: float = 1.0, size: float = 1.0, shrunk: float = 1.0, leak: float = 0.0
) -> Any:
    """The galaxy of a scene, changed."""
    row, psf = one.sources.table[0], one.frame.psf
    of_psf = shape_of(psf.stamps[0], center=(12, 12), radius=max(psf.fwhm_pixels, PSF_RADIUS))
    e = shrunk * complex(one.notes["e1"], one.notes["e2"]) + leak * of_psf.ellipticity
    return gaussian(flux * row["flux"].value, size * one.notes["size"], e, x=row["x"], y=row["y"])


Answer = Any


def scored(
    scenes: list[Scene], answer: Callable[[Scene], Answer], **fields: Any
) -> dict[str, dict[str, float]]:
    """Rows of a deconvolver that knows the scenes."""
    known = {one.frame.frame_id: one for one in scenes}

    class Toy(Deconvolver):
        tables = fields.get("tables", frozenset())

        def deconvolve(self, frame: Frame) -> Deconvolution:
            given = answer(known[frame.frame_id])
            return given if isinstance(given, Deconvolution) else Deconvolution(given, TARGET)

    evaluation = DeconvolveEvaluation()
    verdict = hold_contest(evaluation, [Contestant("toy", Toy())], scenes)
    names = {column.name for column in evaluation.columns} | {"speed", "time"}
    assert all(set(row.values) <= names for row in verdict.rows)
    return {row.of: dict(row.values) for row in verdict.rows}


def pairs(count: int = 24, **options: Any) -> list[Scene]:
    return [scene(seed, **options) for seed in range(count)]


def test_a_perfect_result_is_perfect_in_every_class() -> None:
    scenes = [*pairs(), *(scene(seed, blank=True) for seed in (100, 102, 104))]
    rows = scored(scenes, lambda one: one.target.data)
    assert set(rows) == {"all", "blank", "low", "medium", "high"}
    for name, row in rows.items():
        assert row["spurious"] == 0
        if name == "blank":
            assert row["sources"] == 0
            assert row["frames"] == 3
            continue
        assert row["PSNR"] == math.inf or math.isnan(row["PSNR"])
        assert row["1-SSIM"] == pytest.approx(0, abs=1e-9)
        assert row["lost"] == 0
        assert row["slope"] == pytest.approx(1, abs=1e-6)
        assert row["leak"] == pytest.approx(0, abs=1e-6)
        for column in ("flux", "flux RMS", "size", "size RMS", "abs e", "abs e RMS", "e RMS"):
            assert row[column] == pytest.approx(0, abs=1e-6), column
        assert math.isnan(row["pixels 68"])
    assert rows["all"]["accuracy"] == 1
    assert rows["all"]["sources"] == 24
    assert [rows[name]["frames"] for name in ("low", "medium", "high")] == [8, 8, 8]
    for name in ("blank", "low", "medium", "high"):
        assert rows[name][f"as {name}"] == 1


@pytest.mark.parametrize("leak", [0.1, -0.05, 0.01])
def test_what_is_kept_of_the_psf_is_measured_to_a_thousandth(leak: float) -> None:
    row = scored(pairs(), lambda one: again(one, leak=leak))["all"]
    assert row["leak"] == pytest.approx(leak, abs=1e-3)
    assert row["slope"] == pytest.approx(1, abs=0.1)


def test_noise_that_a_pair_has_in_common_does_not_hide_the_leak() -> None:
    def noisy(one: Scene) -> Any:
        jitter = 0.2 * np.random.default_rng(int(one.notes["pair"])).standard_normal(2)
        moved = replace(one, notes={**one.notes, "e1": one.notes["e1"] + jitter[0] / 2})
        return again(moved, leak=0.02)

    row = scored(pairs(), noisy)["all"]
    assert row["leak"] == pytest.approx(0.02, abs=2e-3)
    assert row["e RMS"] > 0.05


def test_stamps_without_a_partner_tell_no_leak() -> None:
    singles = [scene(seed) for seed in range(0, 24, 2)]
    assert math.isnan(scored(singles, lambda one: again(one, leak=0.1))["all"]["leak"])


def test_shrunk_shapes_have_their_slope() -> None:
    row = scored(pairs(), lambda one: again(one, shrunk=0.5))["all"]
    assert row["slope"] == pytest.approx(0.5, abs=2e-3)
    moduli = [abs(complex(s.notes["e1"], s.notes["e2"])) for s in pairs()]
    assert row["abs e"] == pytest.approx(-0.5 * np.mean(moduli), rel=0.01)
    assert row["abs e RMS"] == pytest.approx(0.5 * np.sqrt(np.mean(np.square(moduli))), rel=0.01)
    # Of a component: the modulus squared is shared by two.
    assert row["e RMS"] == pytest.approx(row["abs e RMS"] / math.sqrt(2), rel=0.01)


def test_flux_and_size_are_off_by_what_they_were_changed() -> None:
    row = scored(pairs(), lambda one: again(one, flux=0.9))["all"]
    assert row["flux"] == pytest.approx(-0.1, abs=1e-4)
    assert row["flux RMS"] == pytest.approx(0.1, abs=1e-4)
    assert row["size"] == pytest.approx(0, abs=1e-3)
    row = scored(pairs(), lambda one: again(one, size=1.2))["all"]
    assert row["size"] == pytest.approx(0.2, abs=2e-3)


def test_the_level_of_the_sky_is_not_judged() -> None:
    row = scored(pairs(), lambda one: one.target.data + 5.0)["all"]
    assert row["1-SSIM"] == pytest.approx(0, abs=1e-6)
    assert row["flux"] == pytest.approx(0, abs=1e-5)


def test_confusion_counts_where_stamps_go() -> None:
    scenes = [*pairs(18), *(scene(seed, blank=True) for seed in range(200, 208, 2))]
    rows = scored(scenes, lambda _: np.zeros((SIDE, SIDE)))
    assert all(row["as blank"] == 1 for name, row in rows.items() if name != "all")
    assert rows["all"]["accuracy"] == pytest.approx(4 / 22)
    assert rows["high"]["lost"] == 1

    def ghosts(one: Scene) -> Any:  # a source of S/N 4 where there is none, for half of them
        if one.sources.table["flux"][0].value > 0 or int(one.frame.frame_id) % 4:
            return one.target.data
        row = one.sources.table[0]
        seen = math.hypot(2.0 / math.sqrt(2 * math.log(2)), one.frame.psf.fwhm_pixels / 2.3548)
        flux = 4 * NOISE * math.sqrt(4 * math.pi) * seen
        return gaussian(flux, 1.5, 0j, x=row["x"], y=row["y"])

    rows = scored(scenes, ghosts)
    assert (rows["blank"]["as blank"], rows["blank"]["as low"]) == (0.5, 0.5)
    assert rows["blank"]["spurious"] == 0.0  # its peak is below five times the noise
    assert rows["all"]["accuracy"] == pytest.approx(20 / 22)


@pytest.mark.parametrize(
    ("stated", "one", "two"), [(1.0, 0.683, 0.95), (0.5, 0.383, 0.673), (2.0, 0.954, 1.0)]
)
def test_stated_errors_cover_what_the_normal_law_says(
    stated: float, one: float, two: float
) -> None:
    def answer(given: Scene) -> Deconvolution:
        rng = np.random.default_rng(int(given.frame.frame_id))
        data = given.target.data + rng.standard_normal((SIDE, SIDE))
        return Deconvolution(data, TARGET, np.full((SIDE, SIDE), stated, np.float32))

    row = scored(pairs(12), answer)["all"]
    assert row["pixels 68"] == pytest.approx(one, abs=0.01)
    assert row["pixels 95"] == pytest.approx(two, abs=0.01)
    assert row["lit 68"] == pytest.approx(one, abs=0.05)
    elsewhere = scored(pairs(12), lambda s: replace(answer(s), psf=Psf.gaussian(fwhm_pixels=4.0)))
    assert math.isnan(elsewhere["all"]["pixels 68"])


def test_moments_that_are_stated_are_compared_with_their_errors() -> None:
    def answer(one: Scene) -> Deconvolution:
        row = one.sources.table[0]
        # All off by 1.5 deviations but e2, which is right.
        true = {
            "flux": row["flux"].value,
            "x": row["x"],
            "y": row["y"],
            "e1": one.notes["e1"],
            "size": one.notes["size"],
        }
        table = QTable()
        for name, value in true.items():
            table[name], table[f"{name}_err"] = [value + 0.15], [0.1]
        table["e2"], table["e2_err"] = [one.notes["e2"]], [0.1]
        return Deconvolution(one.target.data, TARGET, tables={"moments": table})

    row = scored(pairs(12), answer, tables=frozenset({"moments"}))["all"]
    assert (row["flux 68"], row["flux 95"]) == (0, 1)
    assert (row["place 68"], row["place 95"]) == (0, 1)
    assert (row["size 68"], row["size 95"]) == (0, 1)
    assert (row["e 68"], row["e 95"]) == (0.5, 1)


def test_structure_that_is_not_there_is_counted_in_groups() -> None:
    def answer(one: Scene) -> Any:
        made = np.array(one.target.data)
        made[3:6, 3:6] += 20 * NOISE
        made[60, 50:55] += 6 * NOISE
        made[10, 60] -= 50 * NOISE  # below the truth: nothing was made up
        return made

    rows = scored([*pairs(12), scene(100, blank=True)], answer)
    assert rows["all"]["spurious"] == 2
    assert rows["blank"]["spurious"] == 2

    def unsure(one: Scene) -> Deconvolution:
        return Deconvolution(answer(one), TARGET, np.full((SIDE, SIDE), 2.0, np.float32))

    assert scored(pairs(12), unsure)["all"]["spurious"] == 1


def test_a_result_that_is_too_sharp_is_brought_to_the_target() -> None:
    """Gaussians convolve into Gaussians: their squares of the width add up."""
    narrow = Psf.gaussian(fwhm_pixels=1.2)
    one, lacking = scene(4), TARGET.fwhm_pixels**2 - narrow.fwhm_pixels**2
    before = one.notes["size"] ** 2 - lacking / 2.3548**2
    row = one.sources.table[0]
    e = complex(one.notes["e1"], one.notes["e2"]) * one.notes["size"] ** 2 / before
    sharper = gaussian(row["flux"].value, math.sqrt(before), e, x=row["x"], y=row["y"])
    frame = one.frame.replace(data=sharper.astype(np.float32), psf=narrow, uncertainty=None)
    made = at_target(frame)
    assert made.deviation is None
    assert np.abs(made.image - one.target.data).max() < 2e-3 * one.target.data.max()
    wide = at_target(frame.replace(psf=Psf.gaussian(fwhm_pixels=4.0)))
    assert np.array_equal(wide.image, frame.data.astype(float))
    assert np.array_equal(wide.smoothed, blurred(frame.data, 2.0))
    same = at_target(frame.replace(psf=TARGET))
    assert np.array_equal(same.image, frame.data.astype(float))
    assert same.smoothed is None


@pytest.mark.parametrize("noise", [0.0, 3.0])
def test_pixels_of_what_aims_elsewhere_count_as_they_are_or_smoothed(noise: float) -> None:
    """Smoothing helps against noise, and would harm where there is none."""
    wide = Psf.gaussian(fwhm_pixels=2.5)

    def answer(one: Scene) -> Deconvolution:
        rng = np.random.default_rng(int(one.frame.frame_id))
        return Deconvolution(one.target.data + noise * rng.standard_normal((SIDE, SIDE)), wide)

    scenes = pairs(6)
    row = scored(scenes, answer)["all"]
    at_once = scored(scenes, lambda one: replace(answer(one), psf=TARGET))["all"]
    if noise:
        assert row["PSNR"] > at_once["PSNR"] + 3
    else:
        assert row["1-SSIM"] == pytest.approx(0, abs=1e-9)


def test_blurring_keeps_levels_and_holes() -> None:
    image = np.full((30, 20), 7.0)
    image[4, 5] = np.nan
    smooth = blurred(image, 2.0)
    assert np.isnan(smooth[4, 5])
    assert np.nanmax(np.abs(smooth - 7)) < 1e-9


def test_the_truth_follows_from_the_sharp_image_where_no_target_is_told() -> None:
    one = replace(scene(2), target=None)
    row, size = one.sources.table[0], one.notes["size"]
    e = complex(one.notes["e1"], one.notes["e2"])
    sharp = gaussian(row["flux"].value, size, e, x=row["x"], y=row["y"]).astype(np.float32)
    told = replace(one, sharp=sharp)
    wider = math.hypot(size, 2 / 2.3548)
    shape = e * size**2 / wider**2
    seen = gaussian(row["flux"].value, wider, shape, x=row["x"], y=row["y"])
    result = scored([told], lambda _: seen)["all"]
    assert result["PSNR"] > 80
