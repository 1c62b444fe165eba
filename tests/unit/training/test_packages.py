"""What a training needs is looked for before it begins; all that is missing is told at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from astroclean.cli.main import main
from astroclean.errors import PluginError
from astroclean.training import packages
from astroclean.training.packages import check_packages, missing_packages

if TYPE_CHECKING:
    from pathlib import Path

METADATA = """\
Metadata-Version: 2.1
Name: {name}
Version: 1
"""
TRAINED = """\
Provides-Extra: train
Requires-Dist: no-such-of-all
Requires-Dist: numpy>=999; extra == "train"
Requires-Dist: no-such-package; extra == "train"
Requires-Dist: no-such-here; extra == "train" and python_version < "3"
Requires-Dist: no-such-other; extra == "more"
Requires-Dist: pytest; extra == "train"
Requires-Dist: others-here[scores]; extra == "train"
Requires-Dist: tensorflow>=1; extra == "train"
"""
OTHERS = """\
Provides-Extra: scores
Requires-Dist: no-such-score>=2; extra == "scores"
Requires-Dist: others-here[scores]; extra == "scores"
"""


@pytest.fixture
def _installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, told in (("mine-with-net", TRAINED), ("others-here", OTHERS)):
        info = tmp_path / f"{name.replace('-', '_')}-1.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(METADATA.format(name=name) + told, "utf-8")
    points = "[astroclean.trainers]\nmine = no_such_module:Trainer\n"
    (tmp_path / "mine_with_net-1.dist-info" / "entry_points.txt").write_text(points, "utf-8")
    (tmp_path / "tensorflow.py").write_text("", "utf-8")  # as of a distribution of another name
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("KERAS_BACKEND", "tensorflow")


@pytest.mark.usefixtures("_installed")
def test_all_that_is_missing_is_told_with_the_command_that_brings_it() -> None:
    told = list(missing_packages("mine-with-net"))
    assert [text.split()[0] for text in told] == [
        *("numpy>=999", "no-such-package", "no-such-score")
    ]
    with pytest.raises(PluginError, match=r"pip install 'mine-with-net\[train\]'") as raised:
        check_packages("mine")
    assert all(text in str(raised.value) for text in told)
    check_packages("nobody")  # its absence is told elsewhere


@pytest.mark.usefixtures("_installed")
def test_the_backend_of_keras_that_is_asked_for_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    monkeypatch.setitem(packages._BACKENDS, "jax", "no-such-backend")
    told = list(missing_packages("mine-with-net"))
    assert told[-1] == "no-such-backend (not installed)"


@pytest.mark.usefixtures("_installed")
def test_no_folder_is_made_for_a_training_that_cannot_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    before = set(tmp_path.iterdir())
    assert main(["train", "mine"]) == 3
    assert "no-such-package" in capsys.readouterr().err
    assert set(tmp_path.iterdir()) == before
