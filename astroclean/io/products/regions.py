"""Read DS9 region files: as catalogues, or as shapes that a person has drawn.

What products write of sources is in `astroclean.io.products.shapes`.
"""

from __future__ import annotations

import re
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from astroclean.core.regular import read_text
from astroclean.errors import FitsReadError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from astropy.table import QTable

__all__ = ["read_regions", "read_shapes"]

_LARGEST = 256 << 20  # bytes
_TOLD = 10
"""Regions of a shape whose numbers are told."""
_REMEDY = "Points, circles, ellipses, boxes and annuli are understood, on the sky or in pixels."
_AREAS = "Circles, ellipses, boxes, annuli, polygons and points are understood."
_SAVING = "In DS9 save them in coordinates `image`, or of the sky (`icrs`, `fk5`)."
_COMPOSITE = re.compile(r"^[^#]*\|\|", re.MULTILINE)
"""Of a line: shapes joined by ``||``. The package ``regions`` reads the first of them alone."""
_DRAWING = (
    "DS9 .* is (invalid|unsupported) and will be ignored",
    "Found duplicate metadata",
    "dashed lines are unsupported",
    "facecolor and edgecolor are different",
)
"""What the package ``regions`` warns of that moves no region."""


def read_regions(path: Path) -> QTable:
    """Read a DS9 region file as a table of positions.

    Parameters
    ----------
    path : Path
        A text file of regions that have a centre: all on the sky, or all in pixels.

    Returns
    -------
    astropy.table.QTable
        One row a region, in the order of the file. Columns ``id`` (from 1); ``ra``, ``dec`` (deg,
        ICRS) or ``x``, ``y`` (pixels, centre of the lower-left pixel is 0, 0); ``radius`` (arcsec
        or pixels), NaN for what is no circle.

    Raises
    ------
    FitsReadError
        The package ``regions`` is not installed, the file cannot be read in full, has no regions,
        mixes sky and pixels, excludes regions, or has one without a centre or that is a label.
    """
    found = _parsed(path, remedy=_REMEDY)
    from regions import SkyRegion  # noqa: PLC0415 - optional

    _refuse_shapes(found, path)
    on_sky = sum(isinstance(region, SkyRegion) for region in found)
    if 0 < on_sky < len(found):
        raise FitsReadError(
            "mixes regions on the sky and in pixels",
            where=str(path),
            received=f"{on_sky} on the sky, {len(found) - on_sky} in pixels",
            remedy="Save all in one coordinate system, or in two files.",
        )
    return _sky_table(found) if on_sky else _pixel_table(found)


def read_shapes(path: Path) -> tuple[Any, ...]:
    """Read a DS9 region file as shapes with an area, and points.

    Parameters
    ----------
    path : Path
        A text file of regions, on the sky or in pixels, or some of each. Excluded ones (a leading
        minus) are among them. Labels are left out: they mark nothing.

    Returns
    -------
    tuple of regions.Region
        In the order of the file. Pixels count from 0; ``meta`` has ``include``, ``text``, ``tag``.

    Raises
    ------
    FitsReadError
        The package ``regions`` is not installed, the file cannot be read in full, has nothing but
        labels or excluded regions, or has one without an area.
    """
    remedy = f"{_AREAS} {_SAVING}"
    found = _parsed(path, remedy=remedy)
    drawn = [region for region in found if _shape(region) != "text"]
    lines = _counted(found, lambda region: _shape(region) == "line")
    if lines:
        raise FitsReadError(
            "has regions without an area",
            where=str(path),
            received=lines,
            remedy=f"{_AREAS} A box or a polygon is as wide as you draw it.",
        )
    if not any(region.meta.get("include", True) for region in drawn):
        what = "only excluded regions" if drawn else "no region but labels"
        raise FitsReadError(f"has {what}, which mark nothing", where=str(path), remedy=_AREAS)
    return tuple(drawn)


