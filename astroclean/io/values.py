"""Units and detector values of a frame: header, instrument file, or the user's own setting."""

from __future__ import annotations

import contextlib
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import astropy.units as u
import numpy as np
from astropy.wcs import WCS
from astropy.wcs.utils import proj_plane_pixel_scales

from astroclean.core.detector import DETECTOR_KEYWORDS
from astroclean.errors import UnitError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from astropy.io.fits import HDUList, Header

    from astroclean.io.instruments import Instrument, ValueRule

__all__ = ["Resolved", "frame_unit", "frame_wcs", "resolve_detector"]

_ARCSEC_PER_DEG = 3600.0


@dataclass(frozen=True)
class Resolved:
    """A value and where it came from."""

    value: Any
    origin: str


def _from_header(rule: ValueRule, header: Mapping[str, Any]) -> Resolved | None:
    for keyword in rule.keywords:
        parts = keyword.split("&")
        values = [header.get(part) for part in parts]
        if any(value is None or str(value).strip() == "" for value in values):
            continue
        if len(values) == 1:
            value = values[0]
            return Resolved(value.strip() if isinstance(value, str) else value, f"header {keyword}")
        numbers = [number for value in values if (number := _number(value)) is not None]
        if len(numbers) == len(values):
            return Resolved(float(np.mean(numbers)), f"header {keyword}")
    return None


def _number(value: Any) -> float | None:
    # Herschel headers hold "PSW     / Name of the detector": a comment within the value.
    text = str(value).split(" / ")[0].strip()
    with contextlib.suppress(ValueError):
        number = float(text)
        return number if np.isfinite(number) else None
    return None


def frame_unit(
    instrument: Instrument, header: Header, overrides: Mapping[str, Any], *, where: str
) -> tuple[u.UnitBase, str]:
    """Return the unit of the pixel values and where it came from.

    Parameters
    ----------
    instrument : Instrument
        Its ``unit`` rule: keywords, aliases, default.
    header : Header
        Merged header of the science HDU.
    overrides : mapping
        The user's own settings; ``unit`` wins over everything.
    where : str
        File and HDU, for messages.

    Returns
    -------
    (UnitBase, str)
        Unit and origin.

    Raises
    ------
    UnitError
        No unit, or one that is not understood.
    """
    rule = instrument.rule("unit", header)
    told = _from_header(rule, header)
    if overrides.get("unit") is not None:
        told = Resolved(str(overrides["unit"]), "setting instrument.unit")
    elif told is None and rule.default is not None:
        told = Resolved(str(rule.default), f"assumed for instrument '{instrument.name}'")
    if told is None:
        raise UnitError(
            "the unit of the pixel values is not told",
            where=where,
            remedy="Give it: `--set instrument.unit=adu` (or electron, MJy/sr, ...).",
        )
    for text in _spellings(str(told.value), rule.aliases):
        # Deprecated spellings such as "ergs" are understood; they are not the user's fault.
        with warnings.catch_warnings(), contextlib.suppress(ValueError):
            warnings.simplefilter("ignore", u.UnitsWarning)
            return u.Unit(text), told.origin
    raise UnitError(
        "unit of the pixel values is not understood",
        where=where,
        received=f"{told.value!r}, {told.origin}",
        remedy="Give one that is: `--set instrument.unit=adu`.",
    )


def _spellings(text: str, aliases: Mapping[str, str]) -> list[str]:
    """Return what a unit's text may mean, most literal first."""
    meant = {key.upper(): value for key, value in aliases.items()}
    # Herschel headers hold "Jy/pix   / Unit of the map": a comment within the value.
    texts = [text.strip(), text.split(" / ", maxsplit=1)[0].strip()]
    return [
        spelling
        for t in texts
        for spelling in ([meant[t.upper()]] if t.upper() in meant else [t, t.lower()])
    ]


def resolve_detector(
    instrument: Instrument, header: Header, overrides: Mapping[str, Any], wcs: WCS | None
) -> dict[str, Resolved]:
    """Return the detector values that are known.

    Parameters
    ----------
    instrument, header, overrides
        As for :func:`frame_unit`.
    wcs : astropy.wcs.WCS or None
        Tells the pixel scale where no rule does.

    Returns
    -------
    dict of str to Resolved
        Field of :class:`~astroclean.core.detector.Detector` to value; unknown ones are left out.
    """
    found: dict[str, Resolved] = {}
    for name in DETECTOR_KEYWORDS:
        if name == "instrument":
            found[name] = Resolved(instrument.name, "instrument")
            continue
        rule = instrument.rule(name, header)
        told = _from_header(rule, header)
        if overrides.get(name) is not None:
            told = Resolved(overrides[name], f"setting instrument.{name}")
        elif name == "pixel_scale" and (scale := _pixel_scale(wcs)) is not None:
            told = Resolved(scale, "WCS")
        elif told is None and rule.default is not None:
            told = Resolved(rule.default, f"instrument '{instrument.name}'")
        if told is None:
            continue
        value = str(told.value) if name == "filter" else _number(told.value)
        # A gain or exposure of 0 is how archives write "unknown".
        if value is not None and (name in {"filter", "read_noise"} or value > 0):  # type: ignore[operator]
            found[name] = Resolved(value, told.origin)
    return found


def _pixel_scale(wcs: WCS | None) -> float | None:
    if wcs is None or not wcs.has_celestial:
        return None
    scales = proj_plane_pixel_scales(wcs.celestial) * _ARCSEC_PER_DEG
    scale = float(np.sqrt(scales[0] * scales[1]))
    return scale if np.isfinite(scale) and scale > 0 else None


def frame_wcs(header: Header, hdus: HDUList, notes: list[str]) -> WCS | None:
    """Return the celestial or other 2-D WCS of a header, or None where there is none.

    Parameters
    ----------
    header : Header
        Header of the science HDU.
    hdus : HDUList
        The file, for lookup tables.
    notes : list of str
        A WCS that cannot be understood is named here; the frame then has none.

    Returns
    -------
    astropy.wcs.WCS or None
        Two axes.
    """
    if not any(str(header.get(key, "")).strip() for key in ("CTYPE1", "CTYPE2")):
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # repairs of old headers; the header itself is kept
        try:
            wcs = WCS(header, fobj=hdus, naxis=2)
            wcs.wcs.set()
            if wcs.pixel_shape is not None:
                # Of a cube, astropy keeps three lengths, by which it then slices wrongly.
                wcs.pixel_shape = wcs.pixel_shape[:2]
        # WCSLIB and astropy raise many types on malformed headers.
        except Exception as error:  # noqa: BLE001
            reason = str(error).strip().splitlines()
            notes.append(f"WCS not understood: {reason[-1] if reason else type(error).__name__}")
            return None
        finite = np.isfinite([*wcs.pixel_scale_matrix.flat, *wcs.wcs.crval]).all()
    if not finite:
        notes.append("WCS not understood: steps or reference values are not finite")
    return wcs if finite else None
