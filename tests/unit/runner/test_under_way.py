"""How far frames in chunks have come, from workers to the terminal."""

from __future__ import annotations

import io
import sys
import time
from typing import TYPE_CHECKING

import pytest

from astroclean.cli.progress import shown_progress
from astroclean.runner.work.under_way import UnderWay, Watch, all_under_way

if TYPE_CHECKING:
    from pathlib import Path


def test_each_chunk_is_told_and_nothing_is_left(tmp_path: Path) -> None:
    watch = Watch("x.fits", tmp_path / "a" / "0")
    told = [all_under_way(tmp_path) for _ in watch.through("abc", "fill, mask")]
    assert told == [[UnderWay("x.fits", "fill, mask", n, 3)] for n in (1, 2, 3)]
    assert str(told[0][0]) == "x.fits: fill, mask, chunk 1 of 3"
    assert all_under_way(tmp_path) == []


def test_a_frame_in_one_piece_is_not_told(tmp_path: Path) -> None:
    assert list(Watch("x.fits", tmp_path / "a").through("a", "fill")) == ["a"]
    assert [all_under_way(tmp_path) for _ in Watch("x", tmp_path / "b").through("a", "f")] == [[]]


def test_what_cannot_be_told_stops_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert list(Watch("x", tmp_path / "file" / "a").through("ab", "fill")) == ["a", "b"]
    (tmp_path / "b.under_way").write_text("{")
    (tmp_path / "c.under_way").write_text("[]")
    assert all_under_way(tmp_path) == []


def test_a_field_that_fails_is_not_under_way(tmp_path: Path) -> None:
    chunks = Watch("x.fits", tmp_path / "a").through("abc", "fill")
    next(chunks)
    chunks.close()
    assert all_under_way(tmp_path) == []


class _Terminal(io.StringIO):
    def __init__(self, *, is_terminal: bool) -> None:
        super().__init__()
        self.is_terminal = is_terminal

    def isatty(self) -> bool:
        return self.is_terminal


@pytest.mark.parametrize("is_terminal", [True, False])
def test_where_a_frame_is_comes_to_terminal_and_log(
    monkeypatch: pytest.MonkeyPatch, *, is_terminal: bool
) -> None:
    shown = _Terminal(is_terminal=is_terminal)
    monkeypatch.setattr(sys, "stderr", shown)
    states = [[UnderWay("x.fits", "fill", n, 9) for _ in range(2)] for n in (1, 2)]
    with shown_progress(lambda: states.pop(0) if states else [], quiet=False, every=0.01) as draw:
        assert (draw is not None) is is_terminal
        end = time.monotonic() + 5
        while states and time.monotonic() < end:
            time.sleep(0.01)
    text = shown.getvalue()
    assert "x.fits: fill, chunk 1 of 9" in text
    assert ("\x1b" in text) is is_terminal
    assert ("(and 1 more)" in text) is is_terminal


def test_nothing_is_shown_where_all_is_quiet() -> None:
    with shown_progress(list, quiet=True) as draw:
        assert draw is None