def _parsed(path: Path, *, remedy: str) -> Sequence[Any]:
    from astropy.utils.exceptions import AstropyUserWarning  # noqa: PLC0415 - heavy

    try:
        from regions import Regions  # noqa: PLC0415 - optional
    except ImportError as error:
        raise FitsReadError(
            "DS9 regions need the package regions",
            where=str(path),
            remedy="pip install 'astroclean[regions]'.",
        ) from error
    text = read_text(path, limit=_LARGEST)
    if _COMPOSITE.search(text):
        raise FitsReadError(
            "has composite regions (joined by `||`), of which only the first shape would be read",
            where=str(path),
            remedy="In DS9 dissolve them (Region > Composite Region > Dissolve), and save again.",
        )
    with warnings.catch_warnings():
        # The package warns of a region that it skips; one would be missing unseen.
        warnings.filterwarnings("error", category=AstropyUserWarning)
        for harmless in _DRAWING:
            warnings.filterwarnings("ignore", message=harmless)
        try:
            found: list[Any] = list(Regions.parse(text, format="ds9"))
        except Exception as error:  # the package raises many types
            raise FitsReadError(
                f"cannot be read as DS9 regions: {str(error).rstrip('.')}",
                where=str(path),
                remedy=remedy,
            ) from error
    if not found:
        raise FitsReadError("has no region", where=str(path), remedy=remedy)
    return found


def _refuse_shapes(found: Sequence[Any], path: Path) -> None:
    # A label is a point to the package, with the place of the text as its centre.
    refused = _counted(
        found, lambda region: not hasattr(region, "center") or _shape(region) == "text"
    )
    if refused:
        raise FitsReadError(
            "has regions without a centre of their own",
            where=str(path),
            received=refused,
            remedy=_REMEDY,
        )
    # In DS9's language a minus before the shape takes its pixels away.
    excluded = _counted(found, lambda region: not region.meta.get("include", True), sign="-")
    if excluded:
        raise FitsReadError(
            "has excluded regions, which are no sources",
            where=str(path),
            received=excluded,
            remedy="Remove them, or the minus before them.",
        )


def _counted(found: Sequence[Any], is_told: Callable[[Any], bool], sign: str = "") -> str:
    """Return how many regions of each shape are told, and which of the file; empty for none."""
    places: dict[str, list[int]] = {}
    for number, region in enumerate(found, 1):
        if is_told(region):
            places.setdefault(_shape(region), []).append(number)
    return "; ".join(
        f"{len(numbers)} {sign}{shape}: region {', '.join(map(str, numbers[:_TOLD]))}"
        + (f", ... of {len(found)}" if len(numbers) > _TOLD else f" of {len(found)}")
        for shape, numbers in sorted(places.items())
    )


def _shape(region: Any) -> str:
    """Return the name of a shape, as `polygon` of PolygonPixelRegion."""
    name = type(region).__name__
    return name.removesuffix("SkyRegion").removesuffix("PixelRegion").lower()


def _pixel_table(found: Sequence[Any]) -> QTable:
    from astropy.table import QTable  # noqa: PLC0415 - heavy

    radii = [float(r.radius) if _shape(r) == "circle" else np.nan for r in found]
    return QTable(
        {
            "id": np.arange(1, len(found) + 1),
            "x": np.array([float(region.center.x) for region in found]),
            "y": np.array([float(region.center.y) for region in found]),
            "radius": np.array(radii),
        }
    )


def _sky_table(found: Sequence[Any]) -> QTable:
    from astropy import units as u  # noqa: PLC0415 - heavy
    from astropy.table import QTable  # noqa: PLC0415 - heavy

    sky = [region.center.icrs for region in found]
    radii = [r.radius.to_value(u.arcsec) if _shape(r) == "circle" else np.nan for r in found]
    return QTable(
        {
            "id": np.arange(1, len(found) + 1),
            "ra": [place.ra.deg for place in sky] * u.deg,
            "dec": [place.dec.deg for place in sky] * u.deg,
            "radius": radii * u.arcsec,
        }
    )
