"""Tiles from a library: effects in the order of a full simulation, exact truth, repeatable."""

from __future__ import annotations

import itertools
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from astroclean.core.flags.planes import MaskPlane
from astroclean.errors import ConfigurationError, FitsReadError, OutputError
from astroclean.simulate import contaminated
from astroclean.simulate.composition import Layers, compose
from astroclean.simulate.contaminants.cosmic_rays import CosmicRayRange
from astroclean.simulate.contaminated import CHANCES, ContaminatedConfig, simulate_contaminated
from astroclean.simulate.library import KINDS, Library, build_library, open_library
from astroclean.simulate.torch_draws import DrawConfig, TileDraws

if TYPE_CHECKING:
    from pathlib import Path

pytest.importorskip("galsim")
torch = pytest.importorskip("torch")
SHAPE = (72, 72)
ALWAYS = dict.fromkeys(CHANCES, 1.0)
BRIGHT = ContaminatedConfig(chances=ALWAYS)


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Library:
    folder = tmp_path_factory.mktemp("library") / "made"
    return build_library(folder, seed=5, shape=SHAPE, counts=(6, 4), config=BRIGHT)


class _Recorder:
    """Runs the steps of a simulation without noise, and keeps what each did as a layer."""

    def __init__(self, steps: Any) -> None:
        self.steps, self.layers, self.bleeding = steps, {}, None

    def photons(self, expected: Any) -> Any:
        self.steps.photons(expected)  # for what it draws
        return expected

    def bleeds(self) -> Any:
        self.bleeding = self.steps.bleeds()
        return self.bleeding

    def __getattr__(self, step: str) -> Any:
        def run(image: Any) -> Any:
            before = image.copy()
            after, planes = getattr(self.steps, step)(image)
            replaces = step in {"dead", "overscan"}
            self.layers[step] = (after.copy() if replaces else after - before, planes)
            return after, planes

        return run


