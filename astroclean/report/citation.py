"""Works to cite for a run: astroclean, astropy, and those that the plugins name."""

from __future__ import annotations

import re
from string import ascii_lowercase
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from astroclean.report.model import RunReport

__all__ = ["OWN_ENTRIES", "citations_of"]

OWN_ENTRIES = (
    """@software{astroclean,
  author = {{The astroclean developers}},
  title = {astroclean: clean astronomical images with composable plugins},
  year = {2026}
}""",
    """@article{astropy2022,
  author = {{Astropy Collaboration}},
  title = {The Astropy Project: Sustaining and Growing a Community-oriented Open-source Project
           and the Latest Major Release (v5.0) of the Core Package},
  journal = {ApJ}, volume = {935}, pages = {167}, year = {2022},
  doi = {10.3847/1538-4357/ac7c74}
}""",
)


def citations_of(report: RunReport, manifests: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """Return the BibTeX entries of the plugins that a run used.

    Parameters
    ----------
    report : RunReport
        The run.
    manifests : mapping of str to PluginManifest or None
        Plugins that are installed.

    Returns
    -------
    (list of str, list of str)
        Entries without repetition, and the plugins that are not installed.
    """
    used = {
        stage.plugin for record in report.files for frame in record.frames for stage in frame.stages
    } or {str(stage.get("plugin")) for stage in report.config.get("stage", [])}
    works = {_work_of(entry): "" for entry in OWN_ENTRIES}
    entries: dict[str, str] = {}
    missing = []
    for plugin in sorted(used):
        manifest = manifests.get(plugin)
        if manifest is None:
            missing.append(plugin)
            continue
        for citation in manifest.citation:
            work = _work_of(citation.bibtex)
            if work in works:  # under whatever key
                continue
            key = _free_key(_key_of(citation.bibtex) or citation.key, entries)
            works[work] = key
            entries[key] = _KEY.sub(rf"\g<1>{key}", citation.bibtex, count=1)
    return list(entries.values()), missing


_KEY = re.compile(r"(@\s*\w+\s*\{\s*)([^,\s]+)")
_DOI = re.compile(r"\bdoi\s*=\s*[{\"]\s*(?:https?://(?:dx\.)?doi\.org/)?([^}\"\s]+)", re.IGNORECASE)
_TITLE = re.compile(r"\btitle\s*=\s*([{\"].*?[}\"])\s*(?:,|\}?\s*$)", re.IGNORECASE | re.DOTALL)


def _work_of(bibtex: str) -> str:
    """Return what is the same of all entries of a work: its DOI, else its title."""
    doi = _DOI.search(bibtex)
    if doi is not None:
        return doi[1].lower()
    title = _TITLE.search(bibtex)
    text = title[1] if title is not None else bibtex
    words = re.findall(r"\w+", text.replace("{", "").replace("}", ""))
    return " ".join(words).lower()


def _key_of(bibtex: str) -> str | None:
    found = _KEY.search(bibtex)
    return None if found is None else found[2]


def _free_key(key: str, taken: Mapping[str, str]) -> str:
    """Return a key that no other work has: BibTeX refuses one that is there twice."""
    known = {*taken, *filter(None, map(_key_of, OWN_ENTRIES))}
    if key not in known:
        return key
    return next(name for letter in ascii_lowercase if (name := f"{key}{letter}") not in known)
