"""Stages as third parties write them, around networks on stamps: whole frames and chunks agree."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import pytest
import toy_networks
from astropy.table import QTable

from astroclean.core.image.frame import Frame
from astroclean.core.psf.psf import Psf
from astroclean.core.sources.sources import Sources, SourceStamp
from astroclean.core.stage.kinds.deblend import Deblender
from astroclean.core.stage.kinds.remove import SourceRemover
from astroclean.core.stage.results import Removal, Separation
from astroclean.core.stage.scope import Scope, chunk_of
from astroclean.errors import SuspectWarning
from astroclean.inference.cards.weights import digest_of
from astroclean.inference.stage_network import NetworkStamps, StageNetwork, StampOptions
from astroclean.testing.chunks import run_in_chunks
from astroclean.tiling.stamps import add_stamps

if TYPE_CHECKING:
    from pathlib import Path

    from astroclean.core.stage.needs import Identity

CARD = """\
schema = 1
name = "toy-stamps"
architecture = "six layers"
paper = "none"
license = "BSD-3-Clause"
unit = "any"
halo = 12
multiple = 2
inputs = [{{ name = "stamp", planes = ["data", "valid", "psf", "noise", "others"] }}]

[stamp]
side = 24
batch = 4
scaling = "matched_filter"
intensities = ["others"]

[[outputs]]
name = "light"
channels = ["own", "next"]
content = "intensity"

[[outputs]]
name = "weight"
channels = ["own"]
at_invalid = "keep"

[weights]
file = "toy-stamps.onnx"
sha256 = "{sha256}"
size = {size}