@pytest.mark.parametrize("seed", range(4))
def test_torch_composes_as_the_simulation_does(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    runs: list[Any] = []

    def recorded(image: Any, planes: Any, steps: Any, **limits: Any) -> Any:
        recorder, given = _Recorder(steps), (image.copy(), planes.copy())
        answer = compose(image, planes, recorder, **limits)
        runs.append((given, recorder, limits, answer))
        return answer

    monkeypatch.setattr(contaminated, "compose", recorded)
    simulate_contaminated(seed=seed, shape=(96, 80), config=BRIGHT)
    ((image, planes), recorder, limits, (electrons, truth)) = runs[0]

    def tensors(name: str) -> Any:
        values, found = recorder.layers[name]
        return torch.from_numpy(values), torch.from_numpy(found.astype(np.int32))

    names = ("in_the_sky", "charge", "dead", "crosstalk", "overscan")
    layers = Layers(*map(tensors, names), bleeding=recorder.bleeding)
    found, bits = compose(
        torch.from_numpy(image), torch.from_numpy(planes.astype(np.int32)), layers, **limits
    )
    np.testing.assert_allclose(found.numpy(), electrons, rtol=1e-12, atol=1e-6)
    np.testing.assert_array_equal(bits.numpy(), truth)
    assert len(np.unique(truth)) > 10


def test_the_same_seed_gives_the_same_library(library: Library, tmp_path: Path) -> None:
    size = {"shape": SHAPE, "counts": (3, 2), "config": BRIGHT}
    fewer = build_library(tmp_path / "again", seed=5, **size)
    other = build_library(tmp_path / "other", seed=6, **size)
    for name in KINDS:
        count = len(fewer.values[name])
        np.testing.assert_array_equal(fewer.values[name], library.values[name][:count])
        np.testing.assert_array_equal(fewer.truth[name], library.truth[name][:count])
    assert not np.array_equal(fewer.values["bright"], other.values["bright"])
    assert (fewer.scenes, fewer.shape) == (3, SHAPE)


def test_batches_are_repeatable_and_independent(library: Library) -> None:
    draws = TileDraws(library, seed=1)
    first, second = draws.batch(0, 5), draws.batch(1, 5)
    again = TileDraws(library, seed=1).batch(1, 5)
    assert torch.equal(second.data, again.data)
    assert torch.equal(second.planes, again.planes)
    assert second.cameras == again.cameras
    assert not torch.equal(first.data, second.data)
    assert not torch.equal(second.data, TileDraws(library, seed=2).batch(1, 5).data)
    assert first.data.dtype == first.clean.dtype == torch.float32
    assert first.planes.dtype == torch.uint32
    assert first.data.shape == first.planes.shape == (5, *SHAPE)


def test_a_batch_leaves_the_library_alone(library: Library) -> None:
    before = {name: layer.copy() for name, layer in library.values.items()}
    TileDraws(library, seed=1, config=DrawConfig(chances=ALWAYS)).batch(0, 8)
    for name, layer in before.items():
        np.testing.assert_array_equal(library.values[name], layer)


def test_without_contaminants_only_noise_remains(library: Library) -> None:
    tiles = TileDraws(library, seed=3, config=DrawConfig(chances={})).batch(0, 12)
    data, clean, planes = (np.asarray(t) for t in (tiles.data, tiles.clean, tiles.planes))
    for image, truth, found, camera in zip(data, clean, planes, tiles.cameras, strict=True):
        clear = (found & ~np.uint32(MaskPlane.BRIGHT)) == 0
        variance = (truth - camera.bias) * camera.gain + camera.read_noise**2
        # Rounding to whole adu adds a twelfth to the variance.
        pull = (image - truth) / np.sqrt(variance / camera.gain**2 + 1 / 12)
        assert pull[clear].mean() == pytest.approx(0, abs=0.06)
        assert pull[clear].std() == pytest.approx(1, abs=0.05)
        assert np.array_equal(image, np.rint(image))


def test_fields_are_turned_and_mirrored_but_otherwise_those_of_the_library(
    library: Library,
) -> None:
    config = DrawConfig(chances={}, noisy=False)
    seen = set()
    for number in range(12):
        tiles = TileDraws(library, seed=4, config=config).batch(number, 1)
        camera = tiles.cameras[0]
        light = (tiles.clean[0].numpy() - camera.bias) * camera.gain - camera.sky
        ways = [
            (scene, turn, flip)
            for scene, turn, flip in itertools.product(range(6), range(4), (False, True))
            if np.allclose(
                light / camera.noise,
                _laid(library.values["bright"][scene], turn, flips=flip),
                rtol=1e-3,
                atol=0.05 * camera.gain,
            )
        ]
        assert len(ways) == 1
        seen.add(ways[0][1:])
    assert len(seen) > 3


def _laid(image: Any, turn: int, *, flips: bool) -> Any:
    return np.rot90(image[::-1] if flips else image, turn)


def test_every_class_occurs_with_its_own_truth(library: Library) -> None:
    for name, kind in KINDS.items():
        chances = {name: 1.0}
        tiles = TileDraws(library, seed=2, config=DrawConfig(chances=chances, noisy=False)).batch(
            0, 4
        )
        found = int(np.bitwise_or.reduce(np.asarray(tiles.planes), axis=None))
        assert found & kind.plane, name
        allowed = kind.plane | MaskPlane.BRIGHT | MaskPlane.SATURATED
        assert not found & ~int(allowed), name


def test_hits_are_true_above_the_noise_of_the_camera(library: Library) -> None:
    config = DrawConfig(chances={"cosmic_rays": 1.0}, noisy=False)
    tiles = TileDraws(library, seed=7, config=config).batch(0, 6)
    for data, clean, planes, camera in zip(
        tiles.data, tiles.clean, np.asarray(tiles.planes), tiles.cameras, strict=True
    ):
        charge = (data - clean).numpy() * camera.gain
        hit = (planes & MaskPlane.COSMIC_RAY) != 0
        untouched = (planes & MaskPlane.SATURATED) == 0
        rounding = camera.gain
        limit = CosmicRayRange().threshold * camera.noise
        assert charge[hit & untouched].min(initial=np.inf) > limit - rounding
        assert charge[~hit & untouched].max() < limit + rounding


def test_overscan_has_no_other_plane(library: Library) -> None:
    tiles = TileDraws(library, seed=2, config=DrawConfig(chances=ALWAYS)).batch(0, 6)
    planes = np.asarray(tiles.planes)
    overscan = (planes & MaskPlane.OVERSCAN) != 0
    assert overscan.any()
    assert (planes[overscan] == MaskPlane.OVERSCAN).all()


def test_tiles_need_not_be_square(tmp_path: Path) -> None:
    oblong = build_library(tmp_path / "oblong", seed=1, shape=(40, 64), counts=(2, 1))
    for number in range(4):
        tiles = TileDraws(oblong, seed=1, config=DrawConfig(chances=ALWAYS)).batch(number, 3)
        assert tiles.data.shape == (3, 40, 64)


def test_scenes_are_reused_at_twice_the_speed_at_least(library: Library) -> None:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # processor time is compared
    try:
        draws = TileDraws(library, seed=1)
        draws.batch(0, 8)
        simulate_contaminated(seed=0, shape=SHAPE)
        begun = time.process_time()
        draws.batch(1, 8)
        drawn = time.process_time()
        for seed in range(1, 9):
            simulate_contaminated(seed=seed, shape=SHAPE)
        simulated = time.process_time()
    finally:
        torch.set_num_threads(threads)
    assert simulated - drawn > 2 * (drawn - begun)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU that torch can use")
def test_a_gpu_chooses_the_same_tiles(library: Library) -> None:
    config = DrawConfig(chances=ALWAYS, noisy=False)
    here, there = (
        TileDraws(library, seed=1, device=device, config=config).batch(0, 6)
        for device in ("cpu", "cuda")
    )
    assert there.data.device.type == "cuda"
    assert here.cameras == there.cameras
    torch.testing.assert_close(there.clean.cpu(), here.clean)
    # Rounding differs in the last digit, so a few pixels lie on the other side of a whole number.
    assert ((there.data.cpu() - here.data).abs() <= 1).all()
    same = np.asarray(there.planes.cpu()) == np.asarray(here.planes)
    assert same.mean() > 0.9999
    noisy = TileDraws(library, seed=1, device="cuda").batch(0, 6)
    again = TileDraws(library, seed=1, device="cuda").batch(0, 6)
    assert torch.equal(noisy.data, again.data)


def test_libraries_that_cannot_be_used_are_named(library: Library, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="holds a library"):
        build_library(library.folder, seed=1, shape=SHAPE, counts=(1, 1))
    with pytest.raises(FitsReadError, match="no library of layers"):
        open_library(tmp_path)
    made = build_library(tmp_path / "old", seed=1, shape=(32, 32), counts=(1, 1))
    index = made.folder / "library.json"
    index.write_text(index.read_text("utf-8").replace('"format": 1', '"format": 0'), "utf-8")
    with pytest.raises(ConfigurationError, match="of format 0"):
        open_library(made.folder)
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="cannot be made"):
        build_library(tmp_path / "file", seed=1, shape=(32, 32), counts=(1, 1))
