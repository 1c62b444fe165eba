"""Viewers of images: what of a file they are to show, and the command that starts them."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from astroclean.errors import ConfigurationError, OutputError, UnitError
from astroclean.io.frames.read import open_exposure
from astroclean.io.products.names import base_name

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from astroclean.io.frames.read import Exposure

__all__ = ["VIEWERS", "ShownFile", "ShownFrame", "Viewer", "shown_file", "start", "viewer_of"]

_AT_ONCE = 0.7
"""Seconds within which a viewer that cannot start has ended."""


@dataclass(frozen=True)
class ShownFrame:
    """A science image and its flags, as numbers of HDUs."""

    hdu: int
    flags: int | None
    """Of ``FLAGS``, else of the DQ; None where there is neither."""


@dataclass(frozen=True)
class ShownFile:
    """What of a file a viewer is to show."""

    path: Path
    frames: tuple[ShownFrame, ...]
    layers: tuple[int, ...] = ()
    """HDUs of further images."""
    regions: tuple[Path, ...] = ()
    """DS9 region files."""
    save_on_sky: bool = False
    """Whether regions are to be saved on the sky: in pixels they would be of every detector."""

    def at(self, hdu: int) -> str:
        """Return how viewers address an HDU."""
        return f"{self.path}[{hdu}]"


@dataclass(frozen=True)
class Viewer:
    """A program that shows FITS images."""

    name: str
    command: Callable[[ShownFile], list[str]]
    install: str
    """How to get it, as a sentence."""
    lacks: str = ""
    """What it cannot be told on its command line, as a sentence."""

    @property
    def is_installed(self) -> bool:
        """Whether the program is on the PATH."""
        return shutil.which(self.name) is not None


def _ds9(shown: ShownFile) -> list[str]:
    """Return the command for SAOImage DS9 8.2 or later, which has `-mask load`."""
    words = ["ds9"]
    for frame in shown.frames:
        words += ["-frame", "new"] if len(words) > 1 else []
        words += [shown.at(frame.hdu), "-scale", "mode", "zscale"]
        if frame.flags is not None:
            words += ["-mask", "color", "red", "-mask", "mark", "nonzero"]
            words += ["-mask", "transparency", "70", "-mask", "load", shown.at(frame.flags)]
            words += ["-mask", "close"]  # its dialog, which hides the image
        # Regions are of this frame; texts of a thousand sources hide it.
        words += [word for path in shown.regions for word in ("-regions", "load", str(path))]
        words += ["-regions", "showtext", "no"]
    beside = [frame.flags for frame in shown.frames if frame.flags is not None]
    for hdu in (*beside, *shown.layers):
        words += ["-frame", "new", shown.at(hdu), "-scale", "mode", "zscale"]
    # Layers may have other pixels.
    system = "wcs" if shown.layers else "image"
    words += ["-tile", "yes", "-lock", "frame", system, "-frame", "first", "-zoom", "to", "fit"]
    # DS9 saves in `physical` coordinates unless it is told otherwise.
    if shown.save_on_sky:
        return [*words, "-regions", "system", "wcs", "-regions", "sky", "icrs"]
    return [*words, "-regions", "system", "image"]


def _jdaviz(shown: ShownFile) -> list[str]:
    return ["jdaviz", "--layout", "imviz", "-fp", str(shown.path), "-ff", "Image"]


def _ginga(shown: ShownFile) -> list[str]:
    numbers = [n for f in shown.frames for n in (f.hdu, f.flags) if n is not None]
    return ["ginga", "--sep", *(shown.at(number) for number in (*numbers, *shown.layers))]


VIEWERS: Mapping[str, Viewer] = {
    viewer.name: viewer
    for viewer in (
        Viewer(
            "ds9",
            _ds9,
            "SAOImage DS9 is at https://ds9.si.edu, and `saods9` in Debian and Ubuntu.",
        ),
        Viewer(
            "jdaviz",
            _jdaviz,
            "pip install jdaviz.",
            "Choose the extensions, and load region files, in its import dialog.",
        ),
        Viewer(
            "ginga",
            _ginga,
            "pip install 'ginga[qt6]'.",
            "It shows flags beside the image; region files are not loaded.",
        ),
    )
}
"""Name to viewer, in the order in which they are looked for."""


def viewer_of(name: str | None) -> Viewer:
    """Return a viewer by name; without one, the first that is installed, else the first."""
    if name is not None:
        return VIEWERS[name]
    installed = (viewer for viewer in VIEWERS.values() if viewer.is_installed)
    return next(installed, next(iter(VIEWERS.values())))


def shown_file(
    file: str, *, layers: Sequence[str] | None = (), regions: Sequence[str] = ()
) -> ShownFile:
    """Find what of a file is to be shown.

    Parameters
    ----------
    file : str
        An output of a run or any FITS file, with an optional address such as ``[SCI,1]``.
    layers : sequence of str, optional
        Names of layers to be shown (``DECONV``, ``PROB_CR``, ...); None for all.
    regions : sequence of str
        Region files beside those that are found: for ``x.fits`` or ``x_clean.fits`` ``x.reg`` (what
        was drawn) in the folder of the file and in the working folder; and for a file of one frame
        ``x_sources.reg`` (what a run wrote), which has the sources of all frames.

    Returns
    -------
    ShownFile
        With HDUs by number.

    Raises
    ------
    FitsReadError
        The file does not exist, is damaged or has no image.
    ConfigurationError
        There is no such layer or region file.
    """
    with open_exposure(file) as exposure:
        frames = {
            slot.science.index: ShownFrame(
                slot.science.index, _index(slot.companions, "flags", "dq")
            )
            for slot in exposure.slots
        }
        path = exposure.source.path
        return ShownFile(
            path=path,
            frames=tuple(frames.values()),
            layers=_layers(exposure, layers),
            regions=_regions(path, regions, sources=len(frames) == 1),
            save_on_sky=len(frames) > 1 and _is_on_sky(exposure),
        )


def _index(companions: Mapping[str, object], *roles: str) -> int | None:
    found = (companions[role] for role in roles if role in companions)
    hdu = next(found, None)
    return None if hdu is None else int(hdu.index)  # type: ignore[attr-defined]


def _is_on_sky(exposure: Exposure) -> bool:
    try:
        skies = [exposure.header_frame(slot).wcs for slot in exposure.slots]
    except UnitError:  # which nobody needs for looking at an image
        return False
    return all(wcs is not None and wcs.has_celestial for wcs in skies)


def _layers(exposure: Exposure, names: Sequence[str] | None) -> tuple[int, ...]:
    there = [h for h in exposure.source.hdus if h.layer is not None and h.name == h.layer]
    wanted = {h.name for h in there} if names is None else {name.upper() for name in names}
    missing = sorted(wanted - {h.name for h in there})
    if missing:
        known = ", ".join(sorted({h.name for h in there})) or "none"
        raise ConfigurationError(
            f"no layer {', '.join(missing)}; there are: {known}", where=str(exposure.source.path)
        )
    return tuple(h.index for h in there if h.name in wanted)


def _regions(path: Path, named: Sequence[str], *, sources: bool) -> tuple[Path, ...]:
    given = [Path(name) for name in named]
    missing = [str(name) for name in given if not name.is_file()]
    if missing:
        raise ConfigurationError(f"no such region file: {', '.join(missing)}")
    # The name of an output is that of its input, and more.
    stem = base_name(path, "{stem}")
    names = [f"{stem}.reg", *([f"{stem}_sources.reg"] if sources else [])]
    places = (*(path.with_name(name) for name in names), Path(f"{stem}.reg"))
    found = [place for place in places if place.is_file()]
    unique = {place.resolve(): place for place in (*given, *found)}
    return tuple(unique.values())


def start(command: Sequence[str], *, wait: bool = False) -> int | None:
    """Start a viewer in a session of its own, so that it outlives the terminal.

    Parameters
    ----------
    command : sequence of str
        Program and arguments; no shell sees them.
    wait : bool
        Whether to return only when it has ended.

    Returns
    -------
    int or None
        Its exit status; None while it runs.

    Raises
    ------
    OutputError
        It cannot be started.
    """
    program = shutil.which(command[0]) or command[0]
    try:
        process = subprocess.Popen(  # noqa: S603 - the user asked for this program
            [program, *command[1:]], stdin=subprocess.DEVNULL, start_new_session=not wait
        )
    except OSError as error:
        raise OutputError(f"cannot be started: {error.strerror}", where=program) from error
    try:
        return process.wait(timeout=None if wait else _AT_ONCE)
    except subprocess.TimeoutExpired:
        # It runs on by itself; without this Python would warn of a child that is not waited for.
        process.returncode = 0
        return None
