"""Inputs that were made to do harm: each is refused in time, by name, and the others are done."""

from __future__ import annotations

import gzip
import io
import json
import os
import socket
import subprocess
import sys
import textwrap
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from astropy.io import fits

from astroclean.config.load import load_pipeline
from astroclean.core.toml import TomlError, parsed_toml
from astroclean.errors import ConfigurationError, FitsReadError, FitsWriteError
from astroclean.inference.cards import card as card_module
from astroclean.inference.cards.card import NetworkCode, foreign_code
from astroclean.inference.engines.engine import EngineError
from astroclean.inference.engines.initializers import build_network
from astroclean.io.fits.images import patched_hdu
from astroclean.io.fits.source import FitsSource
from astroclean.io.frames.read import open_exposure
from astroclean.io.packed import hcompress, hcompress_worker, unpacking
from astroclean.io.resources import read_table

if TYPE_CHECKING:
    from collections.abc import Callable

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

import fuzz_files

BLOCK = 2880
TILED = {
    "RICE_1": "i2",
    "GZIP_1": "i4",
    "GZIP_2": "f4",
    "HCOMPRESS_1": "i2",
    "PLIO_1": "i2",
}


def encoded(*hdus: Any) -> bytes:
    buffer = io.BytesIO()
    fits.HDUList(list(hdus)).writeto(buffer)
    return buffer.getvalue()


def scene(dtype: str, shape: tuple[int, int] = (40, 50)) -> np.ndarray:
    return np.random.default_rng(5).normal(300, 40, shape).astype(dtype)


def tiled(method: str) -> tuple[np.ndarray, bytes]:
    image = scene(TILED[method])
    hdu = fits.CompImageHDU(image, compression_type=method, quantize_level=0)
    return image, encoded(fits.PrimaryHDU(), hdu)


def heap_start(content: bytes) -> tuple[int, int]:
    """Return where the table of tiles and where their heap begins."""
    with fits.open(io.BytesIO(content), disable_image_compression=True) as hdus:
        place = hdus[1].fileinfo()["datLoc"]
        return place, place + hdus[1].header["NAXIS1"] * hdus[1].header["NAXIS2"]


def read(path: Path, index: int = 1) -> np.ndarray:
    with FitsSource(path) as source:
        return source.read(index)


# ---------------------------------------------------------------------------- tiles


def test_a_keyword_that_is_a_pattern_is_a_keyword(tmp_path: Path) -> None:
    """A damaged card may hold a star or a bracket; astropy would search for what it matches."""
    path = tmp_path / "x.fits"
    header = fits.Header({"BUNIT": "adu", "MARKER": 5.0, "CRVAL1": 3.0})
    fits.PrimaryHDU(np.ones((9, 9), "f4"), header).writeto(path)
    content = path.read_bytes()
    for broken in (b"AB*(CD  ", b"*)      ", b"[*      "):
        assert len(broken) == len(b"MARKER  ")
        path.write_bytes(content.replace(b"MARKER  ", broken))
        with open_exposure(str(path)) as exposure:
            (slot,) = exposure.slots
            assert exposure.frame(slot).data.sum() == 81


@pytest.mark.parametrize("method", TILED)
def test_whole_tiles_give_the_pixels_that_were_packed(method: str, tmp_path: Path) -> None:
    image, content = tiled(method)
    path = tmp_path / "whole.fits"
    path.write_bytes(content)
    np.testing.assert_array_equal(read(path), image)


@pytest.mark.parametrize("lost", [1, 2, 5])
@pytest.mark.parametrize("method", TILED)
def test_a_shortened_descriptor_is_damage_and_no_foreign_memory(
    method: str, lost: int, tmp_path: Path
) -> None:
    _, content = tiled(method)
    table, heap = heap_start(content)
    words = np.frombuffer(content[table:heap], ">i4").copy()
    words[0] -= lost
    path = tmp_path / "short.fits"
    path.write_bytes(content[:table] + words.tobytes() + content[heap:])
    with pytest.raises(FitsReadError, match=r"short\.fits"):
        read(path)


