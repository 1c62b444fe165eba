"""Tables of chunks: each thing once, at its place in the frame."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from astroclean.core.stage.hooks import FAULT
from astroclean.core.stage.scope import chunk_of, is_own, rows_of
from astroclean.errors import ContractError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from astropy.table import QTable

    from astroclean.core.image.frame import Frame

__all__ = ["checked_tables"]


def checked_tables(
    given: Mapping[str, QTable],
    declared: Collection[str],
    frame: Frame,
    *,
    y_columns: Sequence[str],
    where: str,
) -> dict[str, QTable]:
    """Return the tables of an answer; of a chunk, what they say of its own rows.

    Parameters
    ----------
    given : mapping of str to QTable
        By name, in pixels of ``frame``. Not modified.
    declared : collection of str
        Names of those that the stage may give.
    frame : Frame
        That the hook got; all rows are its own where it was not cut.
    y_columns : sequence of str
        Columns that are y; the first, which every table must have, tells where the thing of a row
        lies. Without them tables are left as they are.
    where : str
        Frame and stage, for messages.

    Returns
    -------
    dict of str to QTable
        With y of the larger frame, and in order of its rows, so that tables of chunks, one after
        the other, are that of the frame.

    Raises
    ------
    ContractError
        A table is not declared; a column of y is not in pixels, or does not tell the place of each
        thing.
    """
    undeclared = sorted(set(given) - set(declared))
    if undeclared:
        raise ContractError(
            "a stage may only give the tables that it declares in `tables`",
            where=where,
            received=", ".join(undeclared),
            remedy=FAULT,
        )
    if not y_columns:
        return dict(given)
    return {
        name: _own_rows(table, y_columns, frame, where=f"{where}, table '{name}'")
        for name, table in given.items()
    }


def _own_rows(table: QTable, y_columns: Sequence[str], frame: Frame, *, where: str) -> QTable:
    from astropy.units import Quantity  # noqa: PLC0415 - half a second to import

    there = [name for name in y_columns if name in table.colnames]
    fault: dict[str, Any] = {"where": where, "remedy": FAULT}
    if y_columns[0] not in there:
        told = ", ".join(table.colnames)
        raise ContractError(
            f"the table must have the column '{y_columns[0]}'", received=told, **fault
        )
    for name in there:
        unit, kind = getattr(table[name], "unit", None), table[name].dtype.kind
        if kind not in "fiu" or str(unit or "pix") != "pix":
            raise ContractError(
                f"column '{name}' must be numbers in pixels", received=f"{kind}, {unit}", **fault
            )
    y = np.asarray(table[there[0]], dtype=float)
    if not np.isfinite(y).all() or np.any(getattr(table[there[0]], "mask", False)):
        raise ContractError(f"column '{there[0]}' must tell the place of each thing", **fault)
    own = np.flatnonzero(is_own(frame, y))
    moved = table[own[np.argsort(rows_of(frame, y[own]), kind="stable")]]
    for name in there:
        column, top = moved[name], chunk_of(frame).origin[0]
        moved[name] += top * column.unit if isinstance(column, Quantity) else top
    return moved
