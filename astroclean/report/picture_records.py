"""What is drawn of a frame, as it is kept with its record: pictures, plots, counts for sliders."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["Histogram", "Preview", "Record", "Spectrum", "ThresholdRecord"]


class Record(BaseModel):
    """Base of all records: every field is known, and has a docstring."""

    model_config = ConfigDict(
        extra="forbid", use_attribute_docstrings=True, ser_json_inf_nan="null"
    )


class Histogram(Record):
    """Counts of pixel values before and after, on the same bins."""

    edges: list[float]
    before: list[int]
    after: list[int]


class Spectrum(Record):
    """Power spectra of a frame before and after, at the same frequencies."""

    frequency: list[float]
    """Cycles a pixel, rising."""
    before: list[float]
    """Power in the unit of the frame squared."""
    after: list[float]
    note: str = ""
    """What was compared, for the caption; empty where it is the whole frame."""


class Preview(Record):
    """Pictures of one place as PNG data URIs, all of that place."""

    title: str
    width: int
    """Of the pictures, in pixels of their own. Outlines have more."""
    height: int
    before: str
    """What `labels` call the first; empty where there is one picture alone."""
    after: str
    planes: dict[str, str] = Field(default_factory=dict)
    """Plane name to transparent overlay."""
    chances: dict[str, str] = Field(default_factory=dict)
    """Plane name to its probability: grays of `astroclean.report.chances.chance_levels`."""
    note: str = ""
    """Scale and place, for the caption."""
    zoom: int = 1
    """How many times as large it is shown first."""
    x: int = 0
    """Pixel of the frame at its lower left corner, from 0."""
    y: int = 0
    step: int = 1
    """Pixels of the frame along a side of one of its own."""
    is_outlined: bool = False
    """Whether overlays leave the values of flagged pixels to be seen."""
    labels: tuple[str, str] = ("before", "after")


class ThresholdRecord(Record):
    """How many pixels of a frame are above which probability of a plane."""

    plane: str
    stage: str
    """Which gave the probabilities; several, with commas, where theirs were joined."""
    threshold: float | None = None
    """Above which pixels were flagged, where the stage tells."""
    above: int | None = None
    """Pixels above it."""
    option: str = ""
    """Option of the stage that sets it; empty where it is not known to have one."""
    key: str = ""
    """Entry of the option where that is a table, such as ``CR``."""
    others: dict[str, float] = Field(default_factory=dict)
    """Entries of that table that were set."""
    counts: list[int]
    """For each of `astroclean.report.chances.THRESHOLDS`."""
