"""Catalogues as VOTables, the format of the Virtual Observatory."""

from __future__ import annotations

import io
import warnings
from typing import TYPE_CHECKING

from astroclean import __version__

if TYPE_CHECKING:
    from collections.abc import Sequence

    from astropy.io.votable.tree import Resource
    from astropy.table import QTable

__all__ = ["votable_bytes"]

_ICRS, _ON_THE_SKY = "icrs", ("ra", "dec")


def votable_bytes(table: QTable, name: str, *, history: Sequence[str]) -> bytes:
    """Return a table as a VOTable of one resource.

    Parameters
    ----------
    table : QTable
        Not modified. Units, descriptions and UCDs of its columns become those of the fields;
        ``ra`` and ``dec`` refer to a ``COOSYS`` of ICRS.
    name : str
        Of the table.
    history : sequence of str
        By which stages it came about; each line is an ``INFO``.
    """
    from astropy.io.votable import from_table, writeto  # noqa: PLC0415 - rarely needed, heavy
    from astropy.io.votable.exceptions import VOWarning  # noqa: PLC0415 - as above
    from astropy.io.votable.tree import Info  # noqa: PLC0415 - as above
    from astropy.units import UnitsWarning  # noqa: PLC0415 - as above

    stream = io.BytesIO()
    with warnings.catch_warnings():
        # Electrons are no unit of the VO; they are written as they are, and read again.
        warnings.simplefilter("ignore", VOWarning)
        warnings.simplefilter("ignore", UnitsWarning)
        votable = from_table(_with_signs(table), table_id=name)
        resource = votable.resources[0]
        _refer_to_icrs(resource)
        resource.infos.append(Info(name="astroclean", value=__version__))
        resource.infos.extend(
            Info(ID=f"history{number}", name="history", value=line)
            for number, line in enumerate(history, start=1)
        )
        writeto(votable, stream)
    return stream.getvalue()


def _refer_to_icrs(resource: Resource) -> None:
    """Let positions on the sky tell their system, which they are all of in catalogues of ours."""
    from astropy.io.votable.tree import CooSys  # noqa: PLC0415 - as above

    fields = [f for f in resource.tables[0].fields if f.name in _ON_THE_SKY]
    if fields:
        resource.coordinate_systems.append(CooSys(ID=_ICRS, system="ICRS"))
    for field in fields:
        field.ref = _ICRS


def _with_signs(table: QTable) -> QTable:
    """Return a table whose whole numbers have a sign: a VOTable knows no others above a byte."""
    signed = table.copy()
    for name in table.colnames:
        kind = table[name].dtype
        if kind.kind == "u" and kind.itemsize > 1:
            info = table[name].info
            signed[name] = table[name].astype(f"i{min(2 * kind.itemsize, 8)}")
            signed[name].info.description, signed[name].info.meta = info.description, info.meta
    return signed
