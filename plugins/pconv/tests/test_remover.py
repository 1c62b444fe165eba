"""`pconv` keeps the contract of its kind, and fills each hole by what surrounds it alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from astropy.nddata import StdDevUncertainty
from maps_of_sources import (
    FWHM,
    NOISE,
    ONE_SIZE,
    ROWS,
    SHAPE,
    frame_of,
    image_of,
    run,
    sky,
)

from astroclean.core.image.detector import DETECTOR_KEYWORDS
from astroclean.core.image.uncertainty import deviation_of
from astroclean.core.sources.holes import HoleRule, disks, source_holes
from astroclean.core.stage.results import Outcome
from astroclean.errors import StageError
from astroclean.registry.load import load_stage
from astroclean.testing.contracts import SourceRemoverContract
from astroclean.testing.frames import synthetic_frame

if TYPE_CHECKING:
    from astroclean.core.image.frame import Frame

MODES = [{"mode": "inpaint"}, {"mode": "separate"}]


# Of the sources that a stage found there some are faint, and left: that is told.
@pytest.mark.filterwarnings("ignore:.*sources .* are left:astroclean.errors.AstrocleanWarning")
class SourcesContract(SourceRemoverContract):
    plugin = "pconv"

    @pytest.fixture
    def frame(self) -> Frame:
        return load_stage("sep", thresh=5).run(synthetic_frame(seed=7)).frame

    @pytest.mark.parametrize("case", ["all nan", "constant", "one pixel", "all flagged"])
    def test_odd_frames_do_not_crash(self, case: str) -> None:
        shape = (1, 1) if case == "one pixel" else (40, 50)
        image = np.full(shape, np.nan if case == "all nan" else 100.0)
        places = np.array([[0.2, 0.1], [20, 20], [-300, 9], [49.9, 39.9]])
        odd = frame_of(image, places)
        if case == "all flagged":
            odd = odd.add_planes(np.ones(shape, dtype=bool), "BAD_PIXEL")
        result = load_stage(self.plugin, **self.options).run(odd)
        assert result.frame.shape == odd.shape
        self.changes_allowed(odd, result)


class TestContractInpaint(SourcesContract):
    options = {"fill": "sources"}  # noqa: RUF012 - as the base class tells


# The frame has galaxies and hits among its sources, which are no image of the PSF.
@pytest.mark.filterwarnings("ignore:.*the PSF does not fit the sources")
class TestContractSeparate(SourcesContract):
    options = {"mode": "separate"}  # noqa: RUF012

    @pytest.fixture
    def frame(self) -> Frame:
        return load_stage("sep", thresh=5).run(synthetic_frame(seed=7, shape=(64, 72))).frame


class TestContractFlags(SourceRemoverContract):
    plugin = "pconv"
    options = {"fill": "flags"}  # noqa: RUF012


@pytest.mark.parametrize("options", MODES, ids=lambda told: told["mode"])
def test_outside_the_holes_everything_stays_to_the_bit(options: dict[str, Any]) -> None:
    frame = frame_of()
    result = run(frame, **options, wings=False)
    sizes = HoleRule().in_pixels(fwhm_pixels=frame.psf.fwhm_pixels)
    holes = source_holes(frame.data, ~frame.mask, ROWS[:, :2], sizes)
    where = result.frame.where("REMOVED")
    np.testing.assert_array_equal(where, holes.holes)
    assert result.frame.data[~where].tobytes() == frame.data[~where].tobytes()
    assert (deviation_of(result.frame.uncertainty)[~where] == np.float32(NOISE)).all()
    assert np.isfinite(result.frame.data).all()
    assert (deviation_of(result.frame.uncertainty)[where] > 0).all()
    assert result.metrics["sources removed"] == len(ROWS)
    assert result.metrics["pixels left"] == 0
    table = result.frame.sources.table
    np.testing.assert_array_equal(table["snr"], holes.snr)
    np.testing.assert_array_equal(table["mask_radius"], holes.radii)


@pytest.mark.parametrize("options", MODES, ids=lambda told: told["mode"])
def test_the_order_of_the_catalogue_changes_no_bit(options: dict[str, Any]) -> None:
    order = np.array([4, 2, 0, 5, 1, 3])
    one = run(frame_of(), **options).frame
    two = run(frame_of(rows=ROWS[order], ids=order + 1), **options).frame
    assert one.data.tobytes() == two.data.tobytes()
    ours, theirs = deviation_of(one.uncertainty), deviation_of(two.uncertainty)
    assert ours.tobytes() == theirs.tobytes()
    assert two.sources.table["id"].tolist() == (order + 1).tolist()
    for name in one.sources.table.colnames:
        first, second = (np.asarray(f.sources.table[name]) for f in (one, two))
        np.testing.assert_array_equal(first[order], second, err_msg=name)


@pytest.mark.parametrize("source", [0, 2, 4])
def test_no_hole_sees_what_stands_in_another_or_in_itself(source: int) -> None:
    """Where wings do not count; they are told by what stands in holes."""
    image, told = image_of(), ONE_SIZE | {"wings": False}
    first = run(frame_of(image), **told).frame
    own = disks(SHAPE, ROWS[[source], :2], np.array([7.0]))
    rng = np.random.default_rng(source)
    for strength in (1.0, 1e3, 1e8):
        brighter = np.where(own, image + strength * rng.random(SHAPE), image)
        second = run(frame_of(brighter), **told).frame
        where = first.where("REMOVED")
        assert second.data[where].tobytes() == first.data[where].tobytes()
        ours, theirs = deviation_of(first.uncertainty), deviation_of(second.uncertainty)
        assert ours.tobytes() == theirs.tobytes()


def test_pixels_without_data_stay_and_are_not_read() -> None:
    image = image_of()
    image[28:33, 31] = image[60:64, 100:] = np.nan
    result = run(frame_of(image))
    np.testing.assert_array_equal(np.isnan(result.frame.data), np.isnan(image))
    assert not result.frame.where("REMOVED")[np.isnan(image)].any()
    assert np.abs(result.frame.data - sky())[np.isfinite(image)].max() < 10


def test_rejected_pixels_in_a_hole_are_filled_and_around_it_are_not_read() -> None:
    bad = np.zeros(SHAPE, dtype=bool)
    bad[29, 31] = bad[30, 50:52] = bad[80, 60] = True
    results = []
    for rubbish in (-1e6, 1e9):
        frame = frame_of(np.where(bad, rubbish, image_of())).add_planes(bad, "CR")
        results.append(run(frame))
    where = results[0].frame.where("REMOVED")
    assert where[29, 31]
    assert not where[30, 50]
    one, two = (result.frame.data[where] for result in results)
    assert one.tobytes() == two.tobytes()
    quality = results[0].frame.sources.table["quality"]
    assert quality[0] & 2
    assert not quality[2] & 2


def test_sources_at_and_beyond_the_border() -> None:
    rows = np.array([[0.0, 0, 50], [-3, 60, 80], [129.4, 50, 30], [60, -40, 9], [200, 300, 9]])
    result = run(frame_of(image_of(rows), rows), **ONE_SIZE)
    where = result.frame.where("INPAINTED")
    np.testing.assert_array_equal(where, disks(SHAPE, rows[:, :2], np.full(5, 7.0)))
    table = result.frame.sources.table
    assert (np.asarray(table["quality"]) & 8).astype(bool).tolist() == [True] * 5
    assert (np.asarray(table["quality"]) & 1).tolist() == [0, 0, 0, 1, 1]
    assert result.metrics["sources removed"] == 3
    assert np.isfinite(result.frame.data).all()


@pytest.mark.parametrize("options", MODES, ids=lambda told: told["mode"])
def test_no_sources_no_work(options: dict[str, Any]) -> None:
    frame = frame_of(rows=np.zeros((0, 2)))
    result = run(frame, **options)
    assert result.outcome is Outcome.NO_WORK
    assert result.frame.data.tobytes() == frame.data.tobytes()
    assert len(result.frame.sources.table) == 0
    assert result.metrics["sources removed"] == 0
    columns = run(frame_of(), **options).frame.sources.table.colnames
    assert result.frame.sources.table.colnames == columns


def test_without_a_width_the_error_says_what_to_do() -> None:
    frame = frame_of(psf=None)
    with pytest.raises(StageError, match='hole_unit = "pixel"') as caught:
        run(frame)
    assert "map" in str(caught.value)
    result = run(frame, **ONE_SIZE)
    assert result.metrics["sources removed"] == len(ROWS)
    with pytest.raises(StageError, match="psf"):
        run(frame, mode="separate", **ONE_SIZE)
    with pytest.raises(StageError, match="sources"):
        run(frame_of().replace(sources=None))


def test_a_width_from_the_header_serves_where_there_is_no_psf() -> None:
    scale = 3.2
    keys = {DETECTOR_KEYWORDS["pixel_scale"]: scale, DETECTOR_KEYWORDS["psf_fwhm"]: scale * FWHM}
    frame = frame_of(psf=None, meta=keys)
    where = run(frame).frame.where("REMOVED")
    sizes = HoleRule().in_pixels(fwhm_pixels=FWHM)
    holes = source_holes(frame.data, ~frame.mask, ROWS[:, :2], sizes).holes
    np.testing.assert_array_equal(where, holes)


def test_noise_is_like_that_of_the_surroundings_or_there_is_none() -> None:
    rows = np.array([[x, y, 40.0] for x in (22, 50, 78, 106) for y in (24, 54, 84)])
    frame = frame_of(image_of(rows), rows)
    matched, none = (run(frame, noise=kind, **ONE_SIZE).frame for kind in ("match", "none"))
    where = matched.where("INPAINTED")
    added = (matched.data - none.data)[where]
    assert added.std() == pytest.approx(NOISE, rel=0.15)
    assert abs(added.mean()) < 0.2 * NOISE
    rough = [np.diff(f.data, 2, axis=1)[where[:, 1:-1]].std() for f in (matched, none)]
    assert rough[1] < 0.6 * rough[0]
    ours, theirs = deviation_of(matched.uncertainty), deviation_of(none.uncertainty)
    np.testing.assert_allclose(ours[where] ** 2 - theirs[where] ** 2, NOISE**2, rtol=0.5)


@pytest.mark.parametrize("options", MODES, ids=lambda told: told["mode"])
def test_a_seed_changes_the_noise_and_nothing_else(options: dict[str, Any]) -> None:
    one, two, again = (run(frame_of(), seed=seed, **options) for seed in (0, 1, 0))
    assert one.frame.data.tobytes() == again.frame.data.tobytes()
    if options["mode"] == "inpaint":
        assert one.frame.data.tobytes() != two.frame.data.tobytes()
    for name in one.frame.sources.table.colnames:
        pair = (np.asarray(found.frame.sources.table[name]) for found in (one, two))
        np.testing.assert_array_equal(*pair, err_msg=name)
    ours, theirs = (deviation_of(found.frame.uncertainty) for found in (one, two))
    assert ours.tobytes() == theirs.tobytes()
    kept = ~one.frame.where("REMOVED")
    assert one.frame.data[kept].tobytes() == two.frame.data[kept].tobytes()


def test_exposures_that_are_stacked_do_not_share_their_noise() -> None:
    noises = []
    for seed in (1, 2):
        frame = frame_of(image_of(seed=seed))
        matched, none = (run(frame, noise=kind, **ONE_SIZE).frame for kind in ("match", "none"))
        where = disks(SHAPE, ROWS[:, :2], np.full(len(ROWS), 7.0))
        noises.append((matched.data - none.data)[where])
    assert abs(np.corrcoef(noises)[0, 1]) < 0.15


def test_uncertainty_is_made_where_the_frame_has_none() -> None:
    result = run(frame_of(uncertainty=None))
    deviation = deviation_of(result.frame.uncertainty)
    np.testing.assert_array_equal(np.isfinite(deviation), result.frame.where("REMOVED"))


@pytest.mark.parametrize("options", MODES, ids=lambda told: told["mode"])
def test_the_unit_does_not_matter(options: dict[str, Any]) -> None:
    frame, scale = frame_of(), np.float32(2.0**-12)
    small = frame.replace(
        data=scale * frame.data, uncertainty=StdDevUncertainty(np.full(SHAPE, scale * NOISE))
    )
    # Noise is drawn by the pixels that are shown, and those are others.
    one, two = (run(f, noise="none", **options) for f in (frame, small))
    atol = 1e-3 * NOISE
    np.testing.assert_allclose(two.frame.data / scale, one.frame.data, atol=atol)
    fluxes = [np.asarray(found.frame.sources.table["flux"].value) for found in (one, two)]
    np.testing.assert_allclose(fluxes[1] / scale, fluxes[0], rtol=1e-3)


def test_positions_are_refined_on_the_peaks_where_that_is_asked_for() -> None:
    wrong = ROWS.copy()
    wrong[2, :2] += [1.2, -0.8]
    wrong[3, :2] += [-0.7, 0.6]
    table = run(frame_of(rows=wrong), centroid=True).frame.sources.table
    kept = run(frame_of(rows=wrong)).frame.sources.table
    np.testing.assert_array_equal(kept["x"], wrong[:, 0])
    for index in (2, 3):
        off = np.hypot(table["x"][index] - ROWS[index, 0], table["y"][index] - ROWS[index, 1])
        assert off < 0.5 * np.hypot(*(wrong - ROWS)[index, :2])
    assert np.isfinite(table["x"]).all()
    beyond = np.array([[-60.0, 20.0], [400.0, 20.0]])
    result = run(frame_of(rows=beyond), centroid=True)
    assert result.frame.sources.table["x"].tolist() == beyond[:, 0].tolist()
