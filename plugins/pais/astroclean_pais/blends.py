"""Solve normal equations blend by blend, with the covariance of each, and safely.

All matrices here are scaled to a diagonal of 1, so that an entry is the correlation of two images.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

__all__ = ["Covariance", "covariance_of", "solved"]

_DENSE = 400
"""Sources of a blend up to which its matrix is a dense one."""
_WEAK = 1e-4
"""Correlation of images of a larger blend below which sources do not change each other's error: a
part of 1e-8."""
_SINGULAR = 1e7
"""Variance of a flux, with that of the source alone as unit, from which it is not determined:
images are float32, and differences of a few of their last digits are nobody's light."""
_RIDGE = 1e-9
"""What is then added to the diagonal: as if the flux were known to be zero within 3e4 times its
error alone. Images that are the same then share their light evenly."""
_MORE = 100.0
"""Factor of the next ridge, where that is not enough."""
_COLUMNS = 256
"""Of the inverse of a large matrix, how many columns are held at once."""
_BACKUP = 3
"""Tries of exchanging all sources at once before one is exchanged alone (Kim & Park)."""
_ROUNDS = 100
"""Exchanges, beside three a source, that are tried; few need ten."""


class Covariance(NamedTuple):
    """Inverse of a scaled matrix, as far as it is asked for."""

    variance: NDArray[np.float64]
    """(n,) diagonal: 1 for a source alone."""
    partner: NDArray[np.intp]
    """(n,) number of the overlapping source that is most correlated with this one, -1 for none."""
    shared: NDArray[np.float64]
    """(n,) covariance of both, 0 for none."""
    ridge: NDArray[np.float64]
    """(n,) what had to be added to the diagonal."""


class _Blend(NamedTuple):
    """Part of a sparse matrix that nothing connects to the rest."""

    members: NDArray[np.intp]
    """Rows in the whole matrix."""
    entries: NDArray[np.intp]
    """Numbers of its entries in the whole matrix."""
    rows: NDArray[np.intp]
    """Of the entries, among the members."""
    columns: NDArray[np.intp]
    values: NDArray[np.float64]

    def matrix(self, ridge: NDArray[np.float64]) -> Any:
        """Return it with something added to its diagonal, dense if it is small."""
        size = self.members.size
        if size > _DENSE:
            from scipy.sparse import csc_array, dia_array  # noqa: PLC0415 - heavy

            sparse = csc_array((self.values, (self.rows, self.columns)), shape=(size, size))
            return csc_array(sparse + dia_array((ridge[np.newaxis], [0]), shape=(size, size)))
        dense = np.zeros((size, size))
        dense[self.rows, self.columns] = self.values
        dense[np.arange(size), np.arange(size)] += ridge
        return dense


def covariance_of(matrix: Any) -> Covariance:
    """Return variances of all fluxes, and the largest covariance of each.

    Parameters
    ----------
    matrix : (n, n) scipy.sparse.coo_array
        Symmetric, with a diagonal of at least 1 for sources with data or a prior. Not modified.

    Returns
    -------
    Covariance
        New.
    """
    from scipy.sparse import coo_array  # noqa: PLC0415 - heavy
    from scipy.sparse.csgraph import connected_components  # noqa: PLC0415 - heavy

    _, labels = connected_components(matrix.tocsr(), directed=False)
    large = (np.bincount(labels) > _DENSE)[labels] if labels.size else labels > 0
    strong = (np.abs(matrix.data) > _WEAK) | ~large[matrix.row]
    kept = coo_array(
        (matrix.data[strong], (matrix.row[strong], matrix.col[strong])), shape=matrix.shape
    )
    inverse, ridge = np.zeros(kept.nnz), np.zeros(kept.shape[0])
    for blend in _blends(kept):
        inverse[blend.entries], ridge[blend.members] = _inverse_of(blend)
    on_diagonal = kept.row == kept.col
    variance = np.zeros(kept.shape[0])
    variance[kept.row[on_diagonal]] = inverse[on_diagonal]
    rows, columns, shared = (x[~on_diagonal] for x in (kept.row, kept.col, inverse))
    correlation = np.abs(shared) / np.sqrt(variance[rows] * variance[columns])
    order = np.lexsort((-columns, correlation, rows))
    last = np.flatnonzero(np.diff(rows[order], append=-1))  # the largest of each row
    partner, most = np.full(variance.size, -1, dtype=np.intp), np.zeros(variance.size)
    partner[rows[order][last]] = columns[order][last]
    most[rows[order][last]] = shared[order][last]
    return Covariance(variance, partner, most, ridge)


