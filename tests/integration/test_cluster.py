"""What the page on clusters shows for Snakemake is run by it, where it is installed."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from toy_runs import digests, report_of, write_batch, write_pipeline

if TYPE_CHECKING:
    from toy_runs import CommandLine

PAGE = Path(__file__).parents[2] / "docs" / "how_to" / "run_on_a_cluster.md"
SNAKEMAKE = os.environ.get("ASTROCLEAN_SNAKEMAKE") or shutil.which("snakemake")


def shown(name: str) -> str:
    """Return a file that the page shows."""
    blocks = re.compile(r"^```\w+\n(.*?)^```$", re.DOTALL | re.MULTILINE)
    for block in blocks.findall(PAGE.read_text("utf-8")):
        if re.match(rf"(#!.*\n)?(#|//) {re.escape(name)}\n", block):
            return str(block)
    raise AssertionError(name)


@pytest.mark.skipif(
    SNAKEMAKE is None,
    reason="needs snakemake, which brings dozens of packages: pip install it somewhere, and name "
    "its program in ASTROCLEAN_SNAKEMAKE",
)
def test_snakemake_runs_the_rule(cli: CommandLine, tmp_path: Path) -> None:
    write_batch(tmp_path / "raw")
    pipeline = write_pipeline(tmp_path / "pipeline.toml", "toy-bright", "toy-fill")
    (tmp_path / "clean.smk").write_text(shown("clean.smk"), "utf-8")
    program = tmp_path / "bin" / "astroclean"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m astroclean "$@"\n')
    program.chmod(0o755)
    path = os.pathsep.join((str(program.parent), os.environ["PATH"]))

    done = subprocess.run(
        [str(SNAKEMAKE), "-s", "clean.smk", "--cores", "2"],
        cwd=tmp_path,
        env={**os.environ, **cli.environment, "PATH": path, "HOME": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=500,
    )

    assert done.returncode == 0, done.stdout
    assert cli("run", pipeline, "raw", "-o", "whole", "-q").status == 0
    assert digests(tmp_path / "by_snakemake") == digests(tmp_path / "whole")
    assert {f["status"] for f in report_of(tmp_path / "by_snakemake")["files"]} == {"done"}
    assert (tmp_path / "shards" / "merged.done").is_file()
