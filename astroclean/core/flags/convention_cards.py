"""A convention as cards and as a table: what each value of a mask means, told in its own file."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from astroclean.core.flags.convention_value import ConventionValue
from astroclean.core.flags.conventions import Convention
from astroclean.core.flags.planes import parse_planes
from astroclean.errors import PlaneError

if TYPE_CHECKING:
    from astropy.io.fits import Header
    from astropy.table import Table

__all__ = ["convention_cards", "convention_of_cards", "convention_table"]


def convention_cards(convention: Convention) -> Header:
    """Return a convention of bits as FITS cards; none for codes, which these cards cannot tell.

    Parameters
    ----------
    convention : Convention
        The encoding.

    Returns
    -------
    astropy.io.fits.Header
        For each bit n ``MSKNnnnn`` (name), ``MSKMnnnn`` (value) and ``MSKDnnnn`` (meaning), as
        Rubin's data previews have them, and ``MSKPnnnn``: the planes of astroclean that it stands
        for.
    """
    from astropy.io.fits import Header  # noqa: PLC0415 - core stays light to import

    header = Header()
    for row in convention.values if convention.encoding == "bits" else ():
        number = f"{row.value.bit_length() - 1:04d}"
        header[f"MSKN{number}"] = (row.name, "name of mask plane")
        header[f"MSKM{number}"] = (row.value, "value of mask plane")
        header[f"MSKD{number}"] = (_ascii(row.meaning), "meaning")
        header[f"MSKP{number}"] = (",".join(row.planes), "planes of astroclean")
    return header


def convention_of_cards(header: Header, name: str) -> Convention | None:
    """Return the convention that `convention_cards` has written; None where there is none.

    Parameters
    ----------
    header : Header
        Of a mask.
    name : str
        Of the convention.
    """
    rows = []
    for key, value in header.items():
        number = re.fullmatch(r"MSKP(\d{4})", key)
        if number is None:
            continue
        planes = tuple(part for part in str(value).split(",") if part.strip())
        try:
            parse_planes(planes)
        except PlaneError:
            return None  # of a version that knows more planes
        rows.append(
            ConventionValue(
                value=int(header[f"MSKM{number[1]}"]),
                name=str(header[f"MSKN{number[1]}"]),
                meaning=str(header.get(f"MSKD{number[1]}", "")),
                planes=planes,
            )
        )
    if not rows:
        return None
    return Convention(name=name, title=name, source="cards of the mask", values=tuple(rows))


def convention_table(convention: Convention) -> Table:
    """Return a convention as a table.

    Parameters
    ----------
    convention : Convention
        The encoding.

    Returns
    -------
    astropy.table.Table
        Columns ``BIT`` (number of the bit, -1 of codes), ``VALUE``, ``NAME``, ``DESCRIPTION``, as
        in the ``DQ_DEF`` of reference files of JWST, and ``PLANES`` of astroclean.
    """
    from astropy.table import Table  # noqa: PLC0415 - core stays light to import

    is_bits = convention.encoding == "bits"
    rows = [
        (
            row.value.bit_length() - 1 if is_bits else -1,
            row.value,
            _ascii(row.name),
            _ascii(row.meaning),
            ",".join(row.planes),
        )
        for row in convention.values
    ]
    return Table(
        rows=rows,
        names=["BIT", "VALUE", "NAME", "DESCRIPTION", "PLANES"],
        dtype=["i4", "i8", "S", "S", "S"],
    )


def _ascii(text: str) -> str:
    return text.encode("ascii", "replace").decode("ascii")
