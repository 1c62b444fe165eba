"""Small networks of the published architecture, and the authors' package where it is installed."""

from __future__ import annotations

import os
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import astroclean_deepcr
import numpy as np
import pytest
from astroclean_deepcr.network import write_network

from astroclean.inference.cards.weights import digest_of

if TYPE_CHECKING:
    from collections.abc import Callable

REPOSITORY = Path(__file__).resolve().parents[3]
CARDS = Path(next(iter(astroclean_deepcr.__path__))) / "cards"
CHANNELS = 4


def _small_state(*, normalization: str, seed: int = 0) -> dict[str, np.ndarray]:
    """Parameters of a network with few channels, by the authors' names."""
    rng = np.random.default_rng(seed)
    few, more = CHANNELS, 2 * CHANNELS
    state: dict[str, np.ndarray] = {}

    def put(name: str, *shape: int, width: float = 0.3, level: float = 0.0) -> None:
        state[f"module.{name}"] = rng.normal(level, width, shape).astype(np.float32)

    blocks = {
        "inc.conv.conv": (1, few),
        "down1.mpconv.1.conv": (few, more),
        "up8.conv.conv": (more, few),
    }
    for prefix, (first, out) in blocks.items():
        for index, channels in enumerate((first, out)):
            place = index * (3 if normalization == "batch" else 2)
            put(f"{prefix}.{place}.bias", out)
            if normalization == "weight":
                put(f"{prefix}.{place}.weight_v", out, channels, 3, 3)
                put(f"{prefix}.{place}.weight_g", out, 1, 1, 1, level=1)
                continue
            put(f"{prefix}.{place}.weight", out, channels, 3, 3)
            for name, level in (("weight", 1.0), ("bias", 0.0), ("running_mean", 0.0)):
                put(f"{prefix}.{place + 1}.{name}", out, level=level)
            variance = rng.uniform(0.5, 2, out).astype(np.float32)
            state[f"module.{prefix}.{place + 1}.running_var"] = variance
    put("up8.up.weight", more, few, 2, 2)
    put("up8.up.bias", few)
    put("outc.conv.weight", 1, few, 1, 1)
    put("outc.conv.bias", 1)
    return state


@pytest.fixture(scope="session")
def small_state() -> Callable[..., dict[str, np.ndarray]]:
    """Make the parameters of a small network: ``normalization``, ``seed``."""
    return _small_state


@pytest.fixture(scope="session")
def cards() -> Path:
    """Folder of the published cards."""
    return CARDS


@pytest.fixture(scope="session")
def small_cards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The published cards, each beside a small network that takes the place of the published."""
    folder = tmp_path_factory.mktemp("cards")
    for path in CARDS.glob("*.card.toml"):
        weights = folder / f"{path.name.removesuffix('.card.toml')}.onnx"
        state = _small_state(normalization="weight" if "wfc3" in path.name else "batch")
        if "wfc3" not in path.name:
            # It sees electrons: so that they neither saturate the answer nor vanish in it.
            state["module.inc.conv.conv.0.weight"] /= 300
        write_network(state, weights)
        lines = path.read_text("utf-8").splitlines()
        told = {"sha256": f'"{digest_of(weights)}"', "size": str(weights.stat().st_size)}
        changed = [
            next((f"{key} = {told[key]}" for key in told if line.startswith(f"{key} =")), line)
            for line in lines
        ]
        (folder / path.name).write_text("\n".join(changed), "utf-8")
    return folder


@pytest.fixture(scope="session")
def upstream() -> Any:
    """Distribution of the installed package deepCR 0.3.1, or skip."""
    try:
        found = metadata.distribution("deepCR")
    except metadata.PackageNotFoundError:
        pytest.skip("the package deepCR 0.3.1 is not installed")
    if found.version != "0.3.1":
        pytest.skip(f"deepCR is {found.version}, not 0.3.1")
    return found


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """Folder of real data, or skip."""
    folder = Path(os.environ.get("ASTROCLEAN_TEST_DATA", REPOSITORY.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip("no real data; set ASTROCLEAN_TEST_DATA")
    return folder
