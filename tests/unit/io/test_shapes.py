"""Regions of sources: the package ``regions`` reads what is meant, in pixels and on any sky."""

from __future__ import annotations

import io
from typing import Any

import astropy.units as u
import numpy as np
import pytest
from astropy.table import MaskedColumn, QTable
from astropy.wcs import WCS
from hypothesis import given, settings
from hypothesis import strategies as st

from astroclean.core.image.grid import Grid
from astroclean.core.sources.sources import Sources
from astroclean.io.products.catalogs import write_regions
from astroclean.io.products.shapes import (
    FLAGGED,
    GALAXY,
    LEGEND,
    STAR,
    colors_of,
    ellipses_of,
)

regions: Any = pytest.importorskip("regions", reason="needs the extra astroclean[regions]")


def written(*catalogs: tuple[str, Sources]) -> str:
    target = io.BytesIO()
    write_regions(catalogs, target)
    return target.getvalue().decode("utf-8")


def _regions(text: str) -> list[str]:
    return [line for line in text.splitlines() if not line.startswith("#")]


def parsed(text: str) -> list[Any]:
    return list(regions.Regions.parse(text, format="ds9"))


def tangent(turn: float, cdelt: tuple[float, float], dec: float) -> WCS:
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.crval, wcs.wcs.crpix = [150, dec], [50, 50]
    cos, sin = np.cos(turn), np.sin(turn)
    wcs.wcs.cd = np.array([[cos, -sin], [sin, cos]]) @ np.diag(cdelt) / 3600
    return wcs


def catalogue(**columns: Any) -> QTable:
    count = len(next(iter(columns.values())))
    x, y = np.linspace(10, 60, count), np.linspace(44, 20, count)
    return QTable({"id": np.arange(1, count + 1), "x": x, "y": y, **columns})


@settings(deadline=None, max_examples=30)
@given(
    turn=st.floats(-3, 3),
    cdelt=st.sampled_from([(-0.2, 0.2), (0.2, 0.2), (-0.06, 0.1), (0.3, -0.2)]),
    dec=st.sampled_from([-89.999, -30.0, 0.0, 60.0]),
    theta=st.floats(-90, 90),
    flat=st.floats(0.2, 0.9),
)
def test_an_ellipse_on_the_sky_is_the_one_of_the_pixels(
    turn: float, cdelt: tuple[float, float], dec: float, theta: float, flat: float
) -> None:
    """Whatever the orientation, handedness, and shape of pixels: as ``regions`` maps it back."""
    wcs = tangent(turn, cdelt, dec)
    table = catalogue(a=[4.0] * u.pix, b=[4.0 * flat] * u.pix, theta=[theta] * u.deg)
    sources = Sources(table, grid=Grid((100, 100), wcs)).with_sky(wcs)
    (region,) = parsed(written(("[SCI,1]", sources)))
    found = region.to_pixel(wcs)
    assert (found.center.x, found.center.y) == pytest.approx((10, 44), abs=2e-3)
    sides = sorted((found.width, found.height), reverse=True)
    assert sides == pytest.approx([24.0, 24.0 * flat], rel=1e-3)
    longest = found.angle.deg + (0 if found.width >= found.height else 90)
    assert (longest - theta + 90) % 180 - 90 == pytest.approx(0, abs=0.1)
    assert region.meta["text"] == "[SCI,1] 1"


def test_in_pixels_they_count_from_one() -> None:
    table = catalogue(a=[2.0, np.nan], b=[1.0, 1.0], theta=[30.0, 0.0])
    text = written(("[SCI,1]", Sources(table)))
    assert _regions(text)[:2] == [
        "image",
        "ellipse(11.00000000,45.00000000,6.00000,3.00000,30.0000) # text={[SCI,1] 1} tag={source}",
    ]
    ellipse, point = parsed(text)
    assert (ellipse.center.x, ellipse.center.y, ellipse.width, ellipse.height) == (10, 44, 12, 6)
    assert (point.center.x, point.center.y) == (60, 20)


