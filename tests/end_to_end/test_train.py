"""`astroclean train`: to the end, after an interruption, and with wrong words."""

from __future__ import annotations

import json
import signal
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from toy_runs import wait_for

if TYPE_CHECKING:
    from pathlib import Path

    from toy_runs import CommandLine


def log_of(folder: Path) -> list[dict[str, Any]]:
    """Return the log without what the clock says."""
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text("utf-8").splitlines()]
    return [{key: entry[key] for key in entry if key != "seconds"} for entry in lines]


def test_a_training_learns_and_tells_what_it_does(cli: CommandLine) -> None:
    done = cli("train", "toy-fill", "--set", "steps=60", "--out", "line")
    assert done.status == 0, done.err
    path = cli.folder / done.out.strip()
    assert np.abs(np.load(path) - [2, -1]).max() < 0.05
    assert "step 60/60" in done.err
    assert "steps/s" in done.err
    entries = log_of(cli.folder / "line")
    losses = [entry["training"]["loss"] for entry in entries if "training" in entry]
    assert len(losses) == 12
    assert losses[-1] < 0.01 * losses[0]
    assert [e["step"] for e in entries if "validation" in e] == [10, 20, 30, 40, 50, 60]


@pytest.mark.slow
def test_an_interrupted_training_goes_on_as_if_it_had_not_been(cli: CommandLine) -> None:
    whole = cli("train", "toy-fill", "--out", "whole")
    assert whole.status == 0, whole.err
    words = ("train", "toy-fill", "--out", "parts", "--set", "pause=0.05")
    process = cli.start(*words)
    log = cli.folder / "parts" / "log.jsonl"
    wait_for(lambda: log.is_file() and len(log.read_text("utf-8").splitlines()) >= 2)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "goes on from parts" in err
    assert not (cli.folder / "parts" / "results").exists()
    again = cli(*words)
    assert again.status == 0, again.err
    lines = [np.load(cli.folder / name / "results" / "line.npy") for name in ("whole", "parts")]
    np.testing.assert_array_equal(*lines)
    validated = [
        [entry for entry in log_of(cli.folder / name) if "validation" in entry]
        for name in ("whole", "parts")
    ]
    assert validated[0] == validated[1]


def test_the_best_weights_are_exported_not_the_last(cli: CommandLine) -> None:
    """A rate that is too large leaves the line worse than it was."""
    (cli.folder / "wild.toml").write_text("rate = 2.6\nsteps = 50\nvalidate_every = 1\n", "utf-8")
    done = cli("train", "toy-fill", "--config", "wild.toml")
    assert done.status == 0, done.err
    scores = [
        entry["validation"]["score"]
        for entry in log_of(cli.folder / "train_toy-fill")
        if "validation" in entry
    ]
    assert scores[-1] < max(scores)
    kept = np.load(cli.folder / "train_toy-fill" / "results" / "line.npy")
    assert -np.abs(kept - [2, -1]).max() == max(scores)


def test_a_longer_training_goes_on_and_another_recipe_is_refused(cli: CommandLine) -> None:
    assert cli("train", "toy-fill", "--out", "line").status == 0
    longer = cli("train", "toy-fill", "--out", "line", "--set", "steps=50")
    assert longer.status == 0, longer.err
    assert [entry["step"] for entry in log_of(cli.folder / "line")][-1] == 50
    other = cli("train", "toy-fill", "--out", "line", "--set", "rate=0.1")
    assert other.status == 2
    assert "rate: begun with 0.2, now 0.1" in other.err
    assert "--restart" in other.err
    anew = cli("train", "toy-fill", "--out", "line", "--set", "rate=0.1", "--restart")
    assert anew.status == 0, anew.err


def test_a_loss_that_is_not_finite_ends_the_training(cli: CommandLine) -> None:
    done = cli("train", "toy-fill", "--set", "rate=1e200", "--set", "steps=20")
    assert done.status == 1
    assert "'loss' is not finite" in done.err
    assert "of the training" in done.err


def test_wrong_words_are_told_all_at_once(cli: CommandLine) -> None:
    wrong = cli("train", "toy-fill", "--set", "step=5", "--set", "rate=-1", "--data", "nowhere")
    assert wrong.status == 2
    for part in ("Did you mean 'steps'?", "rate: must be greater than 0", "nowhere"):
        assert part in wrong.err
    unknown = cli("train", "toy-fil")
    assert unknown.status == 2
    assert "Did you mean 'toy-fill'?" in unknown.err
    broken = cli("train", "toy-broken")
    assert broken.status == 3
    assert "toy-broken" in broken.err
    assert not (cli.folder / "train_toy-fill").exists()


def test_the_recipe_is_printed_with_its_help(cli: CommandLine) -> None:
    done = cli("train", "toy-fill", "--recipe", "--set", "rate=0.3")
    assert done.status == 0, done.err
    assert "rate = 0.3\n    Learning rate.\n" in done.out
    assert not (cli.folder / "train_toy-fill").exists()
