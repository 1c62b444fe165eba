"""Each kind's base class lets a plugin change what its kind may change, and nothing else."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from astropy import units as u
from astropy.nddata import StdDevUncertainty
from astropy.table import QTable
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from astroclean.core.flags.planes import MaskPlane
from astroclean.core.image.frame import Frame
from astroclean.core.image.frameset import FrameSet
from astroclean.core.image.grid import Grid
from astroclean.core.image.uncertainty import deviation_of
from astroclean.core.psf.psf import Psf
from astroclean.core.sources.sources import Sources, SourceStamp
from astroclean.core.stage.kinds.deblend import MODEL, Deblender
from astroclean.core.stage.kinds.deconvolve import Deconvolver
from astroclean.core.stage.kinds.mask import Masker
from astroclean.core.stage.kinds.remove import SourceRemover
from astroclean.core.stage.kinds.screen import Screener
from astroclean.core.stage.kinds.superres import SuperResolver
from astroclean.core.stage.needs import Needs
from astroclean.core.stage.results import (
    Deconvolution,
    Mask,
    Outcome,
    Removal,
    Score,
    Separation,
    Upsampling,
)
from astroclean.errors import (
    AstrocleanError,
    AstrocleanWarning,
    ContractError,
    FrameError,
    StageError,
    SuspectWarning,
)
from astroclean.testing.frames import synthetic_frame

if TYPE_CHECKING:
    from collections.abc import Mapping

    from astroclean.core.image.layer import LayerSpec


class Flagger(Masker):
    sets = MaskPlane.COSMIC_RAY
    answer: Any = None

    def find(self, frame: Frame) -> Mask:
        return type(self).answer


class Filler(SourceRemover):
    reason = MaskPlane.INTERPOLATED
    answer: Any = None

    def remove(self, frame: Frame) -> Removal:
        return type(self).answer


def frame_of(shape: tuple[int, int] = (8, 9), value: float = 5.0) -> Frame:
    uncertainty = StdDevUncertainty(np.ones(shape, dtype=np.float32))
    return Frame(np.full(shape, value), unit="adu", uncertainty=uncertainty, frame_id="f.fits[1]")


def flags_of(shape: tuple[int, int], plane: MaskPlane) -> np.ndarray:
    flags = np.zeros(shape, dtype=np.uint32)
    flags[2, 3] = plane
    return flags


def test_masker_adds_bits_and_keeps_old_ones() -> None:
    frame = frame_of().add_planes(np.ones((8, 9), dtype=bool), "BAD")
    Flagger.answer = Mask(flags_of((8, 9), MaskPlane.COSMIC_RAY))
    result = Flagger().run(frame)
    assert result.frame.where("BAD").all()
    assert result.frame.where("CR").sum() == 1
    assert result.metrics["pixels COSMIC_RAY"] == 1
    assert result.outcome == Outcome.DONE


@pytest.mark.parametrize(
    "flags",
    [
        flags_of((8, 9), MaskPlane.TRAIL),
        np.full((8, 9), 1 << 26, dtype=np.uint32),
        np.zeros((9, 8), dtype=np.uint32),
    ],
)
def test_masker_may_not_set_what_it_does_not_declare(flags: np.ndarray) -> None:
    Flagger.answer = Mask(flags)
    with pytest.raises(ContractError, match=r"f\.fits\[1\].*flagger"):
        Flagger().run(frame_of())


def test_masker_that_finds_nothing_says_so() -> None:
    Flagger.answer = Mask(np.zeros((8, 9), dtype=np.uint32))
    assert Flagger().run(frame_of()).outcome == Outcome.NO_WORK


@given(
    where=arrays(bool, (6, 7)),
    data=arrays(np.float32, (6, 7), elements=st.floats(-1e6, 1e6, width=32)),
)
def test_remover_changes_only_inside_where_or_is_refused(
    where: np.ndarray, data: np.ndarray
) -> None:
    frame = frame_of((6, 7))
    Filler.answer = Removal(data, where)
    if ((data != frame.data) & ~where).any():
        with pytest.raises(ContractError, match="inside `where`"):
            Filler().run(frame)
        return
    after = Filler().run(frame).frame
    assert np.array_equal(after.data, np.where(where, data, frame.data))
    assert np.array_equal(after.where("INTERPOLATED"), where)
    assert np.array_equal(np.isnan(deviation_of(after.uncertainty)), where)


def test_remover_keeps_the_old_flag_beside_the_reason() -> None:
    where = flags_of((8, 9), MaskPlane.COSMIC_RAY) != 0
    frame = frame_of().add_planes(where, "CR")
    Filler.answer = Removal(np.where(where, 0, frame.data), where)
    result = Filler().run(frame)
    assert result.frame.where("CR").sum() == result.frame.where("INTERPOLATED").sum() == 1
    assert result.metrics["flux removed"] == 5
    assert result.products["REMOVED"].sum() == 5


def test_remover_may_tell_the_reason_of_each_pixel() -> None:
    frame = frame_of()
    where, filled = np.zeros((2, *frame.shape), dtype=bool)
    where[2:4, 2:4], filled[2, 2] = True, True
    told = {MaskPlane.REMOVED: where, MaskPlane.INPAINTED: filled}
    Filler.answer = Removal(np.where(where, 1, frame.data), where, reasons=told)
    result = Filler().run(frame).frame
    for plane, pixels in told.items():
        np.testing.assert_array_equal(result.where(plane), pixels)
    assert not result.where("INTERPOLATED").any()
    told = {MaskPlane.INPAINTED: filled}
    Filler.answer = Removal(np.where(where, 1, frame.data), where, reasons=told)
    with pytest.raises(ContractError, match="3 pixels"):
        Filler().run(frame)


def test_remover_may_give_uncertainties() -> None:
    where = flags_of((8, 9), MaskPlane.COSMIC_RAY) != 0
    frame = frame_of()
    Filler.answer = Removal(frame.data, where, uncertainty=np.full((8, 9), 7.0))
    deviation = deviation_of(Filler().run(frame).frame.uncertainty)
    assert deviation is not None
    assert deviation[where] == 7
    assert (deviation[~where] == 1).all()


class Finder(Deblender):
    labels: Any = None

    def separate(self, frame: Frame) -> Separation:
        table = QTable({"id": [1], "x": [3.0], "y": [2.0]})
        return Separation(Sources(table, type(self).labels))


def test_deblender_sets_sources_with_sky_and_changes_no_value() -> None:
    frame = synthetic_frame(seed=1)
    labels = np.zeros(frame.shape, dtype=np.int64)
    labels[2, 3] = 1
    Finder.labels = labels
    after = Finder().run(frame).frame
    assert after.data.tobytes() == frame.data.tobytes()
    assert after.sources is not None
    sky = frame.wcs.pixel_to_world(3.0, 2.0)
    assert after.sources.table["ra"][0].to_value("deg") == pytest.approx(sky.ra.deg)
    assert after.where("SOURCE").sum() == 1


def stamp_of(number: int, band: str = "", value: float = 1.0) -> SourceStamp:
    return SourceStamp(number, (number, -1), np.full((2, 3), value, np.float32), band)


class Modeller(Deblender):
    accepts = frozenset({"frame", "set"})
    stamps: tuple[SourceStamp, ...] = ()
    given: Mapping[str, Any] = MappingProxyType({})

    def layers(self) -> tuple[LayerSpec, ...]:
        return (*super().layers(), MODEL)

    def separate(self, frame: Any) -> Any:
        table = QTable({"id": [1, 2], "x": [3.0, 4], "y": [2.0, 1]})
        answer = Separation(Sources(table, stamps=type(self).stamps), layers=type(self).given)
        return answer if isinstance(frame, Frame) else dict.fromkeys(frame, answer)


def test_the_layer_of_models_is_the_sum_of_the_stamps() -> None:
    Modeller.stamps, Modeller.given = (stamp_of(1), stamp_of(2, value=3)), {}
    result = Modeller().run(frame_of())
    wanted = np.zeros((8, 9))
    wanted[1:4, :2] = [[1, 1], [4, 4], [3, 3]]
    assert result.layers["MODEL"].data.dtype == np.float32
    np.testing.assert_array_equal(result.products["MODEL"], wanted)
    assert result.layers["MODEL"].unit == "adu"
    # What the plugin gives itself counts.
    Modeller.given = {"model": np.full((8, 9), 5.0)}
    assert (Modeller().run(frame_of()).products["MODEL"] == 5).all()
    Modeller.stamps, Modeller.given = (), {}
    assert not Modeller().run(frame_of()).products["MODEL"].any()
    Finder.labels = None
    assert "MODEL" not in Finder().run(frame_of()).products


def test_each_band_of_a_set_has_its_own_images() -> None:
    frames = FrameSet({"g": frame_of(), "r": frame_of()})
    Modeller.given = {}
    Modeller.stamps = tuple(stamp_of(n, b, v) for b, v in (("g", 1), ("r", 7)) for n in (1, 2))
    results = Modeller().run_set(frames)
    for band, value in (("g", 1), ("r", 7)):
        sources = results[band].frame.sources
        assert sources is not None
        assert sources.bands == (band,)
        assert sorted(sources.images()) == [1, 2]
        assert results[band].products["MODEL"].max() == 2 * value
    Modeller.stamps = (stamp_of(1, "g"), stamp_of(1, "i"))
    with pytest.raises(ContractError, match=r"bands that the set does not have.*got i"):
        Modeller().run_set(frames)


def test_catalogue_without_its_columns_or_with_twins_is_refused() -> None:
    with pytest.raises(FrameError, match="y"):
        Sources(QTable({"id": [1], "x": [3.0]}))
    with pytest.raises(FrameError, match="twice"):
        Sources(QTable({"id": [1, 1], "x": [3.0, 1], "y": [1.0, 2]}))


class Sharpener(Deconvolver):
    def deconvolve(self, frame: Frame) -> Deconvolution:
        return Deconvolution(frame.data * 2, Psf.gaussian(fwhm_pixels=1.5))


def test_deconvolver_needs_a_psf_and_gives_one() -> None:
    with pytest.raises(StageError, match="needs 'psf'"):
        Sharpener().run(frame_of())
    frame = frame_of().replace(psf=Psf.gaussian(fwhm_pixels=4))
    result = Sharpener().run(frame)
    assert result.frame.psf is not None
    assert result.frame.psf.fwhm_pixels < 2
    assert result.metrics["flux ratio"] == 2
    assert np.array_equal(result.frame.flags, frame.flags)


class Finer(SuperResolver):
    shape: tuple[int, int] = (0, 0)

    def upsample(self, frame: Frame) -> Upsampling:
        return Upsampling(np.ones(type(self).shape), Psf.gaussian(fwhm_pixels=3))


def test_superresolver_carries_flags_and_sky_to_the_finer_grid() -> None:
    frame = synthetic_frame(seed=2, shape=(20, 30))
    Finer.shape = (60, 90)
    after = Finer().run(frame).frame
    assert after.shape == (60, 90)
    assert np.array_equal(after.flags[1::3, 1::3], frame.flags)
    for x, y in ((0, 0), (29, 19), (10, 5)):
        ours = frame.wcs.pixel_to_world(x, y)
        # The centre of a pixel is the centre of its middle part.
        theirs = after.wcs.pixel_to_world(3 * x + 1, 3 * y + 1)
        assert ours.separation(theirs).arcsec < 1e-6


@pytest.mark.parametrize("shape", [(61, 90), (60, 60), (10, 15), (0, 0)])
def test_superresolver_must_refine_by_a_whole_factor(shape: tuple[int, int]) -> None:
    Finer.shape = shape
    with pytest.raises(ContractError, match="whole multiple"):
        Finer().run(synthetic_frame(seed=2, shape=(20, 30)))


class Joined(SuperResolver):
    """Means of the bands, on pixels 2.5 times as fine as those of the first."""

    accepts = frozenset({"frame", "set"})

    def needs(self) -> Needs:
        return Needs(frozenset({"psf"}), aligned=False)

    def upsample(self, given: Any) -> Upsampling:
        frames = list(given.frames.values()) if isinstance(given, FrameSet) else [given]
        ny, nx = (int(2.5 * side) for side in frames[0].shape)
        data = np.full((ny, nx), np.mean([frame.data.mean() for frame in frames]), np.float32)
        return Upsampling(
            data,
            Psf.gaussian(fwhm_pixels=8.0),
            0.1 * data,
            grid=Grid((ny, nx), origin=(0.0, 0.0), step=0.4),
            support=np.ones((ny, nx), np.float32),
            unit=u.mJy / u.beam,
        )


def test_superresolver_of_a_set_gives_one_image_beside_the_first_band() -> None:
    psf = Psf.gaussian(fwhm_pixels=3.0)
    wide = frame_of((4, 6), value=9.0).replace(psf=psf)
    frames = FrameSet({"a": frame_of((8, 10), value=1.0).replace(psf=psf), "b": wide})
    results = Joined().run_set(frames)
    layer = results["a"].layers["SUPERRES"]
    assert (layer.data == 5).all()
    assert (layer.unit, layer.grid.shape, layer.grid.step) == (u.mJy / u.beam, (20, 25), 0.4)
    assert results["a"].frame.unit == u.mJy / u.beam
    assert "flux ratio" not in results["a"].metrics  # of two units
    assert results["b"].frame is frames["b"]
    assert (dict(results["b"].layers), results["b"].outcome) == ({}, Outcome.NO_WORK)
    alone = Joined().run(frames["a"])
    assert (alone.layers["SUPERRES"].data == 1).all()


def test_superresolver_of_a_set_gives_no_dict() -> None:
    class Dict(Joined):
        def upsample(self, given: Any) -> Any:
            return dict.fromkeys(given)

    frame = frame_of().replace(psf=Psf.gaussian(fwhm_pixels=3.0))
    with pytest.raises(ContractError, match="must return a Upsampling"):
        Dict().run_set(FrameSet({"a": frame, "b": frame}))


def test_finer_image_has_a_header_of_its_own_pixels_and_beam() -> None:
    frame = synthetic_frame(seed=2, shape=(20, 30))
    meta = frame.meta.copy()
    meta.update({"ACPIXSC": 6.0, "ACFWHM": 18.0, "BMAJ": 0.005, "BMIN": 0.004, "BPA": 20.0})
    frame = frame.replace(meta=meta)
    Finer.shape = (60, 90)
    after = Finer().run(frame).frame
    assert after.detector.pixel_scale == 2.0
    assert after.detector.psf_fwhm is None
    assert "BMAJ" not in after.meta  # the unit is no longer, and was never, one of beams
    assert frame.meta["BMAJ"] == 0.005


class Judge(Screener):
    value: float = 0.0

    def score(self, frame: Frame) -> Score:
        return Score(type(self).value, 0.5)


@pytest.mark.parametrize("value", [-0.1, 1.1, float("nan")])
def test_score_is_a_probability(value: float) -> None:
    Judge.value = value
    with pytest.raises(ContractError, match="probability"):
        Judge().run(frame_of())


class BandFlagger(Masker):
    """Flags what is brighter than the mean of the bands."""

    sets = MaskPlane.COSMIC_RAY
    accepts = frozenset({"set"})

    def find(self, frames: Any) -> Any:
        stack = frames.stack()
        flags = (stack > stack.mean(axis=0)) * np.uint32(MaskPlane.COSMIC_RAY)
        return {band: Mask(part) for band, part in zip(frames, flags, strict=True)}


def test_stage_of_a_set_gets_all_bands_and_answers_for_each() -> None:
    frames = FrameSet({"g": frame_of(value=1.0), "r": frame_of(value=3.0)})
    results = BandFlagger().run_set(frames)
    assert not results["g"].frame.where("CR").any()
    assert results["r"].frame.where("CR").all()
    with pytest.raises(StageError, match="several bands"):
        BandFlagger().run(frame_of())


def test_stage_of_frames_runs_on_each_band_of_a_set() -> None:
    Flagger.answer = Mask(flags_of((8, 9), MaskPlane.COSMIC_RAY))
    results = Flagger().run_set(FrameSet({"g": frame_of(), "r": frame_of()}))
    assert [result.frame.where("CR").sum() for result in results.values()] == [1, 1]


@pytest.mark.parametrize("form", ["array", "list", "quantity", "ccddata", "frame"])
def test_stage_takes_whatever_can_be_made_a_frame(form: str) -> None:
    from astropy.nddata import CCDData

    array = np.full((8, 9), 5.0)
    image = {
        "array": array,
        "list": array.tolist(),
        "quantity": array * u.electron,
        "ccddata": CCDData(array, unit="electron"),
        "frame": frame_of(),
    }[form]
    Flagger.answer = Mask(flags_of((8, 9), MaskPlane.COSMIC_RAY))
    result = Flagger().run(image)
    assert result.frame.where("CR").sum() == 1
    assert str(result.frame.unit) == ("electron" if form in {"quantity", "ccddata"} else "adu")


@pytest.mark.parametrize("thing", [3, None, {"a": 1}, np.zeros(4), np.zeros((2, 3, 4)), "no.fits"])
def test_what_is_no_image_is_refused(thing: Any) -> None:
    Flagger.answer = Mask(flags_of((8, 9), MaskPlane.COSMIC_RAY))
    with pytest.raises(AstrocleanError):
        Flagger().run(thing)


def test_history_has_no_clock_and_fits_into_cards() -> None:
    Flagger.answer = Mask(flags_of((8, 9), MaskPlane.COSMIC_RAY))
    (entry,) = Flagger().run(frame_of()).frame.history
    assert entry.stage == "flagger"
    for line in entry.cards():
        assert len(line) <= 70
        assert line.isascii()


class Broken(Masker):
    sets = MaskPlane.COSMIC_RAY

    def find(self, frame: Frame) -> Mask:
        if frame.data[0, 0] == 1:
            raise KeyError("nope")
        raise StageError("cannot")


def test_what_a_plugin_raises_names_stage_and_frame() -> None:
    with pytest.raises(KeyError) as raised:
        Broken().run(np.ones((3, 4)))
    assert raised.value.__notes__ == ["frame, stage 'broken': raised by the plugin"]
    with pytest.raises(StageError, match=r"^frame, stage 'broken': cannot\.$"):
        Broken().run(np.zeros((3, 4)))


def test_a_frame_without_pixels_is_refused() -> None:
    with pytest.raises(StageError, match=r"stage 'broken': the frame has no pixels.*\(0, 20\)"):
        Broken().run(np.zeros((0, 20)))


def test_hooks_get_arrays_that_cannot_be_written_to() -> None:
    """A plugin that writes is named; the user's own arrays stay as they were and writable."""

    class Writer(Flagger):
        def find(self, frame: Frame) -> Mask:
            frame.data[frame.data > 4] = 0
            return Mask(np.zeros(frame.shape, dtype=np.uint32))

    own = np.full((8, 9), 5, dtype=np.float32)
    frame = Frame(own, unit="adu", frame_id="f.fits[1]", copy=False)
    with pytest.raises(ContractError, match=r"f\.fits\[1\], stage 'writer': .*writes.*copy"):
        Writer().run(frame)
    assert (own == 5).all()
    assert own.flags.writeable
    assert frame.data.flags.writeable


