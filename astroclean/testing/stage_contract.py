"""What every stage holds, whatever its kind; kinds add theirs in `astroclean.testing.contracts`."""

from __future__ import annotations

import copy
import pickle
from numbers import Real
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pytest

from astroclean.core.flags.planes import MaskPlane
from astroclean.core.image.frame import Frame
from astroclean.core.stage.scope import Chunk, scope_of
from astroclean.errors import AstrocleanError, ConfigurationError, ContractError
from astroclean.registry.load import find_plugin, load_stage
from astroclean.testing.chunks import assert_same_in_chunks
from astroclean.testing.frames import frame_digest, synthetic_frame

if TYPE_CHECKING:
    from pathlib import Path

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
        """The manifest names the plugin and the kind of its class, and has a summary."""
        entry = find_plugin(self.plugin)
        assert entry.manifest is not None
        assert entry.manifest.name == self.plugin
        assert entry.manifest.kind == stage.kind == (self.kind or stage.kind)
        assert entry.manifest.summary

    def test_options_are_documented(self, stage: Stage) -> None:
        """Every option has a docstring, which becomes its help."""
        undocumented = [
            name
            for name, field in type(stage.options).model_fields.items()
            if not (field.description or "").strip()
        ]
        assert undocumented == []

    def test_unknown_option_is_refused(self) -> None:
        """A misspelt option is an error, not a default."""
        with pytest.raises(ConfigurationError, match="no_such_option"):
            load_stage(self.plugin, **self.options, no_such_option=1)

    def test_input_is_not_modified(self, stage: Stage, frame: Frame) -> None:
        """Every array and card of the input, its WCS and its history are as before."""
        before = _kept(frame)
        stage.run(frame)
        assert _kept(frame) == before

    def test_no_file_is_written_and_nothing_printed(
        self,
        stage: Stage,
        frame: Frame,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        capfd: pytest.CaptureFixture[str],
    ) -> None:
        """The folder at hand stays as it is, and stdout is of the program that runs the stage."""
        monkeypatch.chdir(tmp_path)
        before = sorted(tmp_path.rglob("*"))
        capfd.readouterr()
        stage.run(frame)
        assert sorted(tmp_path.rglob("*")) == before
        assert capfd.readouterr().out == ""

    def test_stage_keeps_no_state(self, stage: Stage, frame: Frame) -> None:
        """A run leaves the stage's attributes as they were: arrays to the bit, others in words."""
        before = {name: _told(value) for name, value in vars(stage).items()}
        stage.run(frame)
        assert {name: _told(value) for name, value in vars(stage).items()} == before

    def test_same_bytes_each_time(self, stage: Stage, frame: Frame) -> None:
        """Two runs, and one of another stage on a copy that was pickled, agree to the bit."""
        first = stage.run(frame)
        again = stage.run(copy.deepcopy(frame))
        other = load_stage(self.plugin, **self.options).run(pickle.loads(pickle.dumps(frame)))  # noqa: S301
        for result in (again, other):
            assert _digest(result) == _digest(first)

    def test_changes_only_what_its_kind_may(self, stage: Stage, frame: Frame) -> None:
        """Unit, flags already set and identity survive; the rest is up to the kind."""
        result = stage.run(frame)
        assert result.frame.unit == frame.unit
        assert result.frame.frame_id == frame.frame_id
        if result.frame.shape == frame.shape:
            assert not np.any(frame.flags & ~result.frame.flags)
        self.changes_allowed(frame, result)

    def test_history_tells_the_stage(self, stage: Stage, frame: Frame) -> None:
        """One entry is added to those that were there, with the options in force."""
        entries = stage.run(frame).frame.history
        assert entries[:-1] == frame.history
        assert entries[-1].plugin == self.plugin
        assert entries[-1].options == stage.options.record()

    def test_metrics_are_numbers(self, stage: Stage, frame: Frame) -> None:
        """Metrics go to a report: real numbers, and neither text nor truth values."""
        value: Any
        for name, value in stage.run(frame).metrics.items():
            assert isinstance(name, str)
            assert not isinstance(value, bool)
            assert isinstance(value, Real)

    @pytest.mark.parametrize("case", ["all nan", "constant", "one pixel", "all flagged"])
    def test_odd_frames_do_not_crash(self, stage: Stage, frame: Frame, case: str) -> None:
        """A frame without information gives a result, or an error of astroclean that says why.

        That the plugin broke its contract is no such reason.
        """
        odd = _odd_frame(frame, case)
        try:
            result = stage.run(odd)
        except AstrocleanError as error:
            assert str(error)  # noqa: PT017 - either outcome is right
            assert not isinstance(error, ContractError)  # noqa: PT017
        else:
            self.changes_allowed(odd, result)

    def test_scope_is_rows_or_the_whole_frame(self, stage: Stage, frame: Frame) -> None:
        """The runner cuts chunks by it, and asks for it before it reads a pixel."""
        scope = scope_of(stage, frame)
        corner = scope_of(stage, frame[:1, :1].replace(chunk=Chunk((0, 0), frame.shape)))
        assert (corner.halo, corner.step) == (scope.halo, scope.step)

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


def _kept(frame: Frame) -> tuple[Any, ...]:
    wcs = "" if frame.wcs is None else repr(frame.wcs.to_header(relax=True))
    return (*frame_digest(frame), repr(frame.history), wcs)


def _told(value: Any) -> Any:
    return (value.shape, value.tobytes()) if isinstance(value, np.ndarray) else repr(value)


def _digest(result: StageResult) -> tuple[Any, ...]:
    """Return everything that a stage gives, as bytes and text."""
    layers = [
        (name, *(b"" if array is None else np.asarray(array).tobytes() for array in arrays))
        for name, layer in sorted(result.layers.items())
        for arrays in [(layer.data, layer.uncertainty)]
    ]
    metrics = sorted((name, float(value).hex()) for name, value in result.metrics.items())
    return (*frame_digest(result.frame), layers, metrics, repr(result.score))


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
