"""Tell which dependencies are not installed in the oldest version that pyproject.toml allows.

A bound below what can be installed with the others promises what no test has seen.
"""
# ruff: noqa: INP001, T201 - a script

from __future__ import annotations

import sys
import tomllib
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[1]


def bounds() -> set[tuple[str, str]]:
    """Return name and lower bound of each dependency of core and plugins, extras among them."""
    files = [ROOT / "pyproject.toml", *ROOT.glob("plugins/*/pyproject.toml")]
    found = set()
    for file in (path for path in files if path.parent.name != "template"):
        project = tomllib.loads(file.read_text("utf-8"))["project"]
        extras = project.get("optional-dependencies", {})
        for names in (project.get("dependencies", []), *extras.values()):
            for needed in map(Requirement, names):
                lower = [each.version for each in needed.specifier if each.operator == ">="]
                if lower and not needed.name.startswith("astroclean"):
                    found.add((needed.name, lower[0]))
    return found


def main() -> int:
    """Print what is above its bound, and what is not installed."""
    absent, above = [], []
    for name, lower in sorted(bounds()):
        try:
            installed = version(name)
        except PackageNotFoundError:
            absent.append(f"{name}>={lower}")
            continue
        if Version(installed) != Version(lower):
            above.append(f"{name}>={lower} is {installed} here")
    print("oldest: not installed, so their bounds are not tested:", ", ".join(absent) or "none")
    if above:
        print("oldest: raise these bounds to what can be had:", "; ".join(above))
    return bool(above)


if __name__ == "__main__":
    sys.exit(main())
