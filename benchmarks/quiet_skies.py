"""What `maximask` rejects on skies without any contaminant, with and without evidence.

python benchmarks/quiet_skies.py --count 24

The skies are those of its tests, from other seeds: discs, arcs, halos, nebulae, stars, noise.
"""

from __future__ import annotations

import argparse
import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
from scipy.ndimage import label

from astroclean.core.planes import REJECTING

_TESTS = Path(__file__).parents[1] / "plugins" / "maximask" / "tests" / "test_evidence.py"
_FIRST = 1000
_BRIGHT = 20.0
"""Standard deviations of the sky."""


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=24, help="frames of each kind")
    count = parser.parse_args().count
    skies = _skies()
    kinds = {name: draw for name, (draw, _) in skies.QUIET.items()}
    kinds["noise"] = lambda rng: np.zeros((skies.SIDE, skies.SIDE))  # noqa: ARG005
    print(
        "| sky | network alone | with evidence | groups above 20 sigma | touched | with evidence |"
    )
    print("| --- | --- | --- | --- | --- | --- |")
    for name, draw in kinds.items():
        rejected, touched, groups, pixels = [0, 0], [0, 0], 0, 0
        for seed in range(_FIRST, _FIRST + count):
            rng = np.random.default_rng((seed, 41))
            light = draw(rng)
            frame = skies.exposed(light, rng)
            labels, number = label(light > _BRIGHT * skies.NOISE)
            groups, pixels = groups + number, pixels + light.size
            for index, evidence in enumerate((False, True)):
                flags = skies.flags_of(frame, evidence=evidence) & np.uint32(REJECTING)
                rejected[index] += int(np.count_nonzero(flags))
                touched[index] += len(set(labels[flags != 0].tolist()) - {0})
        shares = " | ".join(f"{value / pixels:.1e}" for value in rejected)
        print(f"| {name} | {shares} | {groups} | {touched[0]} | {touched[1]} |", flush=True)


def _skies() -> Any:
    spec = importlib.util.spec_from_file_location("quiet_skies_of_tests", _TESTS)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


if __name__ == "__main__":
    main()
