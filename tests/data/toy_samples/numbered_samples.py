"""Samples for tests, in a module that other processes can import."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Numbered:
    """Makes samples that tell their number, and leaves a trace of each."""

    folder: str

    def __call__(self, number: int) -> dict[str, Any]:
        with open(f"{self.folder}/made.txt", "a", encoding="ascii") as trace:  # noqa: PTH123
            trace.write(f"{number}\n")
        return {"value": np.full((3, 2), number, np.int32), "label": np.array(number % 2, np.uint8)}
