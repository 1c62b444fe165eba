"""The output folder: one holder at a time, records that mean outputs, nothing left behind."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest
from astropy.io import fits
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from astroclean.errors import OutputError
from astroclean.report.model import FileRecord, FileStatus
from astroclean.runner.output.folder import OutputFolder

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def folder(tmp_path: Path) -> OutputFolder:
    return OutputFolder(tmp_path / "out")


def record(folder: OutputFolder, name: str, content: bytes, key: str = "k") -> FileRecord:
    (folder.path / name).write_bytes(content)
    digest = hashlib.sha256(content).hexdigest()
    return FileRecord(input="x.fits", status=FileStatus.DONE, key=key, outputs={name: digest})


def begun(*names: str) -> FileRecord:
    outputs = dict.fromkeys(names, "")
    return FileRecord(input="x.fits", status=FileStatus.FAILED, outputs=outputs)


def test_second_holder_is_refused(folder: OutputFolder) -> None:
    with folder.locked():
        with pytest.raises(OutputError, match="another run"), OutputFolder(folder.path).locked():
            pass
        code = (
            "import sys; from pathlib import Path\n"
            "from astroclean.runner.output.folder import OutputFolder\n"
            "with OutputFolder(Path(sys.argv[1])).locked(): pass\n"
        )
        other = subprocess.run(
            [sys.executable, "-c", code, str(folder.path)],
            capture_output=True,
            text=True,
            check=False,
        )
        assert "another run" in other.stderr
    with folder.locked():
        pass


def test_lock_is_given_back_after_a_fault(folder: OutputFolder) -> None:
    with pytest.raises(ZeroDivisionError), folder.locked():
        raise ZeroDivisionError
    with folder.locked():
        pass


def test_scratch_is_empty_before_and_gone_after(folder: OutputFolder) -> None:
    folder.scratch.mkdir(parents=True)
    (folder.scratch / "old").touch()
    with folder.locked():
        assert list(folder.scratch.iterdir()) == []
        (folder.scratch / "new").touch()
    assert not folder.scratch.exists()


def test_unfinished_states_are_cleared(folder: OutputFolder) -> None:
    folder.stages.mkdir(parents=True)
    (folder.stages / ".unfinished-1").touch()
    (folder.stages / "kept.state").touch()
    with folder.locked():
        assert [path.name for path in folder.stages.iterdir()] == ["kept.state"]


@pytest.mark.parametrize("place", ["file", "file/below"])
def test_folder_that_cannot_be(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError) as raised, OutputFolder(tmp_path / place).locked():
        pass
    assert place in str(raised.value)
    assert "-o" in str(raised.value)


def test_finished_means_same_key_and_same_bytes(folder: OutputFolder) -> None:
    with folder.locked():
        folder.finish("x", record(folder, "x_clean.fits", b"pixels"))
        assert folder.finished("x", "k") is not None
        assert folder.finished("x", "other") is None
        assert folder.finished("y", "k") is None
        (folder.path / "x_clean.fits").write_bytes(b"pixelS")
        assert folder.finished("x", "k") is None
        (folder.path / "x_clean.fits").unlink()
        assert folder.finished("x", "k") is None


def test_begun_reopened_forgotten_are_not_finished(folder: OutputFolder) -> None:
    with folder.locked():
        folder.begin("x", begun("x_clean.fits"))
        assert folder.finished("x", "") is None
        for undo in (folder.reopen, folder.forget):
            folder.finish("x", record(folder, "x_clean.fits", b"pixels"))
            undo("x")
            assert folder.finished("x", "k") is None


@pytest.mark.parametrize("text", ["", "{}", '{"input": 3}', "\udcff"])
def test_damaged_record_is_no_record(folder: OutputFolder, text: str) -> None:
    with folder.locked():
        folder.finish("x", record(folder, "x_clean.fits", b"pixels"))
        (path,) = (folder.path / ".astroclean" / "records").iterdir()
        path.write_bytes(text.encode("utf-8", "surrogateescape"))
        assert folder.finished("x", "k") is None


def test_whose_file_it_is(folder: OutputFolder) -> None:
    with folder.locked():
        assert not folder.is_foreign("x_clean.fits", "x")
        (folder.path / "x_clean.fits").write_bytes(b"a letter")
        assert folder.is_foreign("x_clean.fits", "x")
        image = fits.PrimaryHDU(np.ones((2, 2)))
        image.writeto(folder.path / "y_clean.fits")
        assert folder.is_foreign("y_clean.fits", "y")
        # Begun, done or done before: astroclean's own, whatever the header says.
        folder.begin("x", begun("x_clean.fits"))
        assert not folder.is_foreign("x_clean.fits", "x")
        folder.finish("y", record(folder, "y_clean.fits", b"?"))
        folder.reopen("y")
        assert not folder.is_foreign("y_clean.fits", "y")
        folder.forget("y")
        image.header["ACVERS"] = "0"
        image.writeto(folder.path / "y_clean.fits", overwrite=True)
        assert not folder.is_foreign("y_clean.fits", "y")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
@given(stems=st.lists(st.text(min_size=1, max_size=300), min_size=2, max_size=2, unique=True))
def test_any_stem_has_a_record_of_its_own(folder: OutputFolder, stems: list[str]) -> None:
    with folder.locked():
        made = record(folder, "x_clean.fits", b"pixels")
        folder.finish(stems[0], made)
        assert folder.finished(stems[0], "k") == made
        assert folder.finished(stems[1], "k") is None
        folder.forget(stems[0])
        assert folder.finished(stems[0], "k") is None