[precision.f32]
"""


def card_in(folder: Path) -> Path:
    weights = folder / "toy-stamps.onnx"
    onnx.save(toy_networks.stamps(), weights)
    path = folder / "toy-stamps.card.toml"
    path.write_text(
        CARD.format(sha256=digest_of(weights), size=weights.stat().st_size), encoding="utf-8"
    )
    return path


class TakenOutOptions(StampOptions):
    positions: tuple[tuple[float, float], ...] = ()
    """x, y in pixels of the whole frame."""


class TakenOut(NetworkStamps, SourceRemover):
    """Takes the light that the network draws of each source; what overlaps adds up."""

    Options = TakenOutOptions

    def __init__(
        self,
        card: Path,
        options: TakenOutOptions | None = None,
        *,
        identity: Identity | None = None,
    ) -> None:
        super().__init__(options, identity=identity)
        self._network = StageNetwork(card, self.options)

    def remove(self, frame: Frame) -> Removal:
        y, x = chunk_of(frame).origin
        places = np.array(self.options.positions).reshape(-1, 2) - np.array([x, y])
        answers = self._network.stamps.predict(frame, places, {"others": 0.0}, noise=1.0)
        light = np.zeros(frame.shape)
        boxes = [box for box in answers.boxes if answers.asked[box.number]]
        stamps = [np.nan_to_num(answers.kept[box.number]["light"][0]) for box in boxes]
        add_stamps(light, boxes, stamps)
        where = (light != 0) & ~frame.mask
        return Removal(np.where(where, frame.data - light, frame.data), where)


class ByNeighbours(NetworkStamps, Deblender):
    """Gives each source the weighted light that the network sees of it, its neighbours known."""

    Options = StampOptions

    def __init__(self, card: Path, options: StampOptions | None = None) -> None:
        super().__init__(options)
        self._network = StageNetwork(card, self.options)

    def separate(self, frame: Frame) -> Separation:
        assert frame.sources is not None
        assert frame.psf is not None
        table = frame.sources.table
        places = np.column_stack([table["x"], table["y"]]).astype(float)
        drawn = frame.psf.stamps[0]
        half = drawn.shape[0] // 2
        total = np.pad(np.zeros(frame.shape), half)
        corners = [(round(y), round(x)) for x, y in places]
        for (row, column), flux in zip(corners, table["flux"], strict=True):
            total[row : row + 2 * half + 1, column : column + 2 * half + 1] += flux * drawn
        total = total[half:-half, half:-half]

        def others(box: Any) -> np.ndarray:
            own = np.pad(np.zeros(frame.shape), half)
            row, column = corners[box.number]
            own[row : row + 2 * half + 1, column : column + 2 * half + 1] += (
                table["flux"][box.number] * drawn
            )
            return box.cut(total - own[half:-half, half:-half], outside=0)

        def kept(box: Any, view: Any, answer: dict[str, np.ndarray]) -> np.ndarray:
            return np.where(view.valid, answer["weight"][0] * answer["light"][0], 0)

        answers = self._network.stamps.predict(
            frame, places, {"others": others}, less=others, noise=1.0, keep=kept
        )
        stamps = tuple(
            SourceStamp(int(table["id"][box.number]), (rows.start, columns.start), image[inside])
            for box, image in zip(answers.boxes, answers.kept, strict=True)
            for (rows, columns), inside in [box.overlap(frame.shape)]
        )
        return Separation(Sources(table, None, stamps))


def stars(shape: tuple[int, int] = (190, 80), count: int = 40) -> tuple[Frame, np.ndarray]:
    """A crowded field: stamps overlap, and reach beyond the border."""
    rng = np.random.default_rng(5)
    places = rng.uniform(-0.4, np.array(shape[::-1]) - 0.6, (count, 2))
    y, x = np.indices(shape)
    data = rng.normal(0, 1, shape)
    for (px, py), flux in zip(places, 10 ** rng.uniform(1, 3, count), strict=True):
        data += flux * np.exp(-((x - px) ** 2 + (y - py) ** 2) / 3.25) / 10.2
    data[rng.random(shape) < 0.01] = np.nan
    psf = Psf.gaussian(fwhm_pixels=3.0)
    return Frame(data.astype(np.float32), unit="adu", psf=psf), places


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
@pytest.mark.parametrize("rows", [1, 37, 100])
def test_a_stage_gives_the_bytes_of_the_frame_in_chunks(
    tmp_path: Path, engine: str, rows: int
) -> None:
    frame, places = stars()
    options = TakenOutOptions(engine=engine, positions=places.tolist(), limits={"changed": 1.0})
    stage = TakenOut(card_in(tmp_path), options)
    whole = stage.run(frame).frame.data
    assert np.mean(whole != frame.data) > 0.5
    assert run_in_chunks(stage, frame, rows=rows)["data"].tobytes() == whole.tobytes()
    fewer = TakenOut(card_in(tmp_path), options.model_copy(update={"positions": ()})).run(frame)
    assert fewer.frame.data.tobytes() == frame.data.tobytes()


def test_a_halo_that_is_too_small_is_told(tmp_path: Path) -> None:
    """The test above can fail, and users would know."""

    class Narrow(TakenOut):
        def scope(self, frame: Frame) -> Scope:
            return Scope(halo=self._network.stamps.halo - 4)

    frame, places = stars()
    options = TakenOutOptions(engine="onnxruntime", positions=places.tolist())
    stage = Narrow(card_in(tmp_path), options.model_copy(update={"limits": {"changed": 1.0}}))
    with pytest.warns(SuspectWarning, match="the stage needs a halo of 26 pixels"):
        found = run_in_chunks(stage, frame, rows=37)["data"]
    assert found.tobytes() != stage.run(frame).frame.data.tobytes()


def test_the_light_of_neighbours_is_taken_off_and_shown(tmp_path: Path) -> None:
    """As if the neighbour had never been there, but for what the network is told of it."""
    psf = Psf.gaussian(fwhm_pixels=3.0)
    half = psf.shape[0] // 2
    fluxes = {30: 900.0, 36: 400.0}
    images = {column: np.zeros((60, 70), dtype=np.float32) for column in fluxes}
    for column, flux in fluxes.items():
        rows, columns = (slice(middle - half, middle + half + 1) for middle in (30, column))
        images[column][rows, columns] = flux * psf.stamps[0]
    table = QTable({"id": [1, 2], "x": [30.0, 36.0], "y": [30.0, 30.0], "flux": [900.0, 400.0]})
    frame = Frame(sum(images.values()), unit="adu", psf=psf, sources=Sources(table))
    stage = ByNeighbours(card_in(tmp_path), StampOptions(engine="onnxruntime"))
    sources = stage.run(frame).frame.sources
    assert sources is not None
    assert [stamp.id for stamp in sources.stamps] == [1, 2]
    for stamp, (own, other) in zip(sources.stamps, [(30, 36), (36, 30)], strict=True):
        alone = Frame(images[own], unit="adu", psf=psf)
        place = np.array([[float(own), 30.0]])
        given = {"others": images[other]}
        answer = stage._network.stamps.predict(alone, place, given, noise=1.0).kept[0]
        expected = answer["weight"][0] * answer["light"][0]
        assert stamp.origin == (18, own - 12)
        np.testing.assert_allclose(stamp.data, expected, rtol=1e-4, atol=1e-3)
        assert np.abs(expected).max() > 10
        # Neither is idle: told of no neighbour, or with its pixels left, it answers otherwise.
        for pixels, told in ((alone, 0.0), (frame, images[other])):
            wrong = stage._network.stamps.predict(pixels, place, {"others": told}, noise=1.0)
            differs = np.abs(wrong.kept[0]["light"][0] - answer["light"][0]).max()
            assert differs > 0.01 * np.abs(expected).max()
