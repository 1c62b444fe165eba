"""A file is there whole or not at all."""

from __future__ import annotations

import gzip
import os
from typing import TYPE_CHECKING

import pytest

from astroclean.errors import FitsWriteError
from astroclean.io.scratch.atomic import atomic_file, atomic_text

if TYPE_CHECKING:
    from pathlib import Path


class InterruptedError_(Exception):  # noqa: N801, N818 - a stand-in for any failure
    pass


def fail(path: Path, error: BaseException) -> None:
    with atomic_file(path) as stream:
        stream.write(b"half")
        raise error


@pytest.mark.parametrize("name", ["a.fits", "a.fits.gz"])
@pytest.mark.parametrize("error", [InterruptedError_(), KeyboardInterrupt(), MemoryError()])
def test_a_failure_leaves_nothing_behind(name: str, error: BaseException, tmp_path: Path) -> None:
    with pytest.raises(type(error)):
        fail(tmp_path / name, error)
    assert list(tmp_path.iterdir()) == []


def test_a_failure_leaves_the_earlier_file_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "a.fits"
    path.write_bytes(b"earlier")
    with pytest.raises(InterruptedError_):
        fail(path, InterruptedError_())
    assert path.read_bytes() == b"earlier"
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_is_a_write_error_that_names_the_file(tmp_path: Path) -> None:
    with pytest.raises(FitsWriteError, match=r"a\.fits.*No space left") as caught:
        fail(tmp_path / "a.fits", OSError(28, os.strerror(28)))
    assert isinstance(caught.value.__cause__, OSError)
    assert list(tmp_path.iterdir()) == []


def test_the_file_appears_only_when_all_is_written(tmp_path: Path) -> None:
    path = tmp_path / "a.fits"
    with atomic_file(path) as stream:
        stream.write(b"all of it")
        assert not path.exists()
    assert path.read_bytes() == b"all of it"


def test_an_existing_file_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "a.fits"
    path.write_bytes(b"a longer text than the new one")
    atomic_text(path, "neu é")
    assert path.read_text(encoding="utf-8") == "neu é"


def test_gzip_is_told_by_the_suffix(tmp_path: Path) -> None:
    path = tmp_path / "a.fits.GZ"
    with atomic_file(path) as stream:
        stream.write(b"content")
    assert gzip.decompress(path.read_bytes()) == b"content"


def test_the_unfinished_file_lies_in_the_scratch_folder(tmp_path: Path) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    target = tmp_path / "out"
    target.mkdir()
    with atomic_file(target / "a.fits", scratch=scratch) as stream:
        stream.write(b"x")
        assert len(list(scratch.iterdir())) == 1
        assert list(target.iterdir()) == []
    assert list(scratch.iterdir()) == []


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_permissions_follow_the_umask(umask: int, mode: int, tmp_path: Path) -> None:
    before = os.umask(umask)
    try:
        atomic_text(tmp_path / "a.txt", "x")
        assert os.umask(umask) == umask
    finally:
        os.umask(before)
    assert (tmp_path / "a.txt").stat().st_mode & 0o777 == mode


def test_a_missing_folder_is_a_write_error(tmp_path: Path) -> None:
    with pytest.raises(FitsWriteError, match="cannot be written"):
        atomic_text(tmp_path / "absent" / "a.txt", "x")
