"""A network on a frame in bands: the same tiles in the same batches, so the same bytes."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import toy_networks
from hypothesis import given, settings
from hypothesis import strategies as st

from astroclean.core.image.frame import Frame
from astroclean.core.stage.kinds.remove import SourceRemover
from astroclean.core.stage.results import Removal
from astroclean.core.stage.scope import Scope, measure
from astroclean.errors import ContractError
from astroclean.inference.engines.engine import open_engine
from astroclean.inference.tiles.predictor import Predictor
from astroclean.testing.chunks import frame_chunks, run_in_chunks
from astroclean.tiling.sample import SampleGatherer

if TYPE_CHECKING:
    from pathlib import Path


NETWORKS: dict[str, tuple[Any, dict[str, Any]]] = {
    "three_convolutions": (toy_networks.three_convolutions, {"halo": 3}),
    "pooled": (toy_networks.pooled, {"halo": 10, "multiple": 4}),
}


class Restored(SourceRemover):
    """Takes what a network answers for all finite pixels."""

    def __init__(self, predictor: Predictor) -> None:
        super().__init__()
        self.predictor = predictor

    def scope(self, frame: Frame) -> Scope:
        return self.predictor.scope(frame)

    def remove(self, frame: Frame) -> Removal:
        answer = self.predictor.predict(frame, measured=self.measured(frame))["answer"][0]
        where = np.isfinite(frame.data)
        return Removal(np.where(where, answer, frame.data), where)


def predictor(
    folder: Path, name: str, *, engine: str = "onnxruntime", tile: int = 40, **more: Any
) -> Predictor:
    builder, content = NETWORKS[name]
    outputs = [{"name": "answer", "content": "intensity", "at_invalid": "keep"}]
    card, path = toy_networks.save(builder(), folder, **{"outputs": outputs, **content, **more})
    return Predictor(card, open_engine(card, path, prefer=engine), tile=tile)


def exposure(shape: tuple[int, int]) -> Frame:
    rng = np.random.default_rng(3)
    data = rng.normal(300, 10, shape).astype(np.float32)
    data += np.linspace(0, 100, shape[0], dtype=np.float32)[:, np.newaxis]
    data[rng.random(shape) < 0.01] = np.nan
    flags = (rng.random(shape) < 0.02).astype(np.uint32)
    return Frame(data, unit="adu", flags=flags)


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize(("rows", "shape"), [(1, (150, 230)), (60, (211, 97)), (30, (38, 300))])
def test_bands_give_the_bytes_of_the_frame(
    tmp_path: Path, name: str, engine: str, rows: int, shape: tuple[int, int]
) -> None:
    stage = Restored(
        predictor(tmp_path, name, engine=engine, normalization={"name": "sigma_clip_zscore"})
    )
    frame = exposure(shape)
    whole = stage.run(frame).frame.data
    assert np.array_equal(np.isnan(whole), np.isnan(frame.data)), "every pixel has an answer"
    assert run_in_chunks(stage, frame, rows=rows)["data"].tobytes() == whole.tobytes()


@pytest.mark.parametrize(
    "normalization",
    [
        {"name": "identity"},
        {"name": "scale", "offset": 300.0, "width": 10.0},
        {"name": "asinh"},
        {"name": "background_sigma", "box": 32},
        {"name": "background_sigma", "box": 32, "whole_cells": True},
        {"name": "sigma_clip_zscore", "scope": "tile"},
    ],
    ids=lambda content: f"{content['name']}-{content.get('scope', 'frame')}",
)
def test_what_is_measured_of_the_frame_is_measured_of_all_of_it(
    tmp_path: Path, normalization: dict[str, Any]
) -> None:
    stage = Restored(predictor(tmp_path, "pooled", normalization=normalization))
    frame = exposure((180, 90))
    whole = stage.run(frame).frame.data
    assert run_in_chunks(stage, frame, rows=50)["data"].tobytes() == whole.tobytes()


@pytest.mark.filterwarnings("ignore:.*gave NaN to pixels that had a good value")
def test_a_halo_or_a_step_that_is_too_small_is_seen(tmp_path: Path) -> None:
    """The tests above can fail: what a band does not hold has no answer."""
    frame = exposure((180, 90))

    class Narrow(Restored):
        def scope(self, frame: Frame) -> Scope:
            return replace(self.predictor.scope(frame), halo=self.predictor.halo - 1)

    class Unaligned(Restored):
        def scope(self, frame: Frame) -> Scope:
            return replace(self.predictor.scope(frame), step=1)

    for wrong in (Narrow, Unaligned):
        stage = wrong(predictor(tmp_path, "pooled"))
        expected = stage.run(frame).frame.data
        found = run_in_chunks(stage, frame, rows=13 if wrong is Unaligned else 40)["data"]
        assert np.isnan(found[np.isfinite(expected)]).any()


def test_a_part_that_was_not_measured_is_refused(tmp_path: Path) -> None:
    network = predictor(tmp_path, "pooled", normalization={"name": "asinh"})
    band, _ = next(frame_chunks(exposure((180, 90)), rows=50, halo=20))
    with pytest.raises(ContractError, match="measured on the whole frame"):
        network.predict(band)


@given(
    shape=st.tuples(st.integers(1, 60), st.integers(1, 50)),
    rows=st.integers(1, 30),
    most=st.integers(20, 900),
)
@settings(max_examples=80, deadline=None)
def test_the_sample_is_that_of_the_whole_frame_and_is_no_larger_than_it_may_be(
    shape: tuple[int, int], rows: int, most: int
) -> None:
    data = np.arange(shape[0] * shape[1], dtype=np.float32).reshape(shape)
    valid = data % 7 != 3
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("astroclean.tiling.sample._MOST_PIXELS", most)
        bands, whole = SampleGatherer(shape), SampleGatherer(shape)
    whole.add(data, valid)
    for start in range(0, shape[0], rows):
        bands.add(data[start : start + rows], valid[start : start + rows])
    sample = whole.finish()
    assert np.array_equal(bands.finish(), sample)
    assert not (sample % 7 == 3).any()
    if data.size <= most:
        assert np.array_equal(sample, data[valid])
    thinned = np.ceil(np.array(shape) / np.sqrt(max(data.size / most, 1)))
    assert sample.size <= thinned.prod()


def test_the_survey_measures_what_predict_does(tmp_path: Path) -> None:
    network = predictor(tmp_path, "pooled", normalization={"name": "asinh"})
    frame = exposure((90, 70))
    survey = network.scope(frame).survey
    assert survey is not None
    found = measure(survey, lambda: frame_chunks(frame, rows=11, halo=0))
    told = network.predict(frame, measured=found)["answer"]
    assert np.array_equal(told, network.predict(frame)["answer"])
