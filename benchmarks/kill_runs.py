"""End runs at random moments, by any signal, and compare what resuming gives. Runs on demand.

    python benchmarks/kill_runs.py --kills 100

Takes ``tests/integration/test_kills.py`` with that many kills: of the parent, of a worker or of all
processes, by INT, TERM, HUP or KILL. It passes where the files are those of an undisturbed run to
the byte, and nothing is left in the output folder or the folder for temporary files.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

TEST = Path(__file__).parents[1] / "tests" / "integration" / "test_kills.py"


def main() -> int:
    """Run the test; return its status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=100)
    arguments = parser.parse_args()
    environment = {**os.environ, "ASTROCLEAN_KILLS": str(arguments.kills)}
    command = [sys.executable, "-m", "pytest", "-n", "0", "-v", str(TEST), "-k", "random"]
    return subprocess.run(command, env=environment, check=False).returncode  # noqa: S603


if __name__ == "__main__":
    sys.exit(main())
