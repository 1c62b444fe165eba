"""What headers tell of raw frames and masters: their type, and what was done to them.

Sources: IRAF's ``ccdred`` (help pages of ``ccdproc`` and ``instruments``), the keyword dictionaries
of NOAO and ESO (DICB), the SBFITSEXT convention of SBIG and MaxIm DL (``CALSTAT``), ccdproc's log.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "DONE_CARDS",
    "IMAGE_TYPES",
    "TYPE_CARDS",
    "done_to",
    "doubts_of",
    "frame_type",
    "type_card",
]

TYPE_CARDS = (
    "IMAGETYP",
    "OBSTYPE",
    "ESO DPR TYPE",
    "IMAGETYPE",
    "IMGTYPE",
    "FRAMETYP",
    "CCDTYPE",
    "DATA-TYP",
    "EXPTYPE",
)
"""Cards that tell the type of a frame, in this order."""

IMAGE_TYPES: Mapping[str, tuple[str, ...]] = {
    "bias": ("bias", "zero", "offset"),
    "dark": ("dark", "dark flat", "flat dark", "darkflat", "flatdark", "thermal"),
    "flat": ("flat", "dflat", "sflat", "pflat", "tflat", "domeflat", "skyflat", "twiflat"),
    "light": ("object", "light", "science", "sci", "expose", "target", "std", "standard", "sky"),
}
"""Type to the words by which observatories and programs name it. ``frame``, ``field``, ``master``
and numbers beside them count nothing; words before or after ``flat`` tell its lamp or screen."""

_NOISE = re.compile(r"\b(?:master|frame|frames|field|image|exposure|super|combined|mean|median)\b")
_LIGHTS = frozenset(
    {"flat", "dome", "sky", "twilight", "lamp", "led", "screen", "evening", "morning", "on", "off"}
)

DONE_CARDS: Mapping[str, tuple[str, ...]] = {
    "overscan": ("OVERSCAN", "BT-FLAG", "SUBOSCAN", "SUBTRACT_OVERSCAN", "BLEVCORR"),
    "trim": ("TRIM", "TRIMIM", "TRIM_IMAGE"),
    "bias": ("ZEROCOR", "BI-FLAG", "SUBBIAS", "SUBTRACT_BIAS", "BIASCORR"),
    "dark": ("DARKCOR", "DK-FLAG", "SUBDARK", "SUBTRACT_DARK", "DARKCORR"),
    "flat": ("FLATCOR", "FF-FLAG", "FLAT_CORRECT", "FLATCORR"),
    "illumination": ("ILLUMCOR",),
    "fringes": ("FRINGCOR",),
    "gain": ("GAINCOR", "GAIN_CORRECT"),
    "all": ("CCDPROC", "CCD_PROCESS"),
}
"""Step to the cards of IRAF's ccdred, older NOAO headers, ccdproc and HST that tell of it."""

_CALSTAT = {"B": "bias", "D": "dark", "F": "flat"}
_NOT_DONE = frozenset(
    {"", "F", "FALSE", "NO", "NONE", "N", "N/A", "OMIT", "SKIPPED", "RAW", "PERFORM"}
)
_NUMBERS = frozenset({"GAINCOR"})
"""Cards whose number tells that it was done; of others it is a size, or a switch at 0."""
_COUNTS = ("NCOMBINE", "NUMCOMB", "STACKCNT")
_IN_WORDS = re.compile(
    r"\b(?:bias|zero|overscan|dark|flat)\w*\b.{0,30}\b(?:subtracted|corrected|divided|removed|applied)"
    r"|\b(?:subtracted|corrected|divided|removed|applied)\b.{0,30}\b(?:bias|zero|overscan|dark|flat)",
    re.IGNORECASE,
)
_DENIED = re.compile(r"\b(?:not|no|un\w+|without|none)\b", re.IGNORECASE)
_OWN = re.compile(r"^astroclean \S+")


def type_card(meta: Mapping[str, Any]) -> tuple[str, str] | None:
    """Return keyword and text of the card that tells the type of a frame; None where none does."""
    for keyword in TYPE_CARDS:
        text = str(meta.get(keyword, "")).strip()
        if text:
            return keyword, text
    return None


def frame_type(meta: Mapping[str, Any]) -> str | None:
    """Return the type of a frame: a key of `IMAGE_TYPES`.

    Parameters
    ----------
    meta : mapping
        Header.

    Returns
    -------
    str or None
        None where no card tells it, or tells another, such as an arc.
    """
    told = type_card(meta)
    if told is None:
        return None
    text = re.sub(r"[^a-z]+", " ", re.sub(r"\(.*?\)", " ", told[1].lower()))
    words = _NOISE.sub(" ", text).split()
    joined = " ".join(words)
    for kind, names in IMAGE_TYPES.items():
        if joined in names:
            return kind
    if "flat" in words and set(words) <= _LIGHTS:
        return "flat"
    # ESO: "OBJECT,SKY", "FLAT,LAMP", "STD"; the first word is the type.
    first = words[0] if words else ""
    return next((kind for kind in ("light", "flat") if first in IMAGE_TYPES[kind]), None)


def done_to(meta: Mapping[str, Any]) -> dict[str, str]:
    """Return what was done to a frame before, and the card that tells it.

    Parameters
    ----------
    meta : mapping
        Header.

    Returns
    -------
    dict of str to str
        Step, of `DONE_CARDS`, to the card in words. ``all`` where it cannot be told which.
    """
    done = {}
    for step, keywords in DONE_CARDS.items():
        for keyword in keywords:
            if _tells(keyword, meta.get(keyword)):
                done[step] = f"{keyword} = '{str(meta[keyword]).strip()[:60]}'"
                break
    calstat = str(meta.get("CALSTAT", "")).strip().upper()
    for letter, step in _CALSTAT.items():
        if letter in calstat:
            done.setdefault(step, f"CALSTAT = '{calstat}'")
    history = [str(line) for line in meta.get("HISTORY", ())] if "HISTORY" in meta else []
    own = next((line for line in history if _OWN.match(line)), None)
    if own is not None:
        done["astroclean"] = f"HISTORY '{own}'"
    return done


def doubts_of(meta: Mapping[str, Any]) -> list[str]:
    """Return what makes it doubtful that a frame is one raw exposure, though no card denies it.

    Parameters
    ----------
    meta : mapping
        Header.

    Returns
    -------
    list of str
        A number of combined frames above 1; the first words of HISTORY that tell of a calibration.
    """
    counts = [key for key in _COUNTS if isinstance(meta.get(key), int) and meta[key] > 1]
    doubts = [
        f"{key} = {meta[key]}: a mean or sum of so many has another noise than one frame"
        for key in counts[:1]
    ]
    history = [str(line) for line in meta.get("HISTORY", ())] if "HISTORY" in meta else []
    told = (line for line in history if _IN_WORDS.search(line) and not _DENIED.search(line))
    line = next(told, None)
    return doubts if line is None else [*doubts, f"HISTORY '{line[:60]}': was it calibrated?"]


def _tells(keyword: str, value: Any) -> bool:
    """Whether the value of a card tells that its step was done."""
    if isinstance(value, (bool, np.bool_)):
        return bool(value) and keyword not in {"OVERSCAN", "TRIM"}
    if isinstance(value, (int, float)):
        return keyword in _NUMBERS
    return isinstance(value, str) and value.strip().upper() not in {*_NOT_DONE, "0", "0.0"}
