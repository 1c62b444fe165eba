"""What a worker must have in common: whatever results depend on shows, and is named."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from astroclean.registry.discover import list_plugins
from astroclean.runner.executors import installation as module
from astroclean.runner.executors.installation import differences, installation

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def test_the_same_has_no_difference() -> None:
    assert differences(installation(), installation()) == []


def test_what_differs_is_named_with_both() -> None:
    here = {"numpy": "2.4.6", "astropy": "8.0.2", "plugin a": "a 1"}
    there = {"numpy": "2.4.5", "astropy": "8.0.2", "engine torch": "usable"}
    assert differences(here, there) == [
        "engine torch usable (here missing)",
        "numpy 2.4.5 (here 2.4.6)",
        "plugin a missing (here a 1)",
    ]


def test_another_configuration_of_the_same_name_shows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = installation()
    (tmp_path / "instruments").mkdir()
    (tmp_path / "instruments" / "mine.toml").write_text("title = 'a'")
    monkeypatch.setenv("ASTROCLEAN_CONFIG", str(tmp_path))
    (told,) = differences(before, installation())
    assert told.startswith("configurations ")


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A plugin of which one file is its code."""
    code = tmp_path / "plugin_of_a_test" / "__init__.py"
    code.parent.mkdir()
    code.write_text("x = 1\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    entry = replace(list_plugins()[0], target="plugin_of_a_test:Stage", name="mine", version="1")
    monkeypatch.setattr(module, "list_plugins", lambda: (entry,))
    yield code
    sys.modules.pop("plugin_of_a_test", None)


@pytest.mark.parametrize("name", ["__init__.py", "net.card.toml", "calibration.json"])
def test_other_content_of_the_same_version_shows(plugin: Path, name: str) -> None:
    """A tree in development has one version for long; the process runs what it had imported."""
    before = installation()
    plugin.with_name(name).write_text("x = 2\n")
    (told,) = differences(before, installation())
    assert told.startswith("code of plugin_of_a_test ")
    assert "updated while the process lived" in told
    old, new = told.split(" (here ")
    assert old.split()[3] not in new.removesuffix(")").split()[-1]
