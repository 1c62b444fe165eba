"""The output folder: one holder at a time, records that mean outputs, nothing left behind."""

from __future__ import annotations

import errno
import hashlib
import os
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
from astroclean.runner.plan.shard import Shard

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


def without_kernel_locks(monkeypatch: pytest.MonkeyPatch, number: int = errno.ENOLCK) -> None:
    def refuse(handle: int, operation: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("fcntl.flock", refuse)
    monkeypatch.setattr("astroclean.runner.output.lock._PATIENCE", 0.2)


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP])
def test_files_take_the_place_of_refused_locks(
    folder: OutputFolder, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    without_kernel_locks(monkeypatch, number)
    with folder.locked() as notes:
        assert os.strerror(number) in notes[0]
        second = OutputFolder(folder.path)
        with pytest.raises(OutputError, match="another run") as raised, second.locked():
            pass
        assert f"process {os.getpid()} on " in str(raised.value)
        assert "remove" in str(raised.value)
    with folder.locked():
        pass
    assert not list(folder.path.rglob("*.soft"))


def test_other_faults_of_a_lock_are_no_other_run(
    folder: OutputFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_kernel_locks(monkeypatch, errno.EIO)
    with pytest.raises(OutputError, match="cannot be used: Input/output"), folder.locked():
        pass


def test_shards_share_a_folder_that_refuses_locks(
    folder: OutputFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_kernel_locks(monkeypatch)
    one, two = (OutputFolder(folder.path, shard=Shard(i, 2)) for i in (0, 1))
    with one.locked(), two.locked():
        with pytest.raises(OutputError, match="shard 0/2"), one.again().locked():
            pass
        with pytest.raises(OutputError, match="shards of one"), folder.locked():
            pass
    with folder.locked(), pytest.raises(OutputError, match="a whole one"), one.locked():
        pass
    with two.locked():
        pass


def test_soft_lock_holds_off_runs_that_have_the_kernels(
    folder: OutputFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("astroclean.runner.output.lock._PATIENCE", 0.2)
    with monkeypatch.context() as patch:
        without_kernel_locks(patch)
        holding = OutputFolder(folder.path, shard=Shard(1, 2)).locked()
        holding.__enter__()
    for other in (folder, OutputFolder(folder.path, shard=Shard(1, 2))):
        with pytest.raises(OutputError), other.locked():
            pass
    with OutputFolder(folder.path, shard=Shard(0, 2)).locked():
        pass
    holding.__exit__(None, None, None)
    with folder.locked():
        pass


@pytest.mark.parametrize("host", ["here", "elsewhere"])
def test_soft_lock_of_a_killed_run(
    folder: OutputFolder, monkeypatch: pytest.MonkeyPatch, host: str
) -> None:
    without_kernel_locks(monkeypatch)
    code = (
        "import errno, fcntl, os, signal, sys; from pathlib import Path\n"
        "from astroclean.runner.output.folder import OutputFolder\n"
        "def refuse(*_): raise OSError(errno.ENOLCK, 'no locks')\n"
        "fcntl.flock = refuse\n"
        "with OutputFolder(Path(sys.argv[1])).locked(): os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    subprocess.run([sys.executable, "-c", code, str(folder.path)], check=False)
    (left,) = folder.path.rglob("*.soft")
    if host == "here":
        with folder.locked():
            pass
        return
    process, name, *rest = left.read_text("utf-8").split("\n")
    left.write_text("\n".join([process, f"not-{name}", *rest]), "utf-8")
    with pytest.raises(OutputError, match=f"{process} on not-{name}") as raised, folder.locked():
        pass
    assert f"remove {left}" in str(raised.value)
    left.unlink()
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
        assert not folder.is_foreign("x_clean.fits", folder.record("x"))
        (folder.path / "x_clean.fits").write_bytes(b"a letter")
        assert folder.is_foreign("x_clean.fits", folder.record("x"))
        image = fits.PrimaryHDU(np.ones((2, 2)))
        image.writeto(folder.path / "y_clean.fits")
        assert folder.is_foreign("y_clean.fits", folder.record("y"))
        # Begun, done or done before: astroclean's own, whatever the header says.
        folder.begin("x", begun("x_clean.fits"))
        assert not folder.is_foreign("x_clean.fits", folder.record("x"))
        folder.finish("y", record(folder, "y_clean.fits", b"?"))
        folder.reopen("y")
        assert not folder.is_foreign("y_clean.fits", folder.record("y"))
        folder.forget("y")
        image.header["ACVERS"] = "0"
        image.writeto(folder.path / "y_clean.fits", overwrite=True)
        assert not folder.is_foreign("y_clean.fits", folder.record("y"))


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
