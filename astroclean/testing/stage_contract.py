"""What every stage holds, whatever its kind; kinds add theirs in `astroclean.testing.contracts`."""

from __future__ import annotations

import copy
import pickle
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pytest

from astroclean.core.flags.planes import MaskPlane
from astroclean.core.image.frame import Frame
from astroclean.registry.load import find_plugin, load_stage
from astroclean.testing.chunks import assert_same_in_chunks
from astroclean.testing.frames import frame_digest, synthetic_frame

if TYPE_CHECKING:
    from astroclean.core.stage.results import StageResult
    from astroclean.core.stage.stage import Stage

__all__ = ["StageContract"]


# The frames are odd ones, of which much is flagged; that it is told is no fault.
@pytest.mark.filterwarnings("ignore:.*more than the plausible:astroclean.errors.SuspectWarning")
class StageContract:
    """What every stage holds, whatever its kind."""

    plugin: ClassVar[str]
    """Name of the plugin under test."""
    options: ClassVar[dict[str, Any]] = {}
    """Options to test it with."""
    kind: ClassVar[str | None] = None

    @pytest.fixture
    def stage(self) -> Stage:
        """Return the stage under test."""
        return load_stage(self.plugin, **self.options)

    @pytest.fixture
    def frame(self) -> Frame:
        """Return the frame to test it on; override it for a special domain."""
        return synthetic_frame(seed=7)

    def changes_allowed(self, before: Frame, result: StageResult) -> None:
        """Check what the kind may change; the subclass of each kind says what."""

    def test_manifest_and_class_agree(self, stage: Stage) -> None:
        """The manifest, found without import, is that of the class."""
        entry = find_plugin(self.plugin)
        assert entry.manifest is not None
        assert entry.manifest.kind == stage.kind == (self.kind or stage.kind)
        assert entry.manifest.summary

    def test_options_are_documented(self, stage: Stage) -> None:
        """Every option has a docstring, which becomes its help."""
        undocumented = [
            name
            for name, field in type(stage.options).model_fields.items()
            if not field.description
        ]
        assert undocumented == []

    def test_unknown_option_is_refused(self) -> None:
        """A misspelt option is an error, not a default."""
        with pytest.raises(Exception, match="no_such_option"):
            load_stage(self.plugin, **self.options, no_such_option=1)

    def test_input_is_not_modified(self, stage: Stage, frame: Frame) -> None:
        """Every array and card of the input is as before."""
        before = frame_digest(frame)
        stage.run(frame)
        assert frame_digest(frame) == before

    def test_stage_keeps_no_state(self, stage: Stage, frame: Frame) -> None:
        """The stage's attributes are those of its construction."""
        before = {name: repr(value) for name, value in vars(stage).items()}
        stage.run(frame)
        assert {name: repr(value) for name, value in vars(stage).items()} == before

    def test_same_bytes_each_time(self, stage: Stage, frame: Frame) -> None:
        """Two runs, and a run of a copy that went through another process, agree to the bit."""
        first = stage.run(frame)
        again = stage.run(copy.deepcopy(frame))
        other = load_stage(self.plugin, **self.options).run(pickle.loads(pickle.dumps(frame)))  # noqa: S301
        for result in (again, other):
            assert frame_digest(result.frame) == frame_digest(first.frame)
            assert dict(result.metrics) == pytest.approx(dict(first.metrics), nan_ok=True)

    def test_changes_only_what_its_kind_may(self, stage: Stage, frame: Frame) -> None:
        """Unit, flags already set and identity survive; the rest is up to the kind."""
        result = stage.run(frame)
        assert result.frame.unit == frame.unit
        assert result.frame.frame_id == frame.frame_id
        if result.frame.shape == frame.shape:
            assert not np.any(frame.flags & ~result.frame.flags)
        self.changes_allowed(frame, result)

    def test_history_tells_the_stage(self, stage: Stage, frame: Frame) -> None:
        """One entry is added, with the options in force."""
        entries = stage.run(frame).frame.history
        assert len(entries) == len(frame.history) + 1
        assert entries[-1].plugin == self.plugin
        assert entries[-1].options == stage.options.record()

    def test_metrics_are_numbers(self, stage: Stage, frame: Frame) -> None:
        """Metrics go to a report: plain floats."""
        for name, value in stage.run(frame).metrics.items():
            assert isinstance(name, str)
            float(value)

    @pytest.mark.parametrize("case", ["all nan", "constant", "one pixel", "all flagged"])
    def test_odd_frames_do_not_crash(self, stage: Stage, frame: Frame, case: str) -> None:
        """A frame without information gives a result, or a StageError that says why."""
        from astroclean.errors import AstrocleanError  # noqa: PLC0415

        odd = _odd_frame(frame, case)
        try:
            result = stage.run(odd)
        except AstrocleanError as error:
            assert str(error)  # noqa: PT017 - either outcome is right
        else:
            self.changes_allowed(odd, result)

    def test_scope_is_rows_or_the_whole_frame(self, stage: Stage, frame: Frame) -> None:
        """The runner cuts chunks by it."""
        scope = stage.scope(frame)
        assert scope.halo is None or (isinstance(scope.halo, int) and scope.halo >= 0)
        assert scope.step >= 1

    def test_chunks_give_the_same_bytes(self, stage: Stage, frame: Frame) -> None:
        """A local stage gives in chunks, with what it surveys, what it gives in one piece."""
        if stage.scope(frame).halo is None:
            return
        assert_same_in_chunks(stage, frame, rows=1 + frame.shape[0] // 4)

    def test_layers_are_declared_and_lie_on_their_grids(self, stage: Stage, frame: Frame) -> None:
        """A layer has a declaration, a unit, and as many pixels as its grid."""
        for name, layer in stage.run(frame).layers.items():
            assert layer.declared in stage.layers()
            assert layer.declared is not None
            assert layer.declared.covers(name)
            assert layer.declared.meaning
            assert layer.unit is not None
            assert layer.grid is not None
            assert np.shape(layer.data) == layer.grid.shape


def _odd_frame(frame: Frame, case: str) -> Frame:
    shape = (1, 1) if case == "one pixel" else (40, 50)
    value = np.nan if case == "all nan" else 100.0
    flags = np.zeros(shape, dtype=np.uint32)
    if case == "all flagged":
        flags |= np.uint32(MaskPlane.BAD_PIXEL)
    return Frame(
        np.full(shape, value, dtype=np.float32),
        unit=frame.unit,
        flags=flags,
        psf=frame.psf,
        meta=frame.meta,
        frame_id=case,
        wcs=None,
    )
