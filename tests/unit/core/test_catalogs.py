"""Sources of a user's catalogue lie where the catalogue says, whatever it calls its columns."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.table import Column, QTable, Table
from astropy.utils.masked import Masked
from astropy.wcs import WCS
from hypothesis import given, settings
from hypothesis import strategies as st

from astroclean.core.image.frame import Frame
from astroclean.core.sources.given import GivenSources, given_sources
from astroclean.core.sources.places import PlaceOptions
from astroclean.core.stage.scope import Chunk
from astroclean.errors import StageError
from astroclean.testing.chunks import frame_chunks

SHAPE = (60, 80)
# Fractions of two, so that a shift by whole pixels is exact.
X = np.array([0.0, 10.25, 79.0, 33.375])
Y = np.array([0.0, 20.5, 59.0, 7.75])


def tangent(**values: Any) -> WCS:
    """A TAN projection of 0.36 arcsec a pixel, turned by 30 degrees."""
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.crval = [150.0, 60.0]
    wcs.wcs.crpix = [35.0, 28.0]
    c, s = np.cos(np.pi / 6), np.sin(np.pi / 6)
    wcs.wcs.cd = 1e-4 * np.array([[-c, s], [s, c]])
    for name, value in values.items():
        setattr(wcs.wcs, name, value)
    wcs.wcs.set()
    return wcs


def distorted() -> WCS:
    """The same with a strong pincushion, which has no inverse far away."""
    header = tangent().to_header()
    header.update(CTYPE1="RA---TAN-SIP", CTYPE2="DEC--TAN-SIP")
    header.update(A_ORDER=3, B_ORDER=3, A_3_0=-3e-6, B_0_3=-3e-6)
    return WCS(header)


def frame_of(wcs: WCS | None = None, shape: tuple[int, int] = SHAPE) -> Frame:
    return Frame(np.zeros(shape), unit="adu", wcs=wcs, frame_id="a.fits[SCI,1]")


def sky_of(wcs: WCS, x: Any = X, y: Any = Y) -> SkyCoord:
    return wcs.pixel_to_world(x, y).icrs


def taken(table: Table, frame: Frame) -> GivenSources:
    """Return what is taken of a table, in its order."""
    return given_sources(table, frame, PlaceOptions(), where="stage 'test'", by_id=False)


def placed(table: Table, frame: Frame) -> np.ndarray:
    """Return id, x, y of each source, one a row."""
    sources = taken(table, frame).sources
    return np.column_stack([np.asarray(sources.table[name]) for name in ("id", "x", "y")])


def truth(x: Any = X, y: Any = Y) -> np.ndarray:
    return np.column_stack([np.arange(1, len(x) + 1), x, y])


PIXEL_NAMES = [
    ("x", "y", 0),
    ("X", "Y", 0),
    ("x_fit", "y_fit", 0),
    ("xcentroid", "ycentroid", 0),
    ("x_centroid", "y_centroid", 0),
    ("x_0", "y_0", 0),
    ("X_IMAGE", "Y_IMAGE", 1),
    ("x_image", "y_image", 1),
]
SKY_NAMES = [
    ("ra", "dec"),
    ("RA", "DEC"),
    ("Ra", "Dec"),
    ("RAJ2000", "DEJ2000"),
    ("_RAJ2000", "_DEJ2000"),
    ("ALPHA_J2000", "DELTA_J2000"),
    ("RA_ICRS", "DE_ICRS"),
    ("ra_icrs", "de_icrs"),
]


class TestPixels:
    @pytest.mark.parametrize(("x", "y", "first"), PIXEL_NAMES)
    @pytest.mark.parametrize("unit", [None, "pix", ""])
    def test_every_spelling(self, x: str, y: str, first: int, unit: str | None) -> None:
        table = Table({x: Column(X + first, unit=unit), y: Column(Y + first, unit=unit)})
        assert np.array_equal(placed(table, frame_of()), truth())
        assert np.array_equal(placed(QTable(table), frame_of(tangent())), truth())

    def test_integers_big_endian_and_single_precision(self) -> None:
        table = Table({"x": np.array([3, 4], ">i4"), "y": np.array([5.5, 6.5], ">f4")})
        assert np.array_equal(placed(table, frame_of()), truth([3, 4], [5.5, 6.5]))

    def test_pixels_of_a_catalogue_refer_to_the_whole_frame(self) -> None:
        table = Table({"X_IMAGE": X + 1, "Y_IMAGE": Y + 1})
        part = frame_of(shape=(20, 30)).replace(chunk=Chunk((15, 8), SHAPE))
        assert np.array_equal(placed(table, part), [[2, 10.25 - 8, 20.5 - 15]])


class TestSky:
    @pytest.mark.parametrize(("ra", "dec"), SKY_NAMES)
    @pytest.mark.parametrize("unit", [None, "deg", "rad", "hourangle"])
    def test_every_spelling(self, ra: str, dec: str, unit: str | None) -> None:
        frame = frame_of(tangent())
        sky = sky_of(frame.wcs)
        in_unit = (angle.to_value(unit or "deg") for angle in (sky.ra, sky.dec))
        table = Table(
            {name: Column(v, unit=unit) for name, v in zip((ra, dec), in_unit, strict=True)}
        )
        assert np.allclose(placed(table, frame), truth(), rtol=0, atol=1e-6)
        assert np.allclose(placed(QTable(table), frame), truth(), rtol=0, atol=1e-6)

    @pytest.mark.parametrize("name", ["coord", "sky_centroid"])
    @pytest.mark.parametrize("system", ["icrs", "galactic", "fk5"])
    def test_coordinates_of_any_system(self, name: str, system: str) -> None:
        frame = frame_of(tangent())
        table = QTable({name: sky_of(frame.wcs).transform_to(system)})
        assert np.allclose(placed(table, frame), truth(), rtol=0, atol=1e-6)

    @pytest.mark.parametrize(
        "wcs", [tangent(radesys="FK5"), tangent(radesys="FK4", equinox=1950.0), distorted()]
    )
    def test_other_systems_and_distortion_of_the_frame(self, wcs: WCS) -> None:
        sky = sky_of(wcs)
        table = Table({"ra": sky.ra.deg, "dec": sky.dec.deg})
        # astropy inverts distortions iteratively, to 1e-4 pixel.
        assert np.allclose(placed(table, frame_of(wcs)), truth(), rtol=0, atol=1e-4)

    def test_sky_wins_over_the_pixels_of_some_other_frame(self) -> None:
        frame = frame_of(tangent())
        sky = sky_of(frame.wcs)
        table = Table({"x": X + 5, "y": Y + 5, "ra": sky.ra.deg, "dec": sky.dec.deg})
        assert np.allclose(placed(table, frame), truth(), rtol=0, atol=1e-6)
        inside = [0, 1, 3]  # (84, 64) is not
        assert np.array_equal(placed(table, frame_of()), truth(X + 5, Y + 5)[inside])

    def test_a_wcs_of_wavelengths_places_nothing(self) -> None:
        wcs = WCS(naxis=2)
        wcs.wcs.ctype = ["WAVE", "LINEAR"]
        with pytest.raises(StageError, match="no celestial WCS"):
            placed(Table({"ra": [1.0], "dec": [2.0]}), frame_of(wcs))

    @pytest.mark.parametrize(
        ("wcs", "precision"), [(tangent(), 1e-6), (distorted(), 1e-4)], ids=["TAN", "SIP"]
    )
    def test_the_whole_sky_may_be_listed(self, wcs: WCS, precision: float) -> None:
        """The antipode projects on the frame too, and a distortion folds far places back."""
        ra, dec = (a.ravel() for a in np.meshgrid(np.arange(0, 360, 5.0), np.arange(-90, 91, 5.0)))
        near = wcs.wcs.crval + np.outer(np.geomspace(0.02, 3, 200), [0.3, 1.0])
        sky, center = sky_of(wcs), wcs.wcs.crval
        table = Table(
            {
                "ra": np.concatenate([sky.ra.deg, ra + 2, [center[0] + 180], near[:, 0]]),
                "dec": np.concatenate([sky.dec.deg, dec, [-center[1]], near[:, 1]]),
            }
        )
        found = taken(table, frame_of(wcs))
        assert len(found.outside) == len(table) - X.size
        found = [np.asarray(found.sources.table[name]) for name in ("x", "y")]
        assert np.allclose(found, [X, Y], rtol=0, atol=precision)

    def test_bands_hold_the_same_sources_as_the_frame(self) -> None:
        frame = frame_of(tangent())
        sky = sky_of(frame.wcs)
        by_sky, by_pixel = Table({"ra": sky.ra, "dec": sky.dec}), Table({"x": X, "y": Y})
        for band, _ in frame_chunks(frame, rows=11, halo=4):
            assert band.chunk is not None
            rows = band.chunk.origin[0]
            expected = truth() - [0, 0, rows]
            expected = expected[abs(expected[:, 2] - (band.shape[0] - 1) / 2) <= band.shape[0] / 2]
            assert np.array_equal(placed(by_pixel, band), expected)
            assert np.allclose(placed(by_sky, band), expected, rtol=0, atol=1e-6)


class TestRows:
    def test_masked_coordinates_are_refused(self) -> None:
        frame = frame_of(tangent())
        sky = sky_of(frame.wcs)
        mask = [False, True, False, True]
        ra, dec = Masked(sky.ra, mask=mask), Masked(sky.dec, mask=mask)
        for table in (QTable({"ra": ra, "dec": dec}), QTable({"coord": SkyCoord(ra, dec)})):
            with pytest.raises(StageError, match=r"2 sources have no position .*ids 2, 4"):
                placed(table, frame)

    @given(
        x=st.lists(st.floats(-3, 12, width=32), min_size=1, max_size=20),
        y=st.lists(st.floats(-3, 9, width=32), min_size=20, max_size=20),
        data=st.data(),
    )
    @settings(deadline=None, max_examples=50)
    def test_what_is_on_no_pixel_is_left_out_in_any_order(
        self, x: list[float], y: list[float], data: st.DataObject
    ) -> None:
        order = data.draw(st.permutations(range(len(x))))
        table = Table({"id": np.arange(len(x)) + 7, "x": x, "y": y[: len(x)]})
        frame = frame_of(shape=(6, 9))
        found = taken(table, frame)
        # Of the edge between two pixels the even one has it: 8 of x, none that is there of y.
        on_pixel = [i for i in range(len(x)) if -0.5 <= x[i] <= 8.5 and -0.5 <= y[i] < 5.5]
        assert [*found.sources.table["id"]] == [i + 7 for i in on_pixel]
        assert set(found.outside) == {i + 7 for i in range(len(x))} - {i + 7 for i in on_pixel}
        shuffled = taken(table[order], frame)
        assert [*shuffled.sources.table["id"]] == [i + 7 for i in order if i in on_pixel]
        assert set(shuffled.outside) == set(found.outside)
        by_id = {row["id"]: (row["x"], row["y"]) for row in shuffled.sources.table}
        assert by_id == {row["id"]: (row["x"], row["y"]) for row in found.sources.table}

    @pytest.mark.parametrize("name", ["id", "ID", "label", "NUMBER"])
    def test_ids_of_the_catalogue_are_kept(self, name: str) -> None:
        table = Table({name: np.array([9, 4, 1, 7], ">i8"), "x": X, "y": Y})
        assert [*placed(table, frame_of())[:, 0]] == [9, 4, 1, 7]

    def test_without_ids_they_are_numbers_of_rows(self) -> None:
        """Also when rows before are off the frame: the user finds the row, and parts agree."""
        table = Table({"x": [-50, *X[1:]], "y": Y})
        assert [*placed(table, frame_of())[:, 0]] == [2, 3, 4]

    def test_radius_and_flux_stay_with_their_units(self) -> None:
        table = QTable({"x": [500, 1, 2], "y": [0, 1, 2], "name": ["a", "b", "c"]})
        table["RADIUS"] = [1, 2, np.nan] * u.arcsec
        table["flux"] = [3, 4, 5] * u.mJy
        sources = taken(table, frame_of()).sources
        assert sources.table.colnames == ["id", "x", "y", "radius", "flux"]
        assert sources.table["radius"][0] == 2 * u.arcsec
        assert np.isnan(sources.table["radius"][1])
        assert [*sources.table["flux"]] == [4 * u.mJy, 5 * u.mJy]

    @pytest.mark.parametrize("names", [("x", "y"), ("ra", "dec")])
    def test_a_catalogue_without_rows_has_no_sources(self, names: tuple[str, str]) -> None:
        table = QTable({name: np.zeros(0) for name in names})
        found = taken(table, frame_of(tangent()))
        assert (len(found.sources), found.listed, found.outside) == (0, 0, ())
        assert found.sources.table.colnames == ["id", "x", "y"]

    def test_the_table_is_not_modified(self) -> None:
        table = QTable({"x": X * u.pix, "y": Y * u.pix, "flux": [1, 2, 3, 4] * u.Jy})
        before = table.copy()
        sources = taken(table, frame_of()).sources
        sources.table["flux"][:] = 0 * u.Jy
        sources.table["x"][:] = 0
        assert all(np.array_equal(table[name], before[name]) for name in before.colnames)


class TestErrors:
    def test_unknown_columns_are_listed(self) -> None:
        table = Table({"ra": [1.0], "mag": [2.0]})
        with pytest.raises(StageError) as caught:
            placed(table, frame_of(tangent()))
        assert str(caught.value) == (
            "stage 'test': the catalogue has no columns of positions that are known "
            "(got coordinates = 'auto'; columns ra, mag). Name them ra and dec (degrees, ICRS), or "
            "x and y (pixels)."
        )
        with pytest.raises(StageError, match="columns none"):
            placed(Table(), frame_of())

    def test_sky_without_wcs(self) -> None:
        with pytest.raises(StageError) as caught:
            placed(Table({"RA": [1.0], "Dec": [2.0]}), frame_of())
        assert str(caught.value) == (
            "stage 'test': the catalogue has positions on the sky, and the frame has no celestial "
            "WCS (got RA, Dec). Give the frame a WCS, or the catalogue columns x and y in pixels."
        )

    @pytest.mark.parametrize(
        ("table", "told"),
        [
            (
                {"ra": ["10:00:00"], "dec": ["+20:00:00"]},
                r"'ra' .* one number a row \(got type <U8",
            ),
            ({"x": [1.0], "y": [[1.0, 2.0]]}, r"'y' .* one number a row .*shape \(1, 2\)"),
            ({"x": [1.0] * u.mm, "y": [1.0]}, r"'x' .* must be in pix .*\(got mm\)"),
            ({"ra": [1.0], "dec": [1.0] * u.m}, r"'dec' .* must be in deg .*\(got m\)"),
            ({"ra": [1.0], "dec": [-999.0]}, r"'dec' .* beyond the poles \(got -999 deg\)"),
        ],
    )
    def test_columns_that_hold_no_positions(self, table: dict[str, Any], told: str) -> None:
        with pytest.raises(StageError, match=told):
            placed(QTable(table), frame_of(tangent()))

    def test_a_unit_that_astropy_does_not_know(self) -> None:
        unit = u.Unit("grads", parse_strict="silent")
        table = Table({"ra": Column([1.0], unit=unit), "dec": [1.0]})
        with pytest.raises(StageError, match=r"must be in deg .*\(got grads\)"):
            placed(table, frame_of(tangent()))
