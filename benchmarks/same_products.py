"""Whether the ready pipelines write what they wrote before a change, HDU by HDU.

    python benchmarks/same_products.py DATA -o before.json        # with the code of before
    python benchmarks/same_products.py DATA --against before.json # with that of after

Runs every ready pipeline on every real frame that it fits (those of ``real_frames.py``), and takes
the SHA-256 of the pixels or rows of each HDU. What differs is printed; with ``--against`` the exit
status is 1 where anything does.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from real_frames import FRAMES, run


def digests(path: Path) -> dict[str, str]:
    """Return name and number of each HDU to the digest of its data."""
    told = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of headers that are the input's
        with fits.open(path) as hdus:
            for number, hdu in enumerate(hdus):
                content = b"" if hdu.data is None else np.ascontiguousarray(hdu.data).tobytes()
                if isinstance(hdu, fits.TableHDU):  # between its columns is what memory held
                    content = repr(hdu.data.tolist()).encode()
                told[f"{number} {hdu.name}"] = hashlib.sha256(content).hexdigest()[:16]
    return told


def products(data: Path, only: list[str]) -> dict[str, Any]:
    """Return frame and pipeline to the digests of all that was written."""
    found: dict[str, Any] = {}
    for name, (_, pipelines, settings) in FRAMES.items():
        if not (data / name).is_file() or (only and not any(part in name for part in only)):
            continue
        for pipeline in pipelines:
            set_by = [f"{key}={value}" for key, value in settings.items()]
            with tempfile.TemporaryDirectory() as folder:
                record = run(pipeline, data / name, Path(folder), set_by)
                told: dict[str, Any] = {"status": str(record.status)}
                for output in sorted(record.outputs):
                    path = Path(folder) / output
                    is_table = path.suffix in {".ecsv", ".reg"}
                    told[output] = (
                        hashlib.sha256(path.read_bytes()).hexdigest()[:16]
                        if is_table
                        else digests(path)
                    )
            found[f"{name} {pipeline}"] = told
            print(name, pipeline, told["status"], flush=True)
    return found


def main() -> int:
    """Run what the command line names."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("-o", "--output", type=Path)
    parser.add_argument("--against", type=Path)
    parser.add_argument("--only", nargs="*", default=[])
    arguments = parser.parse_args()
    found = products(arguments.data, arguments.only)
    if arguments.output is not None:
        arguments.output.write_text(json.dumps(found, indent=1), "utf-8")
    if arguments.against is None:
        return 0
    before = json.loads(arguments.against.read_text("utf-8"))
    differing = 0
    for key, told in found.items():
        for output, now in told.items():
            then = before.get(key, {}).get(output)
            if now != then:
                differing += 1
                hdus = (
                    [hdu for hdu in now if then.get(hdu) != now[hdu]]
                    if isinstance(now, dict) and isinstance(then, dict)
                    else f"{then} -> {now}"
                )
                print(f"{key}: {output}: {hdus}")
    print(f"{len(found)} runs, {differing} products differ")
    return int(differing > 0)


if __name__ == "__main__":
    sys.exit(main())
