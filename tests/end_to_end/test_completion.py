"""The script that makes a shell complete verbs, flags, choices and files."""

from __future__ import annotations

import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from astroclean.cli.completion import SHELLS
from astroclean.cli.main import VERBS, main

if TYPE_CHECKING:
    from pathlib import Path

BASH = shutil.which("bash")


def script(shell: str, capsys: pytest.CaptureFixture[str]) -> str:
    pytest.importorskip("shtab", reason="needs the extra astroclean[completion]")
    with pytest.raises(SystemExit) as ended:
        main(["--print-completion", shell])
    assert ended.value.code == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("shell", SHELLS)
def test_every_verb_and_its_flags_are_in(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    text = script(shell, capsys)
    for word in (*VERBS, "max-memory", "doctor", "print-completion"):
        assert word in text


@pytest.mark.skipif(BASH is None, reason="needs bash")
@pytest.mark.parametrize(
    ("words", "found"),
    [
        (("insp",), {"inspect"}),
        (("plugins", "do"), {"doctor"}),
        (("run", "--max"), {"--max-memory"}),
        (("simulate", "--ov"), {"--overwrite"}),
        (("run", "raw"), {"raw1.fits", "raw2.fits"}),
        (("run", "pipeline.toml", "raw1"), {"raw1.fits"}),
        (("run", "-o", "cl"), {"cleaned"}),
    ],
)
def test_bash_completes(
    words: tuple[str, ...], found: set[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "completion.bash").write_text(script("bash", capsys), "utf-8")
    for name in ("raw1.fits", "raw2.fits"):
        (tmp_path / name).touch()
    (tmp_path / "cleaned").mkdir()
    typed = " ".join(f"'{word}'" for word in ("astroclean", *words))
    asked = (
        f"source completion.bash; COMP_WORDS=({typed}); COMP_CWORD={len(words)}; "
        'function=$(complete -p astroclean | sed -E "s/.*-F (\\S+) .*/\\1/"); $function; '
        'printf "%s\\n" "${COMPREPLY[@]}"'
    )
    done = subprocess.run(
        [str(BASH), "-c", asked], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert set(done.stdout.split()) == found, done.stderr


def test_without_shtab_the_extra_is_named(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "shtab", None)
    assert main(["--print-completion", "bash"]) == 3
    assert "python -m pip install 'astroclean[completion]'" in capsys.readouterr().err
