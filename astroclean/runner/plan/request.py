"""`Request`: what is asked for beside the pipeline."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from astroclean.runner.plan.shard import Shard

__all__ = ["Request"]


@dataclass(frozen=True)
class Request:
    """What the user asked for, beside the pipeline itself."""

    inputs: tuple[str, ...] = ()
    input_base: Path | None = None
    """Folder to which inputs refer; by default that of the pipeline."""
    recursive: bool = False
    """Whether folders in folders are searched."""
    stages: tuple[str, ...] = ()
    """Names of the stages that run."""
    start: str | None = None
    """``--from``."""
    jobs: int = 1
    """Worker processes; with 0, files are processed in this one."""
    overwrite: bool = False
    verify: bool = False
    """Whether all is hashed that size, time and inode say is unchanged."""
    shard: Shard | None = None
    """Which part of the inputs is processed; all of them where it is None."""
    command: tuple[str, ...] = ()
    """As typed, for the record."""
