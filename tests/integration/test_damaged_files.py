"""Reading a damaged file gives frames or one error that names the file, and nothing else.

Several hundred files are damaged by seeded rules and read in a process of their own, under a limit
on memory, so that a crash of a decoder, a hang or an absurd allocation is seen as what it is.
"""

from __future__ import annotations

import gzip
import io
import json
import os
import resource
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from astropy.io import fits

import astroclean
from astroclean.errors import AstrocleanError, FitsReadError, InstrumentError, UnitError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SEED = 20260
BLOCK = 2880
SHAPE = (20, 22)
SECONDS = 10
MEMORY = 400 << 20  # bytes beside what Python and its packages take
EXPECTED = (FitsReadError, UnitError, InstrumentError)


# ---------------------------------------------------------------------------- whole files


def encoded(hdus: list[Any], **options: Any) -> bytes:
    buffer = io.BytesIO()
    fits.HDUList(hdus).writeto(buffer, **options)
    return buffer.getvalue()


def values(dtype: str, shape: tuple[int, ...] = SHAPE) -> np.ndarray:
    return np.random.default_rng(3).normal(300, 40, shape).astype(dtype)


def exposure() -> bytes:
    return encoded(
        [
            fits.PrimaryHDU(),
            fits.ImageHDU(values("f4"), name="SCI"),
            fits.ImageHDU(values("f4") / 30, name="ERR"),
            fits.ImageHDU(np.zeros(SHAPE, "i2"), name="DQ"),
        ]
    )


def plain() -> bytes:
    hdu = fits.PrimaryHDU(values("i2"))
    hdu.header.update(BUNIT="electron", GAIN=1.5, CTYPE1="RA---TAN", CTYPE2="DEC--TAN")
    hdu.header.update(CRVAL1=10.0, CRVAL2=20.0, CRPIX1=5.0, CRPIX2=5.0, CDELT1=-1e-4, CDELT2=1e-4)
    return encoded([hdu])


def packed(dtype: str, kind: str, quantize: float = 16) -> bytes:
    hdu = fits.CompImageHDU(values(dtype), compression_type=kind, quantize_level=quantize)
    return encoded([fits.PrimaryHDU(), hdu])


WHOLE: dict[str, Callable[[], bytes]] = {
    "plain": plain,
    "scaled": lambda: encoded([fits.PrimaryHDU(values("u2"))]),
    "cube": lambda: encoded([fits.PrimaryHDU(values("f8", (2, *SHAPE)))]),
    "exposure": exposure,
    "rice": lambda: packed("i2", "RICE_1"),
    "quantized": lambda: packed("f4", "RICE_1"),
    "gzip-tiles": lambda: packed("f4", "GZIP_2", 0),
    "hcompress": lambda: packed("i2", "HCOMPRESS_1"),
    "plio": lambda: packed("i2", "PLIO_1"),
}
PACKED = ("rice", "quantized", "gzip-tiles", "hcompress", "plio")


# ---------------------------------------------------------------------------- damage


def header_end(content: bytes, start: int = 0) -> int:
    return content.index(b"END" + b" " * 77, start) // BLOCK * BLOCK + BLOCK


def flipped(content: bytes, first: int, last: int, count: int, seed: int) -> bytes:
    generator = np.random.default_rng([SEED, seed])
    damaged = bytearray(content)
    for place in generator.integers(first, last, count):
        damaged[place] ^= 1 << int(generator.integers(8))
    return bytes(damaged)


def flips_in_headers() -> Iterator[tuple[str, bytes]]:
    for number, (name, make) in enumerate(WHOLE.items()):
        content = make()
        last = header_end(content, header_end(content) if name in PACKED else 0)
        for seed in range(12):
            yield f"{name}-{seed}", flipped(content, 0, last, 1 + seed, 100 * number + seed)


