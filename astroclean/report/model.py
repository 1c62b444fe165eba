"""`RunReport`: what ran on what, with which outcome. The JSON form is ``run.json``."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Any

from pydantic import Field

from astroclean.core.image.displayed import Shown
from astroclean.io.remote.urls import is_url, path_or_url
from astroclean.report.picture_records import (
    Histogram,
    Preview,
    Record,
    Spectrum,
    ThresholdRecord,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = [
    "NOT_KNOWN",
    "PICTURES",
    "ExitCode",
    "FileRecord",
    "FileStamp",
    "FileStatus",
    "FrameRecord",
    "RunReport",
    "RunSummary",
    "Seen",
    "StageOptionsRecord",
    "StageRecord",
    "ValueRecord",
]


_PLOTS = ("histogram", "spectrum")
PICTURES = (*_PLOTS, "previews", "layer_previews", "thresholds")
"""Fields of a frame that are for the page alone: they are not in ``run.json``."""

NOT_KNOWN = "not known"
"""Origin of a value that nothing tells."""


class ExitCode(enum.IntEnum):
    """Exit status of ``astroclean run``."""

    DONE = 0
    SOME_FAILED = 1
    USAGE = 2
    PLUGIN = 3
    NO_INPUT = 4
    INTERRUPTED = 130
    """By INT, TERM or HUP: shells say 128 + 2 of the first, and one number tells all three."""


class FileStatus(enum.StrEnum):
    """How one input ended."""

    DONE = "done"
    UP_TO_DATE = "up to date"
    REJECTED = "rejected"
    """A screening stage found the exposure unusable and ``on_reject = "skip"``; no failure."""
    FAILED = "failed"


class StageRecord(Record):
    """One stage on one frame."""

    name: str
    plugin: str
    kind: str
    version: str
    code: str = ""
    """Digest of the files of the plugin's package."""
    outcome: str
    seconds: float
    metrics: dict[str, float | None] = Field(default_factory=dict)
    shares: dict[str, float] = Field(default_factory=dict)
    """Of the pixels that gained a plane, by name, and of those that were ``changed``; of the light
    of sources that was filled (``source light``); of pixels that were filled with values far below
    the sky around them (``below sky``). 0 to 1."""


class StageOptionsRecord(Record):
    """The options that counted for one stage on one file."""

    values: dict[str, Any] = Field(default_factory=dict)
    """Every option, those that nobody set among them."""
    origins: dict[str, str] = Field(default_factory=dict)
    """Option to what set it: ``pipeline``, ``--set``, a variable of the environment, an instrument;
    those that are not named have their default."""


class ValueRecord(Record):
    """A value of a frame that stages go by, such as its gain."""

    value: float | str | None
    """None where it is not known."""
    unit: str = ""
    origin: str = NOT_KNOWN
    """Card, instrument, setting, stage or measurement that told it."""


class LayerRecord(Record):
    """A layer of a frame that was written."""

    name: str
    meaning: str
    shape: tuple[int, int]
    unit: str
    uncertainty: bool = False
    """Whether it has one."""
    psf: bool = False
    """Whether it has one of its own."""


class FrameRecord(Record):
    """One frame."""

    frame_id: str
    hdu: str
    plane: int | None
    shape: tuple[int, int]
    unit: str
    pixels_changed: int = 0
    """Pixels of the science image as it is written whose value is another than that which was read;
    where `replaced_by` names a layer, those in which that layer differs."""
    result: str = ""
    """Layer that the last stages left beside the science image, ``DECONV`` or ``SUPERRES``."""
    replaced_by: str = ""
    """Layer that was written in the place of the science image."""
    is_calibrated: bool = False
    """Whether a stage made another science image of it first: `pixels_changed` and what is told of
    before count from there."""
    pixels_flagged: int = 0
    """Pixels with any flag after the run."""
    flagged_before: dict[str, int] = Field(default_factory=dict)
    """Mask plane to pixels, as read."""
    flagged_after: dict[str, int] = Field(default_factory=dict)
    statistics: dict[str, float | None] = Field(default_factory=dict)
    """``median``, ``noise`` (1.48 MAD), ``sum``, before and after, in ``unit``."""
    psf: str = ""
    """Where the PSF came from and how wide it is."""
    values: dict[str, ValueRecord] = Field(default_factory=dict)
    """``gain``, ``read_noise``, ``saturation``, ``exposure``, ``pixel_scale``, ``psf_fwhm``,
    ``filter``, as they were after the last stage."""
    sources: int | None = None
    stages: list[StageRecord] = Field(default_factory=list)
    layers: list[LayerRecord] = Field(default_factory=list)
    """Those that were written beside the science image."""
    histogram: Histogram | None = None
    spectrum: Spectrum | None = None
    previews: list[Preview] = Field(default_factory=list)
    layer_previews: list[Preview] = Field(default_factory=list)
    """What stages give beside the science image, and the raw image of a calibrated one."""
    thresholds: list[ThresholdRecord] = Field(default_factory=list)


class FileStamp(Record):
    """What the system or a store tells of a file without a byte of it being read."""

    size: int
    """Bytes."""
    mtime_ns: int
    inode: int
    """0 for what lies in a store."""
    seen_ns: int
    """When it was looked at, before it was read."""
    etag: str = ""
    """By which a store tells versions of an object apart; empty for files."""


class Seen(Record):
    """By what a result is known to be up to date though nothing is read."""

    basis: str
    """Digest of all that the resume key depends on beside the input."""
    input: FileStamp | None = None
    outputs: dict[str, FileStamp] = Field(default_factory=dict)
    wrong_sums: list[str] = Field(default_factory=list)
    """What was said of DATASUM when the input was hashed."""


