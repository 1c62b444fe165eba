"""What stages say of frames that they take together."""

from __future__ import annotations

from astroclean.runner.work.remarks import Remarks


def test_a_note_that_names_a_frame_is_of_that_frame_and_doubts_are_of_all() -> None:
    notes = ["g.fits[0], stage 'x': noisy", "g.fits[0]: dark", "r.fits[0]: noisy", "both are noisy"]
    said = Remarks(notes, ["g.fits[0]: not plausible"])
    ids = ["g.fits[0]", "r.fits[0]", "g.fits"]
    assert said.of("g.fits[0]", ids).notes == [notes[0], notes[1], notes[3]]
    assert said.of("r.fits[0]", ids).notes == [notes[2], notes[3]]
    assert all(said.of(one, ids).suspect == said.suspect for one in ids)
    assert said.notes == notes
