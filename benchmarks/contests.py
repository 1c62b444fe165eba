"""What is compared: which plugins, with which options, on which truth."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["CONTESTS", "Contest", "Entry"]

Options = Mapping[str, Any]


@dataclass(frozen=True)
class Entry:
    """A plugin with its options."""

    label: str
    plugin: str
    options: Options = field(default_factory=dict)
    sweep: tuple[Options, ...] = ()
    """Other options of which the masks make a curve, for plugins without probabilities."""


@dataclass(frozen=True)
class Contest:
    """One table: entries of one kind on the same scenes."""

    name: str
    kind: str
    simulator: str
    """Or ``stis-pair``: the observed truth of that file."""
    entries: tuple[Entry, ...]
    count: int = 1
    shape: tuple[int, int] = (256, 256)
    settings: Options = field(default_factory=dict)
    """Of the simulator."""
    seed: int = 1


def _plain(*plugins: str) -> tuple[Entry, ...]:
    return tuple(Entry(plugin, plugin) for plugin in plugins)


_LACOSMIC = Entry(
    "lacosmic",
    "lacosmic",
    sweep=tuple(
        {"objlim": objlim, "sigclip": sigclip}
        for objlim in (5.0, 10.0, 20.0, 40.0)
        for sigclip in (4.5, 10.0, 20.0)
    ),
)
_MASKERS = (
    *_plain("saturation", "streaks", "badpix"),
    *_plain("peer-maximask", "peer-deepcr", "peer-cosmic-conn"),
)
# Simulated frames are raw: the network was made for frames without bias.
_NO_BIAS = Entry("peer-deepcr without sky", "peer-deepcr", {"sky": "subtract"})
_SPACE_NETWORKS = (
    Entry("peer-deepcr WFC3-UVIS", "peer-deepcr", {"model": "WFC3-UVIS", "threshold": 0.2}),
    Entry("peer-cosmic-conn HST", "peer-cosmic-conn", {"model": "HST_ACS_WFC"}),
)
_REMOVERS = (
    Entry("interpolate", "interpolate"),
    Entry("interpolate maskfill", "interpolate", {"method": "maskfill"}),
    Entry("psf-subtract", "psf-subtract"),
)
# Thresholds and contrasts that did best on seeds 1001 to 1012, which are not scored here.
_TUNED = (
    Entry("sep tuned", "sep", {"noise": "global", "deblend_cont": 0.0005}),
    Entry("photutils tuned", "photutils", {"thresh": 2.5, "deblend_cont": 0.0005}),
    Entry("peer-sourceextractor tuned", "peer-sourceextractor", {"deblend_cont": 0.0005}),
)
# The same, on seeds 1001 to 1004 of `crowded`.
_CROWDED = (
    *_TUNED[:2],
    Entry(
        "peer-sourceextractor tuned",
        "peer-sourceextractor",
        {"deblend_cont": 0.0005, "thresh": 1.2},
    ),
)

CONTESTS = (
    Contest(
        "mask-stis", "mask", "stis-pair", (_LACOSMIC, *_MASKERS, *_SPACE_NETWORKS), 2, (512, 1024)
    ),
    Contest(
        "mask", "mask", "contaminated", (*_plain("lacosmic"), *_MASKERS, _NO_BIAS), 6, (512, 512)
    ),
    Contest("remove", "remove", "cirrus", _REMOVERS, 6, (160, 160)),
    Contest(
        "remove-bright",
        "remove",
        "cirrus",
        _REMOVERS,
        6,
        (160, 160),
        {"noise": (0.004, 0.004), "faintest": (100.0, 100.0), "sources": (20.0, 20.0)},
    ),
    Contest("remove-classes", "remove", "cirrus", _REMOVERS, 6, (160, 160), {"classes": True}),
    Contest(
        "deblend",
        "deblend",
        "blends",
        (*_plain("sep", "photutils", "peer-sourceextractor"), *_TUNED, *_plain("peer-scarlet2")),
        8,
    ),
    Contest(
        "deblend-crowded",
        "deblend",
        "crowded",
        (*_plain("sep", "photutils", "peer-sourceextractor"), *_CROWDED, *_plain("peer-scarlet2")),
        8,
    ),
    Contest(
        "deconvolve",
        "deconvolve",
        "stamps",
        (
            *_plain("richardson-lucy", "wiener"),
            Entry("parametric", "parametric", {"target_fwhm": 2.0}),
        ),
        40,
        (64, 64),
    ),
)
