"""The tables of the documentation that are made from the code.

    python docs/tables.py            # write them anew, after a change of options, keys, planes, ...
    python docs/tables.py --check    # tell which pages are not current; ends with 1 where some are

A page has the marks ``<!-- generate: planes -->`` and ``<!-- end: planes -->``, or with words,
``<!-- generate: help run -->``; what stands between them is replaced. Pages are committed with
their tables, so that they are read without being built, and a test compares them with the code.
"""

from __future__ import annotations

import argparse
import difflib
import re
import sys
from pathlib import Path

from generators import GENERATORS

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
MARK = re.compile(
    r"^(?P<start><!-- generate: (?P<name>\w+)(?: (?P<words>[\w -]+?))? -->)\n"
    r"(?:.*?\n)?<!-- end: (?P=name) -->$",
    re.MULTILINE | re.DOTALL,
)


def filled(text: str) -> str:
    """Return a page with what the code has between its marks now."""

    def made(mark: re.Match[str]) -> str:
        words = [mark["words"]] if mark["words"] else []
        content = GENERATORS[mark["name"]](*words).strip()
        return f"{mark['start']}\n\n{content}\n\n<!-- end: {mark['name']} -->"

    return MARK.sub(made, text)


def stale(page: Path) -> str:
    """Return the first lines in which a page differs from the code; empty where it is current."""
    text = page.read_text(encoding="utf-8")
    lines = difflib.unified_diff(text.splitlines(), filled(text).splitlines(), lineterm="", n=0)
    return "\n".join(list(lines)[2:10])


def tables(arguments: list[str] | None = None) -> int:
    """Write all pages, or check them; return the exit status."""
    parser = argparse.ArgumentParser(description="Write the tables of the documentation anew.")
    parser.add_argument("--check", action="store_true", help="write nothing; 1: a page is stale")
    check = parser.parse_args(arguments).check
    status = 0
    for page in PAGES:
        difference = stale(page)
        if not difference:
            continue
        print(f"{page.relative_to(ROOT)}{' is not current' if check else ''}")
        if check:
            print(difference)
            status = 1
        else:
            page.write_text(filled(page.read_text(encoding="utf-8")), encoding="utf-8")
    return status


if __name__ == "__main__":
    sys.exit(tables())