@pytest.mark.parametrize(
    "of", ["flags", "filled", "mask", "uncertainty.array", "sources.segmentation", "data"]
)
def test_every_array_of_a_frame_is_read_only_for_a_hook(of: str) -> None:
    frame = synthetic_frame(seed=1)
    table = QTable({"id": [1], "x": [3.0], "y": [2.0]})
    labels = np.ones(frame.shape, dtype=np.int32)
    array: Any = frame.replace(sources=Sources(table, labels)).read_only()
    for name in of.split("."):
        array = getattr(array, name)
    with pytest.raises(ValueError, match="read-only"):
        array[0, 0] = 1


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (Mask(np.full((8, 9), 0.3)), "'flags' must have whole numbers"),
        (Mask(np.full((8, 9), None)), "'flags' must have whole numbers"),
        (Mask(None), "'flags' must have the shape"),  # type: ignore[arg-type]
        (Mask(np.zeros((8, 9, 1), dtype=np.uint32)), "'flags' must have the shape"),
        (None, "must return a Mask"),
        (np.zeros((8, 9), dtype=np.uint32), "must return a Mask"),
        (Removal(np.zeros((8, 9)), np.zeros((8, 9), dtype=bool)), "must return a Mask"),
    ],
)
def test_an_answer_of_the_wrong_kind_is_a_fault_of_the_plugin(answer: Any, said: str) -> None:
    Flagger.answer = answer
    with pytest.raises(ContractError, match=rf"f\.fits\[1\], stage 'flagger': .*{said}.*fault"):
        Flagger().run(frame_of())