def solved(
    matrix: Any, right: NDArray[np.float64], ridge: NDArray[np.float64], *, positive: bool
) -> NDArray[np.float64]:
    """Return the solution of ``(matrix + ridge) f = right``.

    Parameters
    ----------
    matrix : (n, n) scipy.sparse.coo_array
        As of `covariance_of`.
    right, ridge : (n,) float64
        Not modified.
    positive : bool
        Whether the solution is the best without a negative flux.

    Returns
    -------
    (n,) float64
        New.
    """
    fluxes = np.zeros(right.size)
    for blend in _blends(matrix):
        part = blend.matrix(ridge[blend.members])
        solve = _not_negative if positive else _solve
        fluxes[blend.members] = solve(part, right[blend.members])
    return fluxes


def _blends(matrix: Any) -> Iterator[_Blend]:
    """Yield the connected parts of a matrix, in the order of their first members."""
    from scipy.sparse.csgraph import connected_components  # noqa: PLC0415 - heavy

    if not matrix.shape[0]:
        return
    _, labels = connected_components(matrix.tocsr(), directed=False)
    members = np.argsort(labels, kind="stable")
    local = np.empty(labels.size, dtype=np.intp)
    starts = np.searchsorted(labels[members], np.arange(labels.max() + 2))
    local[members] = np.arange(labels.size) - starts[labels[members]]
    of_entries = labels[matrix.row]
    entries = np.argsort(of_entries, kind="stable")
    ends = np.searchsorted(of_entries[entries], np.arange(labels.max() + 2))
    for number in range(labels.max() + 1):
        own = entries[ends[number] : ends[number + 1]]
        yield _Blend(
            members[starts[number] : starts[number + 1]],
            own,
            local[matrix.row[own]],
            local[matrix.col[own]],
            matrix.data[own],
        )


def _inverse_of(blend: _Blend) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the inverse at the entries of a blend, and the ridge that it needs."""
    ridge = np.zeros(blend.members.size)
    if ridge.size == 1:
        return 1 / blend.values, ridge
    inverse = _entries_of_inverse(blend, ridge)
    if inverse is None or not _determined(blend, inverse).all():
        least, certain = _RIDGE, None
        while certain is None:  # what is weak was left out, which can cost a little of the rest
            certain = _entries_of_inverse(blend, ridge + least)
            least *= 1 if certain is not None else _MORE
        needy = np.where(_determined(blend, certain), 0.0, least)
        inverse = _entries_of_inverse(blend, needy)
        if inverse is None:
            return certain, ridge + least
        ridge = needy
    return inverse, ridge


def _determined(blend: _Blend, inverse: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return for which members the variance is one that pixels can tell."""
    variance = np.zeros(blend.members.size)
    diagonal = blend.rows == blend.columns
    variance[blend.rows[diagonal]] = inverse[diagonal]
    return (variance > 0) & (variance < _SINGULAR)