@pytest.mark.parametrize(("length", "offset"), [(1 << 30, 0), (40, 1 << 30), (-8, 0), (40, -40)])
@pytest.mark.parametrize("method", TILED)
def test_a_tile_outside_the_heap_is_refused(
    method: str, length: int, offset: int, tmp_path: Path
) -> None:
    _, content = tiled(method)
    table, heap = heap_start(content)
    words = np.frombuffer(content[table:heap], ">i4").copy()
    words[:2] = length, offset
    path = tmp_path / "outside.fits"
    path.write_bytes(content[:table] + words.tobytes() + content[heap:])
    with pytest.raises(FitsReadError, match="outside the heap"):
        read(path)


@pytest.mark.parametrize("sides", [(0, 0), (-1, -1), (8, 16 * 50), (1 << 20, 1 << 20)])
def test_an_hcompress_stream_of_another_size_never_reaches_the_decoder(
    sides: tuple[int, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, content = tiled("HCOMPRESS_1")
    _, heap = heap_start(content)
    told = np.array(sides, ">i4").tobytes()
    path = tmp_path / "sides.fits"
    path.write_bytes(content[: heap + 2] + told + content[heap + 10 :])
    monkeypatch.setattr(hcompress._DECODER, "decode", lambda *_: pytest.fail("was called"))
    with pytest.raises(FitsReadError, match="HCOMPRESS tile of"):
        read(path)


@pytest.mark.parametrize("end", ["os.abort()", "os._exit(0)", "os.kill(os.getpid(), 11)"])
def test_a_decoder_that_dies_fails_its_file_and_no_other(
    end: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image, content = tiled("HCOMPRESS_1")
    path = tmp_path / "tiles.fits"
    path.write_bytes(content)
    dying = tmp_path / "dying.py"
    dying.write_text(f"import os, sys\nsys.stdin.buffer.read(50)\n{end}\n")
    hcompress._DECODER.close()
    with monkeypatch.context() as patch:
        patch.setattr(hcompress, "_WORKER", dying)
        with pytest.raises(FitsReadError, match="died of a damaged tile"):
            read(path)
    np.testing.assert_array_equal(read(path), image)


def test_a_tile_that_takes_the_decoder_too_long_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image, content = tiled("HCOMPRESS_1")
    path = tmp_path / "tiles.fits"
    path.write_bytes(content)
    lines = (
        f"import sys; sys.path.insert(0, {str(hcompress._WORKER.parent)!r})",
        "import hcompress_worker as worker",
        "worker.SECONDS = 0.5",
        "def decoded(*_):",
        "    while True: pass",
        "worker.decoded = decoded",
        "worker.serve()",
    )
    endless = tmp_path / "endless.py"
    endless.write_text("\n".join(lines))
    hcompress._DECODER.close()
    with monkeypatch.context() as patch:
        patch.setattr(hcompress, "_WORKER", endless)
        with pytest.raises(FitsReadError, match="too long"):
            read(path)
    np.testing.assert_array_equal(read(path), image)


def test_the_time_of_the_decoder_grows_with_the_tile_and_not_with_their_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hcompress_worker.time, "process_time", lambda: 100.0)
    monkeypatch.setattr(hcompress_worker.resource, "getrlimit", lambda _: (-1, -1))
    told: list[int] = []
    monkeypatch.setattr(
        hcompress_worker.resource, "setrlimit", lambda _, limits: told.append(limits[0])
    )
    for pixels in (100, 100, 4000 * 4000):
        hcompress_worker._limit_time(pixels)
    assert told == [103, 103, 182]


@pytest.mark.parametrize("words", [[0, 7, -100, 0, 0, 0, 0], [0, 7, -100, 9, 1, 0, 0], [1, 2]])
def test_a_plio_list_that_ends_behind_its_stream_is_refused(words: list[int]) -> None:
    from astroclean.io.packed.tile_codecs import _check_plio

    with pytest.raises(ValueError, match="PLIO"):
        _check_plio(np.array(words, np.int16))


def test_a_gzip_tile_unpacks_to_no_more_than_its_pixels(tmp_path: Path) -> None:
    _, content = tiled("GZIP_1")
    table, heap = heap_start(content)
    bomb = gzip.compress(bytes(30_000_000))
    words = np.frombuffer(content[table:heap], ">i4").copy()
    words[:2] = len(bomb), 0
    new = content[:heap] + bomb
    new = new[:table] + words.tobytes() + new[heap:]
    new = with_number(new + bytes(-len(new) % BLOCK), "PCOUNT", len(bomb))
    path = tmp_path / "bomb.fits"
    path.write_bytes(new)
    with pytest.raises(FitsReadError, match="longer than its pixels"):
        read(path)


# ---------------------------------------------------------------------------- headers


def with_number(content: bytes, keyword: str, value: Any) -> bytes:
    """Replace the value of the last card of this keyword."""
    start = content.rindex(keyword.ljust(8).encode() + b"=")
    card = f"{keyword:8}= {value:>20}".ljust(80).encode()
    return content[:start] + card + content[start + 80 :]


@pytest.mark.parametrize(
    ("keyword", "value"),
    [
        ("NAXIS", 1_000_000_000),
        ("NAXIS", 1000),
        ("NAXIS", "9" * 20),
        ("NAXIS", -1),
        ("NAXIS1", -5),
        ("WCSAXES", 1_000_000_000),
        ("A_ORDER", 1_000_000),
    ],
)
def test_numbers_beyond_the_standard_are_refused_before_a_reader_sees_them(
    keyword: str, value: Any, tmp_path: Path
) -> None:
    hdu = fits.PrimaryHDU(scene("f4"))
    hdu.header.update(WCSAXES=2, A_ORDER=2)
    path = tmp_path / "huge.fits"
    path.write_bytes(with_number(encoded(hdu), keyword, value))
    with pytest.raises(FitsReadError, match=rf"huge\.fits.*{keyword} must be"):
        read(path, 0)


@pytest.mark.parametrize("keyword", ["TFIELDS", "PCOUNT", "ZNAXIS"])
def test_numbers_of_tables_too(keyword: str, tmp_path: Path) -> None:
    path = tmp_path / "huge.fits"
    path.write_bytes(with_number(tiled("RICE_1")[1], keyword, "8" * 19))
    with pytest.raises(FitsReadError, match=f"{keyword} must be"):
        read(path)


def test_a_header_without_end_and_hdus_without_number_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "long.fits"
    path.write_bytes(b"SIMPLE  =                    T".ljust(80) + b" " * 80 * 36 * 2100)
    with pytest.raises(FitsReadError, match="without END"):
        read(path)
    empty = encoded(fits.PrimaryHDU(), fits.ImageHDU())
    path.write_bytes(empty + empty[BLOCK:] * 5001)
    with pytest.raises(FitsReadError, match="more than 5000 HDUs"):
        read(path)


# ---------------------------------------------------------------------------- packed files


def test_a_large_packed_file_goes_to_scratch_disk_and_is_gone_afterwards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = scene("f4", (300, 400))
    path = tmp_path / "packed.fits.gz"
    path.write_bytes(gzip.compress(encoded(fits.PrimaryHDU(image))))
    monkeypatch.setattr(unpacking, "_IN_MEMORY", 100_000)
    with FitsSource(path) as source:
        scratch = source._plain
        assert scratch != path
        assert scratch.is_file()
        np.testing.assert_array_equal(source.read(0), image)
    assert not scratch.exists()


def test_what_unpacks_beyond_the_limit_is_refused_by_its_header(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "bomb.fits.gz"
    small = encoded(fits.PrimaryHDU(np.zeros((2, 3), "f4")))
    path.write_bytes(gzip.compress(with_number(small, "NAXIS2", 1_000_000_000)))
    monkeypatch.setenv("ASTROCLEAN_MAX_UNPACKED", "2000000")
    with pytest.raises(FitsReadError, match=r"bomb\.fits\.gz: unpacks to 11\.2 GiB, more than"):
        read(path)
    monkeypatch.setenv("ASTROCLEAN_MAX_UNPACKED", str(1 << 60))
    room = SimpleNamespace(free=5 << 30)
    monkeypatch.setattr(unpacking.shutil, "disk_usage", lambda _: room)
    with pytest.raises(FitsReadError, match=r"scratch has room for 5\.0 GiB"):
        read(path)


@pytest.mark.slow
def test_zeros_without_end_behind_a_file_are_left(tmp_path: Path) -> None:
    image = scene("f4")
    path = tmp_path / "tail.fits.gz"
    content = encoded(fits.PrimaryHDU(image))
    with gzip.open(path, "wb", 1) as stream:
        stream.write(content)
        for _ in range(100):
            stream.write(bytes(1 << 20))
    with FitsSource(path) as source:
        np.testing.assert_array_equal(source.read(0), image)
        assert any("behind the last HDU" in note for note in source.notes)


# ---------------------------------------------------------------------------- inputs and names


def run(tmp_path: Path, *words: str | bytes, seconds: float = 60) -> tuple[int, str, list[Any]]:
    """Run the command line; return status, what was printed, records."""
    (tmp_path / "p.toml").write_text('schema = 1\n[[stage]]\nplugin = "badpix"\n')
    done = subprocess.run(
        [sys.executable, "-m", "astroclean", "run", "p.toml", *words, "-o", "out"],
        cwd=tmp_path,
        capture_output=True,
        timeout=seconds,
        check=False,
    )
    printed = (done.stdout + done.stderr).decode("utf-8", "backslashreplace")
    record = tmp_path / "out" / "run.json"
    files = json.loads(record.read_text())["files"] if record.is_file() else []
    return done.returncode, printed, files


@pytest.mark.slow
def test_what_is_no_regular_file_and_names_of_any_kind(tmp_path: Path) -> None:
    hdu = fits.PrimaryHDU(scene("f4"))
    hdu.header["BUNIT"] = "electron"
    good = encoded(hdu)
    for name in (b"good.fits", b"~x.fits", b"n\xff.fits", b"l" * 240 + b".fits"):
        (tmp_path / os.fsdecode(name)).write_bytes(good)
    os.mkfifo(tmp_path / "fifo.fits")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "linked.fits").symlink_to("pipe")
    (tmp_path / "zero.fits").symlink_to("/dev/zero")
    (tmp_path / "loop.fits").symlink_to("loop.fits")
    here = Path.cwd()
    os.chdir(tmp_path)  # the path of a socket must be short
    try:
        listening = socket.socket(socket.AF_UNIX)
        listening.bind("sock.fits")
        listening.close()
    finally:
        os.chdir(here)
    (tmp_path / "list.txt").write_bytes(b"nul\0.fits\n" + b"b" * 300 + b".fits\nn\xfe.fits\n")
    words = [b".", b"~x.fits", b"~nobody/x.fits", b"@list.txt", b"@fifo.fits", b"@/dev/zero"]
    status, printed, files = run(tmp_path, *words, b"c\xff.fits")
    assert "Traceback" not in printed
    assert status == 1
    told = {Path(f["input"]).name: f["error"] for f in files}
    assert {name for name, error in told.items() if error is None} == {"good.fits", "~x.fits"}
    assert (tmp_path / "out" / "~x_clean.fits").is_file()
    for name, why in {
        "fifo.fits": "FIFO",
        "linked.fits": "FIFO",
        "zero.fits": "device",
        "sock.fits": "socket",
        "loop.fits": "circle",
        "n\\xff.fits": "UTF-8",
        "l" * 240 + ".fits": "bytes",
        "nul\\x00.fits": "no such file",
        "b" * 300 + ".fits": "no such file",
        "c\\xff.fits": "no such file",
        "@fifo.fits": "list cannot be read: a FIFO",
    }.items():
        assert why in told[name], name


def test_a_fifo_is_neither_pipeline_nor_catalogue(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.toml")
    with pytest.raises(ConfigurationError, match="FIFO, not a regular file"):
        load_pipeline(tmp_path / "pipe.toml")
    with pytest.raises(FitsReadError, match="FIFO"):
        read_table(tmp_path / "pipe.toml")


# ---------------------------------------------------------------------------- TOML


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("a = " + "[" * 100_000, "nested"),
        ("a = " + "[" * 40 + "]" * 40, "nested"),
        ("a = " + "{a=" * 5000, "nested"),
        ("a = " + "9" * 5000, "digits"),
        ("a = 0x" + "f" * 5000, "digits"),
        ("a." * 50_000 + "a = 1", "parts"),
        ("[" + '"a" . ' * 50_000 + "a]", "parts"),
    ],
)
def test_toml_without_measure_is_refused_at_once(text: str, why: str) -> None:
    with pytest.raises(TomlError, match=why):
        parsed_toml(text)


@pytest.mark.parametrize(
    "text",
    [
        "a = [" + "0.5, " * 5000 + "]",
        'a = "' + "word. " * 500 + '"',
        "a = 18446744073709551616",
        "a.b.c.d = 1\n[x.y.z]\nq = 1.5",
    ],
)
def test_toml_in_common_use_is_read(text: str) -> None:
    assert parsed_toml(text)


def test_a_pipeline_of_thousands_of_stages_or_mistakes_is_told_in_short(tmp_path: Path) -> None:
    path = tmp_path / "many.toml"
    path.write_text("schema = 1\n" + '[[stage]]\nplugin = "badpix"\n' * 3000)
    with pytest.raises(ConfigurationError, match="at most 100"):
        load_pipeline(path)
    path.write_text("".join(f"key{n} = 1\n" for n in range(5000)))
    with pytest.raises(ConfigurationError) as caught:
        load_pipeline(path)
    assert len(caught.value.problems) <= 51
    path.write_text("x = 1\n" * 1_000_000)
    with pytest.raises(ConfigurationError, match="larger than"):
        load_pipeline(path)


# ---------------------------------------------------------------------------- catalogues

VOTABLE = """<?xml version="1.0"?>
<VOTABLE version="1.3" xmlns="http://www.ivoa.net/xml/VOTable/v1.3">
<RESOURCE><TABLE><FIELD name="x" datatype="double"/><FIELD name="y" datatype="double"/>
<DATA>{data}</DATA></TABLE></RESOURCE></VOTABLE>"""
INLINE = "<TABLEDATA><TR><TD>1.5</TD><TD>2.5</TD></TR></TABLEDATA>"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
@pytest.mark.parametrize("packing", [bytes, gzip.compress])
@pytest.mark.parametrize("href", ["file:///etc/hostname", "http://127.0.0.1:9/x", "data.bin"])
def test_a_votable_with_data_elsewhere_is_refused(
    href: str, packing: Callable[[bytes], bytes], encoding: str, tmp_path: Path
) -> None:
    data = f'<BINARY><STREAM encoding="base64" href="{href}"/></BINARY>'
    path = tmp_path / "linked.vot"
    path.write_bytes(packing(VOTABLE.format(data=data).encode(encoding)))
    with pytest.raises(FitsReadError, match="another file or on the net"):
        read_table(path)


def test_a_votable_with_its_data_inside_is_read(tmp_path: Path) -> None:
    path = tmp_path / "inline.vot"
    path.write_text(VOTABLE.format(data=INLINE))
    assert list(read_table(path)["x"]) == [1.5]


def test_entities_and_half_a_votable_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "odd.vot"
    declared = '<!DOCTYPE V [<!ENTITY a SYSTEM "file:///etc/hostname">]>'
    path.write_text(VOTABLE.format(data=INLINE).replace("?>", f"?>{declared}", 1))
    with pytest.raises(FitsReadError, match="entities"):
        read_table(path)
    path.write_text(VOTABLE.format(data=INLINE)[:-30])
    with pytest.raises(FitsReadError, match="not well-formed"):
        read_table(path)


def test_a_fits_catalogue_is_held_to_the_same_limits(tmp_path: Path) -> None:
    path = tmp_path / "table.fits"
    table = fits.BinTableHDU(np.zeros(3, [("x", "f4")]))
    path.write_bytes(with_number(encoded(fits.PrimaryHDU(), table), "TFIELDS", 10**9))
    with pytest.raises(FitsReadError, match="TFIELDS must be"):
        read_table(path)


# ---------------------------------------------------------------------------- cards


class _Card:
    """What of a card matters here."""

    def __init__(self, folder: Path, target: str) -> None:
        self.folder = folder
        self.network = NetworkCode(torch=target, keras=target)


@pytest.mark.parametrize(
    "target", ["hostile_module:build", "os:getcwd", "astroclean_maximask.shipped:card_path"]
)
def test_a_card_beside_weights_runs_no_code(
    target: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mark = tmp_path / "imported"
    (tmp_path / "hostile_module.py").write_text(
        f"open({str(mark)!r}, 'w').close()\ndef build(): return None\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    card: Any = _Card(tmp_path, target)
    assert foreign_code(card, target)
    with pytest.raises(EngineError, match="is not called"):
        build_network(card, target)
    assert not mark.exists()


def test_a_card_in_the_package_of_an_installed_plugin_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "toy_with_code"
    (package / "cards").mkdir(parents=True)
    (package / "__init__.py").write_text("def build(): return 'network'\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(card_module, "plugin_packages", lambda: {"toy_with_code"})
    own: Any = _Card(package / "cards", "toy_with_code:build")
    assert build_network(own, "toy_with_code:build") == "network"
    other: Any = _Card(package / "cards", "os:getcwd")
    assert foreign_code(other, "os:getcwd")


# ---------------------------------------------------------------------------- wide integers


def patched(path: Path, new: float) -> np.ndarray:
    """Change one pixel, as a run does, and return what is stored."""
    with FitsSource(path) as source:
        info = source.hdus[0]
        values = np.full(info.shape, new, np.float32)
        changed = np.zeros(info.shape, bool)
        changed[3, 4] = True
        target = io.BytesIO()
        patched_hdu(source, info, [values], [changed], ["changed"], target)
    return fits.getdata(io.BytesIO(target.getvalue()))


@pytest.mark.parametrize("kind", ["i8", "u8"])
@pytest.mark.parametrize("largest", [(1 << 53) + 1, (1 << 62) + 12345])
def test_integers_that_no_float_holds_stay_as_they_are(
    kind: str, largest: int, tmp_path: Path
) -> None:
    image = np.arange(80, dtype=kind).reshape(8, 10)
    image[0, 0] = largest
    image[7, 9] = largest - 2
    path = tmp_path / "wide.fits"
    fits.PrimaryHDU(image).writeto(path)
    after = patched(path, 7.4)
    image[3, 4] = 7
    assert after.dtype.kind == kind[0]
    np.testing.assert_array_equal(after, image)


def test_integers_that_floats_hold_become_floats(tmp_path: Path) -> None:
    image = np.arange(80, dtype="i8").reshape(8, 10)
    image[0, 0] = 1 << 53
    path = tmp_path / "narrow.fits"
    fits.PrimaryHDU(image).writeto(path)
    after = patched(path, 7.5)
    assert after[3, 4] == 7.5
    assert after[0, 0] == 1 << 53


@pytest.mark.parametrize("new", [np.nan, 1e30])
def test_what_such_an_image_cannot_hold_is_an_error(new: float, tmp_path: Path) -> None:
    path = tmp_path / "wide.fits"
    fits.PrimaryHDU(np.full((8, 10), (1 << 60) + 1)).writeto(path)
    with pytest.raises(FitsWriteError, match=r"wide\.fits"):
        patched(path, new)


# ---------------------------------------------------------------------------- values


@pytest.mark.slow
@pytest.mark.parametrize("value", [1e10, 1e20, 3e38, -3e38, 1e-40])
def test_sep_takes_damaged_values_without_a_fault(value: float, tmp_path: Path) -> None:
    image = scene("f4", (90, 100))
    image[30:34, 40:44] = value
    image[60, 3] = -value
    for row in range(5):  # bits of any kind
        image[row] = np.random.default_rng(row).integers(0, 2**32, 100, np.uint32).view("f4")
    hdu = fits.PrimaryHDU(image)
    hdu.header["BUNIT"] = "electron"
    hdu.writeto(tmp_path / "odd.fits")
    (tmp_path / "sep.toml").write_text('schema = 1\n[[stage]]\nplugin = "sep"\n')
    code = textwrap.dedent("""
        import astroclean, sys
        report = astroclean.run("sep.toml", ["odd.fits"], output="out")
        sys.exit(report.exit_code)
    """)
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


# ---------------------------------------------------------------------------- all of it


@pytest.mark.slow
def test_batches_of_damaged_files_keep_the_rules(tmp_path: Path) -> None:
    files, settings = 112, {"jobs": (1, 2), "seed": 16, "size": 112}
    outcome = fuzz_files.fuzz(files, log=tmp_path / "log", **settings)
    assert outcome.wrong == []
    assert outcome.files == files
    assert outcome.slowest > 0
    for counts in outcome.statuses.values():
        assert sum(counts.values()) == files + fuzz_files.GOOD
        assert counts["done"] > fuzz_files.GOOD
        assert counts["failed"] > files // 3
    # What is on record is not done again.
    assert fuzz_files.fuzz(files, log=tmp_path / "log", **settings) == outcome
    told = json.loads((tmp_path / "log").read_text())
    assert told["statuses"]["1"] == told["statuses"]["2"]


def test_the_fuzz_sees_what_differs_with_the_number_of_jobs() -> None:
    one = {"a": ("done", {"a_clean.fits": "1"}, None), "b": ("failed", {}, "why")}
    two = {"a": ("done", {"a_clean.fits": "2"}, None), "b": ("failed", {}, "why")}
    assert fuzz_files.differences({1: one, 2: one}) == []
    (told,) = fuzz_files.differences({1: one, 2: two})
    assert told.startswith("a: ")
    (told,) = fuzz_files.differences({1: one, 2: {"a": one["a"]}})
    assert told.startswith("b: ")
