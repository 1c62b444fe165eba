"""Resolve references as docstrings write them: ``:class:`Frame``` from any module.

A name that belongs to another package stays text, for nothing is fetched at build time. A name of
astroclean that does not exist is still a warning.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from docutils.nodes import Element
    from sphinx.application import Sphinx
    from sphinx.environment import BuildEnvironment

# `np` and `u` are what annotations call numpy and astropy.units.
FOREIGN = ("astropy", "numpy", "np", "pydantic", "photutils", "galsim", "pytest", "u", "enum")


def resolve(app: Sphinx, env: BuildEnvironment, node: Element, content: Element) -> Element | None:
    """Return a link to the only object of that short name, text for a foreign one."""
    if node.get("refdomain") != "py":
        return None
    target: str = node["reftarget"].lstrip(".~")
    if target.split(".", maxsplit=1)[0] in FOREIGN:
        return content
    domain = env.domains["py"]
    found = {name for name in domain.objects if name.endswith(f".{target}")}
    if len(found) != 1:
        return None
    changed = {**node.attributes, "refspecific": False}
    found_node: Any = domain.resolve_xref(
        env,
        node["refdoc"],
        app.builder,
        node["reftype"],
        found.pop(),
        type(node)(**changed),
        content,
    )
    return found_node


def escape_underscores(app: Sphinx, *told: Any) -> None:  # noqa: ARG001 - Sphinx's signature
    """Keep words such as ``MP_`` from being taken for link targets; docstrings have none."""
    lines: list[str] = told[-1]
    lines[:] = [re.sub(r"(?<![\w`])(\w+)_(?=[\s).,;:]|$)", r"\1\_", line) for line in lines]


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the extension."""
    app.connect("missing-reference", resolve)
    app.connect("autodoc-process-docstring", escape_underscores)
    return {"parallel_read_safe": True}