def test_where_of_fractions_is_a_fault_of_the_plugin() -> None:
    Filler.answer = Removal(np.zeros((8, 9)), np.full((8, 9), 0.5))
    with pytest.raises(ContractError, match="'where' must have whole numbers or truth values"):
        Filler().run(frame_of())


def test_what_is_found_after_filling_rejects_again() -> None:
    where = flags_of((8, 9), MaskPlane.COSMIC_RAY) != 0
    Filler.answer = Removal(np.where(where, 0, 5.0), where)
    filled = Filler().run(frame_of().add_planes(where, "CR")).frame
    assert filled.filled[2, 3]
    assert not filled.mask.any()
    Flagger.answer = Mask(flags_of((8, 9), MaskPlane.COSMIC_RAY))
    again = Flagger().run(filled).frame
    assert again.mask[2, 3]
    assert again.where("INTERPOLATED")[2, 3]


def test_a_source_taken_out_of_measured_light_leaves_rejected_pixels_rejected() -> None:
    class Subtractor(Filler):
        reason = MaskPlane.REMOVED

    where = flags_of((8, 9), MaskPlane.SATURATED) != 0
    Filler.answer = Removal(np.where(where, 0, 5.0), where)
    assert Subtractor().run(frame_of().add_planes(where, "SAT")).frame.mask[2, 3]


