"""Paths, folders, globs and lists become files, each once, in order."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from astroclean.errors import NoInputError
from astroclean.runner.plan.inputs import InputSet, find_inputs


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    folder = tmp_path / "raw"
    folder.mkdir()
    for name in ("b.fits", "a.fits.gz", "c.FIT", "d.fits.fz", "e.txt"):
        (folder / name).touch()
    (folder / "f.fits").mkdir()
    return folder


def found(raw: Path, *given: str) -> InputSet:
    return find_inputs(given, base=raw)


def names(inputs: InputSet) -> list[str]:
    return [Path(text).name for text in inputs.files]


def test_folder_gives_its_fits_files_sorted(raw: Path) -> None:
    inputs = found(raw, ".")
    assert names(inputs) == ["a.fits.gz", "b.fits", "c.FIT", "d.fits.fz"]
    assert inputs.failed == {}


def test_order_given_is_kept_and_each_file_comes_once(raw: Path) -> None:
    assert names(found(raw, "d.fits.fz", "*.fits", ".", "b.fits", "./b.fits")) == [
        *("d.fits.fz", "b.fits", "a.fits.gz", "c.FIT")
    ]


def test_named_file_needs_no_fits_suffix(raw: Path) -> None:
    assert names(found(raw, "e.txt")) == ["e.txt"]


def test_address_is_kept(raw: Path) -> None:
    assert names(found(raw, "b.fits[SCI,2]")) == ["b.fits[SCI,2]"]


def test_file_whose_name_ends_in_brackets(raw: Path) -> None:
    (raw / "x[1].fits").touch()
    (raw / "odd[2]").touch()
    assert names(found(raw, "x[1].fits", "odd[2]")) == ["x[1].fits", "odd[2]"]


def test_glob_matches_folders_too(raw: Path) -> None:
    (raw / "night1").mkdir()
    (raw / "night1" / "n.fits").touch()
    assert names(found(raw, "night*")) == ["n.fits"]


def test_list_with_comments(raw: Path) -> None:
    (raw / "list.txt").write_text("# night\n\n  b.fits  \nc.FIT\n", "utf-8")
    assert names(found(raw, "@list.txt")) == ["b.fits", "c.FIT"]


def test_home_folder(raw: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(raw))
    assert names(found(raw.parent, "~/b.fits")) == ["b.fits"]


@pytest.mark.parametrize("given", ["gone.fits", "gone", "gone.fits[1]", "@gone.txt"])
def test_what_is_not_there_fails_by_name(raw: Path, given: str) -> None:
    inputs = found(raw, given, "b.fits")
    assert names(inputs) == ["b.fits"]
    assert list(inputs.failed) == [given]
    assert given.removeprefix("@") in inputs.failed[given]


@pytest.mark.parametrize("given", [[], ["*.nothing"], ["empty"], ["*.nothing", "empty"]])
def test_no_input(raw: Path, given: list[str]) -> None:
    (raw / "empty").mkdir()
    with pytest.raises(NoInputError) as raised:
        found(raw, *given)
    assert raised.value.exit_code == 4
    assert all(text in str(raised.value) for text in given)


def test_pattern_without_match_is_told(raw: Path) -> None:
    (raw / "empty").mkdir()
    inputs = found(raw, "b.fits", "*.nothing", "empty")
    assert any("*.nothing" in note for note in inputs.notes)
    assert any("empty" in note for note in inputs.notes)


def test_same_output_name_fails_both(raw: Path) -> None:
    (raw / "b.fit").touch()
    inputs = found(raw, ".")
    assert {Path(text).name for text in inputs.failed} == {"b.fit", "b.fits"}
    assert "b.fits" not in names(inputs)
    by_hdu = found(raw, "d.fits.fz[1]", "d.fits.fz[2]")
    assert by_hdu.files == []
    assert len(by_hdu.failed) == 2


def test_own_outputs_are_skipped_in_folders(raw: Path) -> None:
    own = fits.Header({"ACVERS": "0"})
    for name, header in {"b_clean": own, "c_clean": fits.Header()}.items():
        fits.PrimaryHDU(np.ones((2, 2)), header).writeto(raw / f"{name}.fits")
    inputs = found(raw, ".")
    assert "c_clean.fits" in names(inputs)
    assert "b_clean.fits" not in names(inputs)
    assert any("b_clean.fits" in note and "skipped" in note for note in inputs.notes)
    # What the user names is taken.
    assert names(found(raw, "b_clean.fits")) == ["b_clean.fits"]


def test_name_that_is_no_text_fails_alone(raw: Path) -> None:
    with open(os.fsencode(raw) + b"/\xff.fits", "wb"):  # noqa: PTH123 - pathlib takes no bytes
        pass
    inputs = found(raw, ".")
    assert len(inputs.files) == 4
    assert ["\\xff.fits" in name for name in inputs.failed] == [True]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name in ("one/b", "one/a/deep", "two", ".hidden", "out/.astroclean"):
        (tmp_path / name).mkdir(parents=True)
    for name in (
        *("z.fits", "one/y.fits", "one/b/x.fits", "one/a/deep/w.fits", "two/v.fits"),
        *(".hidden/u.fits", "out/t.fits", "two/notes.txt"),
    ):
        (tmp_path / name).touch()
    (tmp_path / "two" / "up").symlink_to(tmp_path)
    (tmp_path / "two" / "again").symlink_to(tmp_path / "one")
    (tmp_path / "two" / "circle.fits").symlink_to(tmp_path / "two" / "circle.fits")
    return tmp_path


def test_folders_in_folders_are_searched_once_where_asked_for(tree: Path) -> None:
    inputs = find_inputs((".",), base=tree, recursive=True)
    assert [str(Path(text).relative_to(tree)) for text in inputs.files] == [
        *("z.fits", "one/y.fits", "one/a/deep/w.fits", "one/b/x.fits", "two/v.fits")
    ]
    assert [Path(text).name for text in inputs.failed] == ["circle.fits"]
    assert [note for note in inputs.notes if "out: an output folder" in note]
    assert names(find_inputs((".",), base=tree)) == ["z.fits"]


def test_an_output_folder_that_is_named_is_searched(tree: Path) -> None:
    assert names(find_inputs(("out",), base=tree, recursive=True)) == ["t.fits"]


def test_a_tree_without_files_is_told_once(tmp_path: Path) -> None:
    for name in ("a/b", "c"):
        (tmp_path / "x" / name).mkdir(parents=True)
    (tmp_path / "y.fits").touch()
    inputs = find_inputs(("x", "y.fits"), base=tmp_path, recursive=True)
    assert inputs.notes == [f"{tmp_path / 'x'}: no FITS file in this folder or below it"]
