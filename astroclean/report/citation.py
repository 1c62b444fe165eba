"""Works to cite for a run: astroclean, astropy, and those that the plugins name."""

from __future__ import annotations

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
    entries: dict[str, str] = {}
    missing = []
    for plugin in sorted(used):
        manifest = manifests.get(plugin)
        if manifest is None:
            missing.append(plugin)
            continue
        entries.update({citation.key: citation.bibtex for citation in manifest.citation})
    return list(entries.values()), missing
