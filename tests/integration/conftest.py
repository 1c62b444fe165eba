"""Toy plugins and the command line, for every test of this folder."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "data" / "toy_plugins"))

from stores import s3, server
from toy_runs import cli, toy_folder, toys

__all__ = ["cli", "s3", "server", "toy_folder", "toys"]
