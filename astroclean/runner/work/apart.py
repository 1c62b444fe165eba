"""`BandsApart`: bands of one sky on grids of their own, in chunks, one band after the other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from astroclean.runner.work.field import Field

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from astroclean.core.image.frame import Frame
    from astroclean.core.stage.results import Score
    from astroclean.core.stage.stage import Stage
    from astroclean.runner.plan.plan import FilePlan
    from astroclean.runner.work.field import Save
    from astroclean.runner.work.field_frames import Origin
    from astroclean.runner.work.state import FrameState, FrameWork

__all__ = ["BandsApart"]


class BandsApart:
    """Bands of one sky that go through the stages one after the other, each in its own chunks.

    Rows of one are not those of another, so no stage may take them together; `Unit` checks it.
    What it does is what `Field` does, of which each band has one.

    Parameters
    ----------
    origins : mapping of str to Origin
        Band to where its frame comes from.
    plans : mapping of str to FilePlan
        Band to how its frame is cut; some may fit into memory.
    folder : Path
        Empty folder on scratch disk.
    """

    def __init__(
        self, origins: Mapping[str, Origin], plans: Mapping[str, FilePlan], folder: Path
    ) -> None:
        self._fields = {
            band: Field({band: origin}, plans[band], folder / str(number))
            for number, (band, origin) in enumerate(origins.items())
        }

    @property
    def scores(self) -> list[Mapping[str, Score]]:
        """What screening stages answered so far, band by band."""
        return [score for field in self._fields.values() for score in field.scores]

    def before(self) -> dict[str, Frame]:
        """Return the frames as they are in the file."""
        return {band: field.before()[band] for band, field in self._fields.items()}

    def begin_with(self, states: Mapping[str, FrameState]) -> None:
        """Take up frames where an earlier run left them."""
        for band, field in self._fields.items():
            field.begin_with({band: states[band]})

    def set_aside(self) -> None:
        """Hold nothing in memory until the field is needed again."""
        for field in self._fields.values():
            field.set_aside()

    def through(self, stages: Sequence[Stage], save: Save | None = None) -> None:
        """Take the bands through some stages."""
        for field in self._fields.values():
            field.through(stages, save)
            if len(self._fields) > 1:
                field.set_aside()  # before the next is read

    def finished(
        self,
        stages: Sequence[Stage],
        *,
        all_stages: Sequence[Stage],
        pictures: bool,
        save: Save | None,
    ) -> list[FrameWork]:
        """Take the bands through the last stages; return what is left of each, as `Field` does."""
        return [
            work
            for field in self._fields.values()
            for work in field.finished(stages, all_stages=all_stages, pictures=pictures, save=save)
        ]