class Placer(Deblender):
    """Puts one source where it is told, and another into the frame."""

    place = (4.0, 3.0)

    def separate(self, frame: Frame) -> Separation:
        x, y = self.place
        return Separation(Sources(QTable({"id": [1, 2], "x": [2.0, x], "y": [2.0, y]})))


@pytest.mark.parametrize("place", [(np.nan, 3.0), (4.0, np.inf)])
def test_sources_that_are_nowhere_are_refused(
    place: tuple[float, float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Placer, "place", place)
    with pytest.raises(ContractError, match=r"finite `x` and `y`.*1 of 2 without"):
        Placer().run(frame_of())


@pytest.mark.parametrize("place", [(-300.0, 3.0), (4.0, 8.5)])
def test_sources_off_the_frame_are_told(
    place: tuple[float, float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Placer, "place", place)
    with pytest.warns(SuspectWarning, match="'placer': 1 of 2 sources lie off the frame"):
        Placer().run(frame_of())


def test_a_remover_that_gives_no_values_is_told() -> None:
    class Emptier(SourceRemover):
        def remove(self, frame: Frame) -> Removal:
            where = np.zeros(frame.shape, dtype=bool)
            where[2, 3] = True
            return Removal(np.where(where, np.nan, frame.data), where)

    with pytest.warns(
        AstrocleanWarning, match="'emptier': gave NaN to pixels that had a good value"
    ):
        result = Emptier().run(frame_of())
    assert result.frame.where(MaskPlane.NO_DATA)[2, 3]


def test_a_hook_cannot_make_its_input_writable() -> None:
    class Forcing(Masker):
        sets = MaskPlane.USER_0

        def find(self, frame: Frame) -> Mask:
            frame.data.setflags(write=True)
            frame.data[0, 0] = 7
            return Mask(flags_of(frame.shape, MaskPlane.USER_0))

    frame = frame_of()
    with pytest.raises(ContractError, match="writes to the arrays"):
        Forcing().run(frame)
    assert frame.data[0, 0] == 5
