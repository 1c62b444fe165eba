"""What figures were measured on: date, processor, versions."""

from __future__ import annotations

import contextlib
import datetime as dt
import os
import platform
import re
from importlib import metadata
from pathlib import Path

from astroclean.report.environment import versions

__all__ = ["processor", "today", "told_machine"]


def processor() -> str:
    """Return the processor's name and the number of cores."""
    try:
        names = re.findall(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text("utf-8"))
    except OSError:  # not Linux
        names = []
    return f"{names[0] if names else platform.machine()}, {os.cpu_count()} cores"


def today() -> str:
    """Return the date, in UTC."""
    return dt.datetime.now(tz=dt.UTC).date().isoformat()


def told_machine(*libraries: str) -> str:
    """Return date, processor, and the versions of Python, astroclean and distributions."""
    known = versions()
    told = [f"{name} {known[name]}" for name in ("python", "astroclean")]
    for name in libraries:
        with contextlib.suppress(metadata.PackageNotFoundError):
            told.append(f"{name} {metadata.version(name)}")
    return f"{today()}; {processor()}; {', '.join(told)}"
