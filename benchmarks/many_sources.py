"""Take many sources out of one large map: seconds, sources a minute, and peak memory.

    python benchmarks/many_sources.py [--side 8000] [--sources 20000] [--mode inpaint] [--threads 2]

The map is simulated cirrus of 1000 x 1000 pixels, mirrored again and again, with sources on it.
"""

from __future__ import annotations

import argparse
import resource
import time

import numpy as np
from astropy.table import QTable
from machine import processor, today

from astroclean.core.image.frame import Frame
from astroclean.core.sources.sources import Sources
from astroclean.registry.load import load_stage
from astroclean.simulate.cirrus import simulate_cirrus

TILE = 1000


def large_map(side: int, count: int) -> Frame:
    """Return a map with sources of many fluxes, and their catalogue."""
    scene = simulate_cirrus(seed=1, shape=(TILE, TILE))
    assert scene.frame.psf is not None
    assert scene.background is not None
    times = -(-side // TILE)
    row = np.concatenate([scene.background[:, :: (-1) ** k] for k in range(times)], axis=1)
    sky = np.concatenate([row[:: (-1) ** k] for k in range(times)], axis=0)[:side, :side]
    rng = np.random.default_rng(2)
    noise = float(scene.notes["noise"])
    data = sky + noise * rng.standard_normal(sky.shape, dtype=np.float32)
    stamp = scene.frame.psf.stamps[0]
    half = stamp.shape[0] // 2
    x, y = rng.integers(half, side - half, (2, count))
    flux = 10 ** rng.uniform(1, 3, count) * noise / stamp.max()
    for column, line, light in zip(x, y, flux, strict=True):
        data[line - half : line + half + 1, column - half : column + half + 1] += light * stamp
    table = QTable({"id": np.arange(1, count + 1), "x": x.astype(float), "y": y.astype(float)})
    return Frame(data, unit=scene.frame.unit, psf=scene.frame.psf, sources=Sources(table))


def main() -> None:
    """Print what it took."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--side", type=int, default=8000)
    parser.add_argument("--sources", type=int, default=20_000)
    parser.add_argument("--mode", default="inpaint")
    parser.add_argument("--threads", type=int, default=2)
    told = parser.parse_args()
    frame = large_map(told.side, told.sources)
    stage = load_stage("pconv", mode=told.mode, threads=told.threads)
    stage.run(large_map(TILE, 50))  # the engine is opened once a process
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    start = time.perf_counter()
    stage.run(frame)
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"{today()}, {processor()}, {told.threads} threads, mode {told.mode}")
    print(f"{told.side} x {told.side}, {told.sources} sources: {seconds:.1f} s")
    rate, each = 60 * told.sources / seconds, 1e3 * seconds / told.sources
    print(f"{rate:.0f} sources a minute, {each:.2f} ms each")
    print(f"peak memory {peak:.2f} GiB ({before:.2f} GiB before)")


if __name__ == "__main__":
    main()
