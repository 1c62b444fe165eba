"""The tree of pages, from the links that a reader sees: pages hold no directive for it.

Of a page that is named ``index``, the pages that a section links to are its branch, under the title
of the section; those of the first lines have no title.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sphinx.application import Sphinx

_LINK = re.compile(r"\]\(([\w./-]+)\.md\)")


def branch(app: Sphinx, name: str, source: list[str]) -> None:  # noqa: ARG001 - Sphinx's signature
    """Add the trees to a page."""
    if name.rpartition("/")[2] != "index":
        return
    seen: set[str] = set()
    for section in re.split(r"^## ", source[0], flags=re.MULTILINE):
        title = section.partition("\n")[0]
        pages = [page for page in dict.fromkeys(_LINK.findall(section)) if page not in seen]
        seen |= set(pages)
        if pages:
            caption = "" if title.startswith("#") else f":caption: {title}\n"
            tree = "\n".join(pages)
            source[0] += f"\n```{{toctree}}\n:hidden:\n{caption}\n{tree}\n```\n"


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the extension."""
    app.connect("source-read", branch)
    return {"parallel_read_safe": True}
