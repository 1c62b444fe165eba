"""World coordinates whose cards contradict each other, or hold their numbers in quotes."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from astropy.io.fits import Header
    from numpy.typing import NDArray

    from astroclean.io.header.header_values import Remarked

__all__ = ["has_steps", "repaired_wcs"]

_NUMERIC = re.compile(
    r"CRVAL\d[A-Z]?|CRPIX\d[A-Z]?|CDELT\d[A-Z]?|CROTA\d|(CD|PC)\d_\d[A-Z]?|PV\d_\d+[A-Z]?"
    r"|LONPOLE[A-Z]?|LATPOLE[A-Z]?|EQUINOX[A-Z]?|EPOCH|MJD-OBS|[AB]P?_(ORDER|\d+_\d+)"
)
_SEXAGESIMAL = re.compile(r"\s*([+-]?)(\d+)[:\s]+(\d+)[:\s]+(\d+(?:\.\d*)?)\s*")
_STEPS = re.compile(r"(CD|PC)\d_\d|CDELT\d")
_SAME = 0.01
"""Share by which two matrices may differ and tell the same."""
_LEAST = 0.9
"""Ratio of two pixel sizes beyond which they contradict each other."""
_LARGEST_STEP = 0.5
"""Degrees; a matrix of larger steps is what is left of a default."""


def has_steps(header: Mapping[str, Any]) -> bool:
    """Return whether a header tells the size of a pixel on the sky at all."""
    return any(_STEPS.fullmatch(str(key)) for key in header)


def repaired_wcs(header: Header, remarked: Remarked) -> Header | None:
    """Return a header from which a WCS can be made; None where its cards tell two.

    Parameters
    ----------
    header : Header
        Of an image; not modified.
    remarked : Remarked
        Gains what was repaired, and what is contradictory.

    Returns
    -------
    Header or None
        The same header where nothing is wrong.
    """
    quoted = _quoted(header)
    matrices = _matrix(header, "CD"), _matrix(header, "PC")
    if not quoted and any(matrix is None for matrix in matrices):
        _compare_steps(header, matrices[0], remarked)
        return header
    repaired = header.copy()
    for keyword, number in quoted.items():
        if number is None:
            remarked.notes.append(f"WCS not understood: {keyword} = {header[keyword]!r}")
            return None
        repaired[keyword] = number
    if quoted:
        names = ", ".join(quoted)
        remarked.notes.append(f"{names}: texts in quotes where the standard has numbers; taken so")
    return _one_matrix(repaired, remarked)


def _quoted(header: Header) -> dict[str, float | None]:
    """Return keyword to number of the cards of a WCS that hold texts; None: no number."""
    found: dict[str, float | None] = {}
    for keyword in header:
        if _NUMERIC.fullmatch(keyword) and isinstance(header[keyword], str):
            found[keyword] = _number(header[keyword], keyword, header)
    return found


def _number(text: str, keyword: str, header: Header) -> float | None:
    plain = text.strip().removeprefix("J") if keyword in {"EQUINOX", "EPOCH"} else text.strip()
    try:
        number = float(plain)
    except ValueError:
        parts = _SEXAGESIMAL.fullmatch(plain)
        if parts is None or not keyword.startswith("CRVAL"):
            return None
        degrees = int(parts[2]) + int(parts[3]) / 60 + float(parts[4]) / 3600
        hours = str(header.get(f"CTYPE{keyword[5:]}", "")).upper().startswith("RA")
        number = (-1 if parts[1] == "-" else 1) * degrees * (15 if hours else 1)
    return number if np.isfinite(number) else None


def _matrix(header: Header, kind: str) -> NDArray[np.float64] | None:
    """Return the steps (degrees a pixel) by one form of the standard, None where it is absent."""
    keys = [[f"{kind}{i}_{j}" for j in (1, 2)] for i in (1, 2)]
    if not any(key in header for row in keys for key in row):
        return None
    missing = np.eye(2) if kind == "PC" else np.zeros((2, 2))
    try:
        matrix = np.array(
            [
                [float(header.get(key, missing[i, j])) for j, key in enumerate(row)]
                for i, row in enumerate(keys)
            ]
        )
        steps = [float(header.get(f"CDELT{i}", 1.0)) for i in (1, 2)]
    except (TypeError, ValueError):
        return None
    return matrix if kind == "CD" else np.diag(steps) @ matrix


def _size(matrix: NDArray[np.float64]) -> float:
    return float(np.sqrt(abs(np.linalg.det(matrix))))


def _one_matrix(header: Header, remarked: Remarked) -> Header | None:
    """Return a header with one of CD and PC, which the standard forbids together."""
    cd, pc = _matrix(header, "CD"), _matrix(header, "PC")
    if cd is None or pc is None:
        _compare_steps(header, cd, remarked)
        return header
    scale = _size(cd)
    told = ", ".join(
        f"{kind} tells {3600 * _size(matrix):.4g} arcsec a pixel"
        for kind, matrix in (("CD", cd), ("PC and CDELT", pc))
    )
    if np.allclose(cd, pc, rtol=0, atol=_SAME * max(scale, _size(pc))):
        return _without(header, "PC")
    sane = [0 < _size(matrix) < _LARGEST_STEP for matrix in (cd, pc)]
    if sane[0] == sane[1]:
        remarked.contradictions.append(
            f"CD and PC contradict each other ({told}); no world coordinates are taken"
        )
        return None
    taken, left = ("CD", "PC") if sane[0] else ("PC", "CD")
    remarked.contradictions.append(
        f"CD and PC contradict each other ({told}); {taken} is taken, the other cannot be"
    )
    return _without(header, left)


def _compare_steps(header: Header, cd: NDArray[np.float64] | None, remarked: Remarked) -> None:
    """Say where CDELT tells other pixels than CD, by which the standard goes."""
    steps = [header.get(f"CDELT{i}") for i in (1, 2)]
    if cd is None or not all(isinstance(step, (int, float)) and step for step in steps):
        return
    other = float(np.sqrt(abs(steps[0] * steps[1])))
    # Old writers left CDELT = 1 beside CD.
    if other < _LARGEST_STEP and _size(cd) > 0 and not _LEAST < other / _size(cd) < 1 / _LEAST:
        remarked.contradictions.append(
            f"CDELT tells pixels of {3600 * other:.4g} arcsec, CD {3600 * _size(cd):.4g}; CD is "
            "taken, as the standard says"
        )


def _without(header: Header, kind: str) -> Header:
    repaired = header.copy()
    for i in (1, 2):
        for j in (1, 2):
            repaired.remove(f"{kind}{i}_{j}", ignore_missing=True)
    return repaired
