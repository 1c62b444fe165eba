"""Bits that a user calls good or bad, in the syntax of astropy, in place of a convention."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator

from astroclean.core.flags.convention_value import ConventionValue
from astroclean.core.flags.conventions import Convention

__all__ = ["BitFlags", "bits_convention", "interpret_bits"]

_WIDEST = 62


def interpret_bits(flags: str | int | tuple[int, ...]) -> int:
    """Return the value of bit flags, negative where they are inverted by ``~``.

    Parameters
    ----------
    flags : str, int or tuple of int
        As `astropy.nddata.bitmask.interpret_bit_flags` takes them: ``"1,4096"``, ``"1+4096"``,
        ``"~4096,1"`` (all but these), or numbers. Values of bits, not their numbers.

    Returns
    -------
    int
        The bits joined by OR.

    Raises
    ------
    ValueError
        No such flags.
    """
    from astropy.nddata.bitmask import interpret_bit_flags  # noqa: PLC0415 - heavy

    taken: Any = list(flags) if isinstance(flags, tuple) else flags
    try:
        found = interpret_bit_flags(taken)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f'{flags!r}: {error} Give values of bits, such as "1,4096" or "~4096,1".'
        ) from error
    if found is None:
        raise ValueError(f"{flags!r} names no bits; leave the setting out instead")
    return int(found)


def _checked(flags: str | int | tuple[int, ...]) -> str | int | tuple[int, ...]:
    interpret_bits(flags)
    return flags


BitFlags = Annotated[str | int | tuple[int, ...], AfterValidator(_checked)]
"""An option that holds bit flags."""


def bits_convention(
    *,
    bad_bits: str | int | tuple[int, ...] | None = None,
    good_bits: str | int | tuple[int, ...] | None = None,
) -> Convention:
    """Return the convention of masks in which some bits are bad, and nothing else counts.

    Parameters
    ----------
    bad_bits : str, int or tuple of int, optional
        Bits that make a pixel bad.
    good_bits : str, int or tuple of int, optional
        Or, bits that do not: all others do.

    Returns
    -------
    Convention
        Bad bits set BAD_PIXEL; the others have a meaning, which is none.

    Raises
    ------
    ValueError
        Both are given, neither is, or one is no bit flags.
    """
    if bad_bits is not None and good_bits is None:
        told, flags, bad = "bad_bits", bad_bits, interpret_bits(bad_bits)
    elif good_bits is not None and bad_bits is None:
        told, flags, bad = "good_bits", good_bits, ~interpret_bits(good_bits)
    else:
        raise ValueError("give one of bad_bits and good_bits")
    title = f"{told} = {flags!r}"
    rows = [
        ConventionValue(
            value=1 << n,
            name=f"bit {n}",
            meaning=title,
            planes=("BAD_PIXEL",) if bad >> n & 1 else (),
        )
        for n in range(_WIDEST + 1)
    ]
    return Convention(name=told, title=title, source="the user's own setting", values=tuple(rows))