def _entries_of_inverse(blend: _Blend, ridge: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """Return the inverse of a blend's matrix at its entries; None where it has none."""
    matrix, size = blend.matrix(ridge), blend.members.size
    solve = _solver(matrix)
    if solve is None:
        return None
    if size <= _DENSE:
        return np.asarray(solve(np.eye(size))[blend.rows, blend.columns])
    values, order = np.empty(blend.entries.size), np.argsort(blend.columns, kind="stable")
    bounds = np.searchsorted(blend.columns[order], np.arange(0, size + _COLUMNS, _COLUMNS))
    for number, start in enumerate(range(0, size, _COLUMNS)):
        unit = np.zeros((size, min(_COLUMNS, size - start)))
        unit[start + np.arange(unit.shape[1]), np.arange(unit.shape[1])] = 1
        columns = solve(unit)
        own = order[bounds[number] : bounds[number + 1]]
        values[own] = columns[blend.rows[own], blend.columns[own] - start]
    return values


def _solve(matrix: Any, right: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the solution for a positive matrix, dense or sparse."""
    if right.size == 1:
        return np.asarray(right / matrix[0, 0])
    solve = _solver(matrix)
    if solve is None:
        solve = _solver(matrix + _RIDGE * _unit_like(matrix))
    assert solve is not None  # its rounding is far below the ridge
    return np.asarray(solve(right))


def _solver(matrix: Any) -> Callable[[NDArray[np.float64]], Any] | None:
    """Return what solves equations with a positive matrix; None where it is singular."""
    from scipy.linalg import cho_factor, cho_solve  # noqa: PLC0415 - heavy
    from scipy.sparse.linalg import splu  # noqa: PLC0415 - heavy

    try:
        if isinstance(matrix, np.ndarray):
            factor = cho_factor(matrix, lower=True, check_finite=False)
            return partial(cho_solve, factor, check_finite=False)
        # The diagonal of a positive matrix needs no pivots.
        factor = splu(
            matrix.tocsc(),
            permc_spec="MMD_AT_PLUS_A",
            diag_pivot_thresh=0.0,
            options={"SymmetricMode": True},
        )
    except (np.linalg.LinAlgError, RuntimeError):
        return None
    solve: Callable[[NDArray[np.float64]], Any] = factor.solve
    return solve


def _unit_like(matrix: Any) -> Any:
    """Return the unit matrix, dense or sparse as another is."""
    if isinstance(matrix, np.ndarray):
        return np.eye(len(matrix))
    from scipy.sparse import eye_array  # noqa: PLC0415 - heavy

    return eye_array(matrix.shape[0], format="csc")


def _not_negative(matrix: Any, right: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the best solution without a negative number, by block principal pivoting.

    Kim & Park (2011, SIAM J. Sci. Comput. 33, 3261): sources that a solution makes negative are
    held at zero, those whose slope there is downhill are set free, all at once while that brings
    the count of wrong ones down, else one alone, which ends for every positive matrix but for
    rounding.
    """
    free, tolerance = np.ones(right.size, dtype=bool), 1e-12 * np.abs(right).max(initial=0.0)
    fewest, tries = right.size + 1, _BACKUP
    for _ in range(_ROUNDS + 3 * right.size):
        fluxes = np.zeros(right.size)
        if free.any():
            fluxes[free] = _solve(matrix[free][:, free], right[free])
        slope = matrix @ fluxes - right
        wrong = np.where(free, fluxes < -tolerance, slope < -tolerance)
        count = int(wrong.sum())
        if count == 0:
            return np.maximum(fluxes, 0)
        if count < fewest:
            fewest, tries = count, _BACKUP
        elif tries:
            tries -= 1
        else:
            wrong[: np.flatnonzero(wrong)[-1]] = False
        free ^= wrong
    return _not_negative_by_one(matrix, right)


def _not_negative_by_one(matrix: Any, right: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the same one source at a time (Lawson & Hanson), where rounding goes in circles."""
    from scipy.linalg import cholesky, solve_triangular  # noqa: PLC0415 - heavy
    from scipy.optimize import nnls  # noqa: PLC0415 - heavy

    dense = matrix if isinstance(matrix, np.ndarray) else matrix.toarray()
    root = cholesky(dense + _RIDGE * np.eye(right.size))
    return np.asarray(nnls(root, solve_triangular(root, right, trans="T"))[0])
