"""A stage that prints wherever it can."""

from __future__ import annotations

import ctypes
import os
import sys
from typing import TYPE_CHECKING

import numpy as np

from astroclean.plugin import Mask, Masker

if TYPE_CHECKING:
    from astroclean import Frame

__all__ = ["Loud"]

print("hello from the import")  # noqa: T201 - what it is for


class Loud(Masker):
    """Flags nothing, loudly."""

    def find(self, frame: Frame) -> Mask:
        """Print from Python, to the descriptor, and into the buffer of C."""
        print("hello from find")  # noqa: T201 - what it is for
        print("hello from the first stdout", file=sys.__stdout__, flush=True)
        os.write(1, b"hello from the descriptor\n")
        ctypes.CDLL(None).puts(b"hello from C")
        return Mask(np.zeros(frame.shape, dtype=np.uint32))