def test_the_half_light_radius_is_that_of_the_circle_of_the_same_area() -> None:
    """Of a round Gaussian it draws the same as the standard deviations do."""
    radius = 2.0 * np.sqrt(2 * np.log(2))
    tables = [
        catalogue(a=[2.0], b=[2.0], theta=[0.0]),
        catalogue(half_light_radius=[radius] * u.pix),
        catalogue(half_light_radius=[radius] * u.pix, ellipticity=[0.0], theta=[0.0] * u.rad),
    ]
    for table in tables:
        assert ellipses_of(table)[0] == pytest.approx([6, 6, 0])
    flat = catalogue(half_light_radius=[radius], ellipticity=[0.75], theta=[1.0] * u.rad)
    assert ellipses_of(flat)[0] == pytest.approx([12, 3, np.degrees(1)])


@pytest.mark.parametrize(
    "columns",
    [
        {},
        {"a": [2.0], "b": [1.0]},
        {"a": [2.0], "b": [0.0], "theta": [1.0]},
        {"a": [2.0] * u.arcsec, "b": [1.0] * u.arcsec, "theta": [1.0]},
        {"a": MaskedColumn([2.0], mask=[True]), "b": [1.0], "theta": [1.0]},
        {"half_light_radius": [-1.0]},
        {"half_light_radius": [2.0], "ellipticity": [1.5], "theta": [0.0]},
        {"a": ["wide"], "b": [1.0], "theta": [0.0]},
    ],
)
def test_what_is_no_ellipse_in_pixels_is_a_point(columns: dict[str, Any]) -> None:
    assert np.isnan(ellipses_of(catalogue(**(columns or {"flux": [1.0]})))).all()
    assert "point(" in written(("[0]", Sources(catalogue(**(columns or {"flux": [1.0]})))))


def test_on_the_sky_without_a_wcs_they_are_points() -> None:
    table = catalogue(a=[2.0], b=[1.0], theta=[0.0])
    table["ra"], table["dec"] = [10.0] * u.deg, [-3.0] * u.deg
    assert _regions(written(("[0]", Sources(table)))) == [
        "icrs",
        "point(10.00000000,-3.00000000) # text={[0] 1} tag={source}",
    ]


def test_a_colour_tells_stars_galaxies_and_what_is_flagged() -> None:
    table = catalogue(star_probability=[0.9, 0.1, 0.9, 0.1, np.nan])
    table["flag"], table["n_flagged"] = [0, 0, 4, 0, 0], [0, 0, 0, 2, 0]
    assert colors_of(table) == [STAR, GALAXY, FLAGGED, FLAGGED, None]
    found = [region.visual.get("color") for region in parsed(written(("[0]", Sources(table))))]
    assert found == [STAR, GALAXY, FLAGGED, FLAGGED, None]
    assert colors_of(catalogue(flux=[1.0])) == [None]


def test_frames_without_and_with_sky_stand_in_one_file() -> None:
    wcs = tangent(0.1, (-0.2, 0.2), 5)
    sky = Sources(catalogue(flux=[1.0]), grid=Grid((9, 9), wcs)).with_sky(wcs)
    none = Sources(QTable({"id": [], "x": [], "y": []}))
    found = parsed(written(("[1]", sky), ("[2]", none), ("[3]", Sources(catalogue(flux=[1.0])))))
    assert [type(region).__name__ for region in found] == ["PointSkyRegion", "PointPixelRegion"]


def test_a_legend_tells_colours_and_no_reader_takes_it_for_regions() -> None:
    text = written(("[SCI,1]", Sources(catalogue(star_probability=[0.9, 0.1]))))
    head = text.splitlines()[: len(LEGEND) + 1]
    assert head[0].startswith("# Region file format: DS9")
    assert all(line.startswith("# ") and ";" not in line for line in head)
    assert all(color in "".join(head) for color in (STAR, GALAXY, FLAGGED))
    found = parsed(text)
    assert [region.meta["text"] for region in found] == ["[SCI,1] 1", "[SCI,1] 2"]
    assert [region.visual["color"] for region in found] == [STAR, GALAXY]