def flips_in_data() -> Iterator[tuple[str, bytes]]:
    for number, (name, make) in enumerate(WHOLE.items()):
        content = make()
        first = header_end(content, header_end(content) if name in PACKED else 0)
        for seed in range(12):
            damaged = flipped(
                content, first, len(content), 1 + 3 * seed, 5000 + 100 * number + seed
            )
            yield f"{name}-{seed}", damaged


def truncations() -> Iterator[tuple[str, bytes]]:
    for name, make in WHOLE.items():
        content = make()
        ends = {0, 1, 79, 80, 81, 2879, 2880, 2881, 5760, len(content) // 2}
        ends |= {header_end(content), header_end(content) + 7, len(content) - BLOCK}
        for end in sorted(e for e in ends if e < len(content)):
            yield f"{name}-{end}", content[:end]


def deleted_blocks() -> Iterator[tuple[str, bytes]]:
    for name, make in WHOLE.items():
        content = make()
        for start in range(0, len(content), BLOCK):
            yield f"{name}-{start}", content[:start] + content[start + BLOCK :]


def gzip_streams() -> Iterator[tuple[str, bytes]]:
    for number, name in enumerate(("plain", "exposure", "cube")):
        content = gzip.compress(WHOLE[name](), mtime=0)
        for seed in range(12):
            damaged = flipped(content, 0, len(content), 1 + seed, 9000 + 100 * number + seed)
            yield f"{name}-{seed}.gz", damaged
        for end in (2, 9, 10, 11, len(content) // 2, len(content) - 9, len(content) - 1):
            yield f"{name}-end-{end}.gz", content[:end]
        yield f"{name}-tail.gz", content + b"tail"


def flips_in_descriptors() -> Iterator[tuple[str, bytes]]:
    """Damage the table of a compressed image: lengths and offsets of its tiles."""
    for number, name in enumerate(PACKED):
        content = WHOLE[name]()
        first = header_end(content, header_end(content))
        for seed in range(12):
            damaged = flipped(content, first, first + 8 * SHAPE[0], 2, 7000 + 100 * number + seed)
            yield f"{name}-{seed}", damaged


def with_card(content: bytes, keyword: str, value: str) -> bytes:
    """Replace the value of the last card of this keyword."""
    start = content.rindex(keyword.ljust(8).encode() + b"=")
    card = f"{keyword:8}= {value:>20}".ljust(80).encode()
    return content[:start] + card + content[start + 80 :]


WRONG_CARDS = {
    "plain": {
        "NAXIS": ("0", "1", "3", "-1", "999", "1000", "two", ""),
        "NAXIS1": ("0", "-5", "1000000000", "99999999999999999999", "2.5", "'22'"),
        "NAXIS2": ("0", "-5", "1000000000", "T"),
        "BITPIX": ("7", "0", "-16", "1", "64", "-64", "'16'", ""),
        "SIMPLE": ("F", "1", "'T'"),
        "BUNIT": ("'furlong'", "17", "'m/s/s/'", "' '"),
        "GAIN": ("'much'", "-1", "NaN", "T"),
        "CTYPE1": ("'RA---XYZ'", "3.5", "'DEC--TAN'"),
        "CDELT1": ("0.0", "'x'", "1E400"),
        "CRVAL2": ("1000.0", "T"),
    },
    "scaled": {"BZERO": ("'x'", "1E308", "NaN", "T"), "BSCALE": ("0", "'x'", "1E308")},
    "cube": {"NAXIS3": ("0", "-2", "1000000000"), "NAXIS": ("2", "4")},
    "exposure": {
        "PCOUNT": ("-1", "1000000000000", "x"),
        "GCOUNT": ("0", "-1", "1000000000"),
        "EXTNAME": ("'SCI'", "7", "'ERR     '"),
        "EXTVER": ("0", "-1", "'one'", "2.5"),
        "XTENSION": ("'NONSENSE'", "'BINTABLE'", "4"),
        "NAXIS1": ("21", "1000000000"),
        "BITPIX": ("-32", "8"),
    },
    **{
        name: {
            "ZNAXIS1": ("0", "-1", "1000000000", "23"),
            "ZNAXIS2": ("0", "1000000000", "19"),
            "ZNAXIS": ("1", "3", "0"),
            "ZTILE1": ("0", "-1", "1000000000", "5"),
            "ZTILE2": ("0", "1000000000", "7"),
            "ZBITPIX": ("7", "64", "-64", "8"),
            "ZCMPTYPE": ("'NOCOMPRESS'", "'GZIP_1'", "'RICE_1'", "'ZIP'", "4"),
            "ZVAL1": ("0", "-1", "1000000000"),
            "PCOUNT": ("-1", "0", "1000000000000"),
            "TFORM1": ("'1PJ(3)'", "'1J'", "'1QB(9)'", "'nonsense'"),
            "TFIELDS": ("0", "9", "-1"),
            "NAXIS1": ("0", "7", "1000000000"),
            "NAXIS2": ("0", "3", "1000000000"),
        }
        for name in PACKED
    },
}


def wrong_cards() -> Iterator[tuple[str, bytes]]:
    for name, cards in WRONG_CARDS.items():
        content = WHOLE[name]()
        for keyword, wrong in cards.items():
            if keyword.encode() in content:
                for number, value in enumerate(wrong):
                    yield f"{name}-{keyword}-{number}", with_card(content, keyword, value)


def no_fits_at_all() -> Iterator[tuple[str, bytes]]:
    generator = np.random.default_rng(SEED)
    yield "empty", b""
    yield "text", b"Dear observer,\nthe exposure is on its way.\n" * 200
    yield "blanks", b" " * (3 * BLOCK)
    yield "zeros", bytes(3 * BLOCK)
    yield "end", b"END".ljust(80) * 36
    for number in range(12):
        yield f"garbage-{number}", generator.bytes(int(generator.integers(1, 20000)))
    for number in range(6):
        yield f"behind-{number}", plain() + generator.bytes(int(generator.integers(1, 9000)))
    yield "four-axes", encoded([fits.PrimaryHDU(values("f4", (2, 3, *SHAPE)))])
    yield "one-axis", encoded([fits.PrimaryHDU(values("f4", (40,)))])
    yield "tables-only", encoded([fits.PrimaryHDU(), fits.BinTableHDU(np.zeros(3, [("a", "f4")]))])
    yield "primary-only", encoded([fits.PrimaryHDU()])
    smaller = [fits.ImageHDU(values("f4"), name="SCI"), fits.ImageHDU(values("f4")[1:], name="ERR")]
    yield "smaller-err", encoded([fits.PrimaryHDU(), *smaller])


KINDS: dict[str, Callable[[], Iterator[tuple[str, bytes]]]] = {
    make.__name__: make
    for make in (
        flips_in_headers,
        flips_in_data,
        flips_in_descriptors,
        truncations,
        deleted_blocks,
        gzip_streams,
        wrong_cards,
        no_fits_at_all,
    )
}


# ---------------------------------------------------------------------------- the reading process


class TooSlowError(BaseException):
    """Not an Exception, so that nothing on the way swallows it."""


def _on_alarm(*_: object) -> None:
    raise TooSlowError


def attempt(path: Path) -> str:
    """Read all frames of a file; return what came of it."""
    from astroclean.io.frames.read import open_exposure

    try:
        with open_exposure(path) as opened:
            for slot in opened.slots:
                frame = opened.frame(slot)
                if frame.shape != slot.science.shape[-2:]:
                    return f"wrong: shape {frame.shape}"
    except EXPECTED as error:
        message = str(error)
        if path.name not in message:
            return f"wrong: message without the file: {message}"
        return f"wrong: {message}" if "more memory" in message else "refused"
    except TooSlowError:
        return f"wrong: not done in {SECONDS} s"
    except BaseException as error:  # noqa: BLE001 - that is what this is to find
        return f"wrong: {type(error).__name__}: {error}"
    return "read"


def read_all(paths: list[str]) -> None:
    """Print one JSON line a file. Runs in a process of its own."""
    from astroclean.io.frames.read import open_exposure

    warnings.simplefilter("error")
    signal.signal(signal.SIGALRM, _on_alarm)
    whole = Path(paths[0]).parent / "whole"
    whole.write_bytes(packed("f4", "RICE_1"))
    with open_exposure(whole) as opened:  # loads what there is to load
        opened.frame(opened.slots[0])
    taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (taken + MEMORY, taken + MEMORY))
    for path in paths:
        sys.stdout.write(json.dumps({"begun": path}) + "\n")
        sys.stdout.flush()
        start = time.monotonic()
        signal.alarm(SECONDS)
        outcome = attempt(Path(path))
        signal.alarm(0)
        told = {"path": path, "outcome": outcome, "seconds": time.monotonic() - start}
        sys.stdout.write(json.dumps(told) + "\n")


def outcomes_of(paths: list[str]) -> dict[str, str]:
    """Read the files in other processes, going on behind a file that kills its process."""
    found: dict[str, str] = {}
    left = list(paths)
    while left:
        listed = Path(paths[0]).parent / "list"
        listed.write_text("\n".join(left))
        done = subprocess.run(
            [sys.executable, __file__, str(listed)],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
        )
        lines = [json.loads(line) for line in done.stdout.splitlines()]
        assert lines, done.stderr
        found.update({line["path"]: line["outcome"] for line in lines if "path" in line})
        begun = [line["begun"] for line in lines if "begun" in line]
        if begun[-1] not in found:
            found[begun[-1]] = f"wrong: process died with {done.returncode}"
        left = [path for path in left if path not in found]
    return found


# ---------------------------------------------------------------------------- tests


@pytest.mark.parametrize("kind", KINDS)
def test_damaged_files_are_read_or_refused_with_their_name(kind: str, tmp_path: Path) -> None:
    paths = []
    for name, content in KINDS[kind]():
        path = tmp_path / (name if name.endswith(".gz") else f"{name}.fits")
        path.write_bytes(content)
        paths.append(str(path))
    outcomes = outcomes_of(paths)
    assert len(outcomes) == len(paths)
    wrong = {Path(p).name: o for p, o in outcomes.items() if o.startswith("wrong")}
    assert not wrong, "\n".join(f"{name}: {outcome}" for name, outcome in wrong.items())
    assert "refused" in outcomes.values()


def test_a_packed_file_that_is_cut_short_says_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "x.fits.gz"
    path.write_bytes(gzip.compress(WHOLE["rice"](), mtime=0)[:-300])
    with pytest.raises(FitsReadError, match=r"damaged gzip data\. Check it .*or fetch it again"):
        astroclean.Frame.read(path)


def test_there_are_enough_damaged_files() -> None:
    assert sum(1 for make in KINDS.values() for _ in make()) >= 500


@pytest.mark.parametrize("name", WHOLE)
def test_the_files_are_read_before_they_are_damaged(name: str, tmp_path: Path) -> None:
    path = tmp_path / f"{name}.fits"
    path.write_bytes(WHOLE[name]())
    assert attempt(path) == "read"


@pytest.mark.parametrize("address", ["[SCI,7]", "[NONE]", "[9]", "[0]", "[sci,x]"])
def test_an_address_that_leads_nowhere_names_file_and_hdu(address: str, tmp_path: Path) -> None:
    from astroclean.io.frames.read import open_exposure

    path = tmp_path / "raw.fits"
    path.write_bytes(exposure())
    with pytest.raises(FitsReadError) as caught, open_exposure(f"{path}{address}"):
        pass
    assert "raw.fits" in str(caught.value)


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    from astroclean.io.frames.read import open_exposure

    for path in (tmp_path / "absent.fits", tmp_path):
        with pytest.raises(AstrocleanError, match=path.name), open_exposure(path):
            pass


if __name__ == "__main__":
    read_all(Path(sys.argv[1]).read_text().splitlines())
