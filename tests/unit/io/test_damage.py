"""What astropy warns of becomes a note that says what it is about."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest

from astroclean.errors import FitsReadError
from astroclean.io.fits.damage import damage_told

ODD = "The following header keyword is invalid or follows an unrecognized non-standard convention:"


def notes_of(*messages: str) -> list[str]:
    notes: list[str] = []
    with damage_told(Path("x.fits"), notes):
        for message in messages:
            warnings.warn(message, UserWarning, stacklevel=1)
    return notes


def test_the_card_that_is_odd_is_named_and_one_stands_for_all() -> None:
    cards = [f"{ODD}\nESO-LOG {n:02}:00> DATE" for n in range(3)]
    assert notes_of(*cards) == [f"{ODD} ESO-LOG 00:00> DATE"]


def test_other_warnings_keep_their_first_line_and_are_told_once() -> None:
    assert notes_of("a: b\nmore", "a: c", "a: b") == ["a: b", "a: c"]
    assert notes_of("") == [""]


def test_a_header_without_end_is_no_note() -> None:
    with pytest.raises(FitsReadError, match="damaged: Header missing END card"):
        notes_of("Header missing END card.")
