"""`cite`: one key for one paper, and one paper for one key."""

from __future__ import annotations

import re
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from astroclean.registry.discover import list_plugins
from astroclean.registry.manifest import Citation, PluginManifest
from astroclean.report.citation import OWN_ENTRIES, citations_of
from astroclean.report.model import RunReport


def entry(key: str, doi: str, title: str = "A title") -> Citation:
    told = f",\n  doi = {{{doi}}}" if doi else ""
    return Citation(key=key, bibtex=f"@article{{{key},\n  title = {{{title}}}{told}\n}}")


def manifest(name: str, *citations: Citation) -> PluginManifest:
    words: dict[str, Any] = {"name": name, "kind": "mask", "summary": "s", "api": 1}
    return PluginManifest(**words, license="MIT", citation=citations)


def keys(manifests: dict[str, Any]) -> list[str]:
    report = RunReport(exit_code=0, config={"stage": [{"plugin": name} for name in manifests]})
    entries, _ = citations_of(report, manifests)
    found = [re.match(r"@\w+\{([^,]+),", text.strip()) for text in [*OWN_ENTRIES, *entries]]
    return [match[1] for match in found if match is not None][len(OWN_ENTRIES) :]


def test_a_paper_under_two_keys_is_cited_once() -> None:
    told = {
        "a": manifest("a", entry("Mine2020", "10.1/X"), entry("Astro", "10.3847/1538-4357/ac7c74")),
        "b": manifest("b", entry("Yours2020", "https://doi.org/10.1/x"), entry("Other", "10.1/y")),
    }
    assert keys(told) == ["Mine2020", "Other"]


def test_two_papers_under_one_key_are_both_cited() -> None:
    told = {
        "a": manifest("a", entry("Smith2020", "", "One"), entry("astropy2022", "10.1/z")),
        "b": manifest("b", entry("Smith2020", "", "Two"), entry("Smith2020", "", "{O}ne")),
    }
    assert keys(told) == ["Smith2020", "astropy2022a", "Smith2020a"]


@given(st.lists(st.tuples(st.sampled_from("KLM"), st.sampled_from(["1", "2", "3", "4"]))))
def test_there_are_as_many_keys_as_papers(works: list[tuple[str, str]]) -> None:
    told = {"a": manifest("a", *(entry(key, f"10.1/{doi}") for key, doi in works))}
    found = keys(told)
    assert len(found) == len(set(found)) == len({doi for _, doi in works})


def test_works_of_all_plugins_have_keys_of_their_own() -> None:
    found = keys({one.name: one.manifest for one in list_plugins()})
    folded = [key.lower() for key in found]
    assert len(folded) == len(set(folded))
    assert "astropy2022" not in folded  # astroclean's own entry has it
