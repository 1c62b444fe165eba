"""Every sign of damage in a FITS file becomes one error; harmless oddities become notes."""

from __future__ import annotations

import contextlib
import warnings
from typing import TYPE_CHECKING

from astroclean.errors import FitsReadError
from astroclean.io.fits.limits import REMEDY_FOR_DAMAGE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["damage_told"]

_FATAL = ("missing END card", "Error validating header", "not a valid FITS")


@contextlib.contextmanager
def damage_told(path: Path, notes: list[str]) -> Iterator[None]:
    """Turn whatever astropy raises or warns while it reads a file into words of our own.

    Parameters
    ----------
    path : Path
        The file, for messages.
    notes : list of str
        Oddities that stop nothing are added here, each once.

    Raises
    ------
    FitsReadError
        The file is damaged or not FITS.
    """
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            yield
        except FitsReadError:
            raise
        except MemoryError as error:
            problem = "header asks for more memory than there is; the file is damaged"
            raise FitsReadError(problem, where=str(path), remedy=REMEDY_FOR_DAMAGE) from error
        # astropy raises OSError, KeyError, ValueError, TypeError, ... on damaged files.
        except Exception as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            reason = reason.partition(" If this is really a FITS file")[0]  # an option of astropy's
            raise FitsReadError(
                f"not a readable FITS file: {reason.rstrip('.')}",
                where=str(path),
                remedy=REMEDY_FOR_DAMAGE,
            ) from error
    for warning in caught:
        fault, about = _told(str(warning.message))
        if any(sign in fault for sign in _FATAL):
            problem = f"damaged: {fault.rstrip('.')}"
            raise FitsReadError(problem, where=str(path), remedy=REMEDY_FOR_DAMAGE)
        # Of cards with one fault, the first is told: a log of an observatory has hundreds.
        if not any(note == fault or (about and note.startswith(fault)) for note in notes):
            notes.append(f"{fault} {about}" if about else fault)


def _told(message: str) -> tuple[str, str]:
    """Return the first line of a warning, and the next where that says what it is about."""
    first, second, *_ = [*(line.strip() for line in message.splitlines()), "", ""]
    return first, second if first.endswith(":") else ""