class FileRecord(Record):
    """One input."""

    input: str
    status: FileStatus
    instrument: str = ""
    source: str = ""
    """Absolute path of the input, with the HDU: by it an input is known from run to run."""
    content: str = ""
    """SHA-256 of the input."""
    run: int = 0
    """Number of the run that processed it, among ``runs``."""
    base: str = ""
    """What the names of its outputs begin with."""
    key: str = ""
    """Resume key: input, options, versions and resources."""
    outputs: dict[str, str] = Field(default_factory=dict)
    """File name in the output folder to SHA-256."""
    error: str | None = None
    traceback: str | None = None
    """Of a fault within a plugin."""
    notes: list[str] = Field(default_factory=list)
    """What a user should know: assumed unit, odd header, skipped HDUs."""
    suspect: list[str] = Field(default_factory=list)
    """Why the result is implausible; empty where nothing is."""
    contradictions: list[str] = Field(default_factory=list)
    """What of the headers contradicts itself, and what was taken of it."""
    skipped_hdus: dict[str, str] = Field(default_factory=dict)
    screening: dict[str, float] = Field(default_factory=dict)
    """Stage to mean probability that the exposure is unusable."""
    rejected_by: str | None = None
    seconds: float = 0.0
    options: dict[str, StageOptionsRecord] = Field(default_factory=dict)
    """Stage to the options that counted, with defaults and those of the instrument."""
    frames: list[FrameRecord] = Field(default_factory=list)
    seen: Seen | None = None
    """Not in ``run.json``."""

    def bare(self) -> FileRecord:
        """Return the record without pictures, which are large."""
        none: dict[str, Any] = {name: None if name in _PLOTS else [] for name in PICTURES}
        frames = [frame.model_copy(update=none) for frame in self.frames]
        return self.model_copy(update={"frames": frames})

    @property
    def has_pictures(self) -> bool:
        """Whether any frame has."""
        return any(getattr(frame, name) for frame in self.frames for name in PICTURES)


class RunSummary(Record):
    """One of the runs into a folder."""

    number: int
    started: str = ""
    """UTC, ISO 8601."""
    seconds: float = 0.0
    exit_code: int = 0
    command: list[str] = Field(default_factory=list)
    description: str = ""
    config: dict[str, Any] = Field(default_factory=dict)
    """The pipeline with all layers joined."""
    versions: dict[str, str] = Field(default_factory=dict)
    """Python, astroclean, plugins and the libraries they stand on."""
    files: dict[str, int] = Field(default_factory=dict)
    """Status to number of inputs."""


_NO_FILES = '\n  "files": [],\n'  # breaks of lines within values are written as `\\n`
_FILES = '\n  "files": ['
_HIDDEN: Any = {"frames": {"__all__": set(PICTURES)}, "seen": True}


class RunReport(Shown, Record):
    """A whole run; as ``run.json``, also what earlier runs left in the same folder."""

    schema_version: int = 1
    exit_code: int
    command: list[str] = Field(default_factory=list)
    description: str = ""
    started: str = ""
    """UTC, ISO 8601."""
    seconds: float = 0.0
    output: str = ""
    jobs: int = 1
    config: dict[str, Any] = Field(default_factory=dict)
    """The pipeline with all layers joined."""
    origins: dict[str, str] = Field(default_factory=dict)
    """``table.key`` or ``stage.key`` to the layer that set it."""
    versions: dict[str, str] = Field(default_factory=dict)
    """Python, astroclean, plugins and the libraries they stand on."""
    machine: str = ""
    notes: list[str] = Field(default_factory=list)
    files: list[FileRecord] = Field(default_factory=list)
    """In ``run.json``: the latest record of each input of all runs into the folder."""
    runs: list[RunSummary] = Field(default_factory=list)
    """In ``run.json``: the runs into the folder, the latest last."""

    @property
    def outputs(self) -> list[Path]:
        """Files that were written, or are up to date, in the order of `files`."""
        return [self._folder / name for file in self.files for name in file.outputs]

    def outputs_of(self, name: str | Path) -> list[Path]:
        """Return the files that were written of an input, by the name that was given."""
        files = [file for file in self.files if str(name) in {file.input, file.source}]
        if not files:
            raise KeyError(f"{name} is no input of this run")
        return [self._folder / written for file in files for written in file.outputs]

    @property
    def page(self) -> Path | None:
        """``report.html`` of the folder; None where there is none. A store is not asked."""
        return self._if_there("report.html")

    @property
    def record(self) -> Path | None:
        """``run.json`` of the folder; None where there is none. A store is not asked."""
        return self._if_there("run.json")

    @property
    def _folder(self) -> Path:
        return path_or_url(self.output)

    def _if_there(self, name: str) -> Path | None:
        path = self._folder / name
        return path if is_url(path) or path.is_file() else None

    def count(self, status: FileStatus) -> int:
        """Return the number of inputs that ended so."""
        return sum(record.status == status for record in self.files)

    def to_json(self) -> str:
        """Return ``run.json``: everything but the pictures."""
        return "".join(self.json_parts())

    def json_parts(self) -> Iterator[str]:
        """Yield the text of ``run.json`` record by record, of which there may be many."""
        bare = self.model_copy(update={"files": []}).model_dump_json(indent=2)
        before, _, after = bare.partition(_NO_FILES)
        if not self.files:
            yield bare
            return
        yield f"{before}{_FILES}"
        for number, record in enumerate(self.files):
            text = record.model_dump_json(indent=2, exclude=_HIDDEN).replace("\n", "\n    ")
            yield f"{',' if number else ''}\n    {text}"
        yield f"\n  ],\n{after}"
