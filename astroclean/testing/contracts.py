"""Contract tests: subclass the one of your kind and name your plugin.

    from astroclean.testing.contracts import MaskerContract

    class TestMine(MaskerContract):
        plugin = "mine"
        options = {"threshold": 0.4}

Everything that astroclean's runner relies on is then tested. Needs pytest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import numpy as np
import pytest
from astropy import units as u

from astroclean.core.flags.planes import MaskPlane
from astroclean.core.image.frameset import FrameSet
from astroclean.core.image.uncertainty import deviation_of
from astroclean.core.stage.kinds.mask import PROBABILITY
from astroclean.registry.load import load_stage
from astroclean.testing.chunks import run_in_chunks
from astroclean.testing.frames import frame_digest
from astroclean.testing.stage_contract import StageContract

if TYPE_CHECKING:
    from astroclean.core.image.frame import Frame
    from astroclean.core.stage.results import StageResult
    from astroclean.core.stage.stage import Stage

__all__ = [
    "CalibratorContract",
    "DeblenderContract",
    "DeconvolverContract",
    "MaskerContract",
    "ScreenerContract",
    "SourceRemoverContract",
    "StageContract",
    "SuperResolverContract",
]


def _unchanged(before: Frame, after: Frame) -> None:
    assert after.data.tobytes() == before.data.tobytes()
    ours, theirs = deviation_of(before.uncertainty), deviation_of(after.uncertainty)
    assert (ours is None) == (theirs is None)
    if ours is not None and theirs is not None:
        assert ours.tobytes() == theirs.tobytes()


def _same_sky(before: Frame, after: Frame) -> None:
    assert (before.wcs is None) == (after.wcs is None)
    if before.wcs is not None and after.wcs is not None:
        ny, nx = before.shape
        corners = [0.0, nx - 1.0, 0.0, nx - 1.0], [0.0, 0.0, ny - 1.0, ny - 1.0]
        theirs, ours = (wcs.pixel_to_world_values(*corners) for wcs in (before.wcs, after.wcs))
        assert np.array_equal(theirs, ours)


class ScreenerContract(StageContract):
    """A screening stage changes nothing and gives a probability."""

    kind = "screen"

    def changes_allowed(self, before: Frame, result: StageResult) -> None:
        """Nothing of the frame changes, but its history; the probability is one."""
        assert frame_digest(result.frame) == frame_digest(before)
        _same_sky(before, result.frame)
        assert result.score is not None
        assert 0 <= result.score.probability <= 1


class MaskerContract(StageContract):
    """A mask stage adds declared bits and nothing else."""

    kind = "mask"

    def changes_allowed(self, before: Frame, result: StageResult) -> None:
        """Values and uncertainty stay; new bits are declared; probabilities are from 0 to 1."""
        _unchanged(before, result.frame)
        added = int(np.bitwise_or.reduce(result.frame.flags & ~before.flags, axis=None))
        sets = load_stage(self.plugin, **self.options).provides().planes
        assert added & ~int(sets) == 0
        for name, image in result.products.items():
            if name.startswith(PROBABILITY):
                assert image.shape == before.shape
                assert np.nanmin(image, initial=0) >= 0
                assert np.nanmax(image, initial=1) <= 1

    def test_pixels_without_data_are_left_alone(self, stage: Stage, frame: Frame) -> None:
        """NaN pixels are NO_DATA already; no method can say more of them."""
        result = stage.run(frame)
        empty = np.isnan(frame.data)
        assert np.array_equal(result.frame.flags[empty], frame.flags[empty])


class SourceRemoverContract(StageContract):
    """A remove stage gives each changed pixel a reason, and touches no other."""

    kind = "remove"

    def changes_allowed(self, before: Frame, result: StageResult) -> None:
        """A changed pixel has the reason bit; the uncertainty stays, and changes only there."""
        after = result.frame
        if after.sources is not None:
            assert {"id", "x", "y"} <= set(after.sources.table.colnames)
        changed = (after.data != before.data) & ~(np.isnan(after.data) & np.isnan(before.data))
        reason = getattr(load_stage(self.plugin, **self.options), "reason", MaskPlane.REMOVED)
        assert after.where(reason)[changed].all()
        ours, theirs = deviation_of(before.uncertainty), deviation_of(after.uncertainty)
        assert ours is None or theirs is not None
        if ours is not None and theirs is not None:
            touched = (ours != theirs) & ~(np.isnan(ours) & np.isnan(theirs))
            assert after.where(reason)[touched].all()

    def test_new_values_are_finite(self, stage: Stage, frame: Frame) -> None:
        """A pixel that had a good value has one afterwards: NaN is none."""
        after = stage.run(frame).frame.data
        assert np.isfinite(after[frame.usable]).all()


class CalibratorContract(StageContract):
    """A calibrate stage makes another image of the frame, of which no flag is lost."""

    kind = "calibrate"

    def test_changes_only_what_its_kind_may(self, stage: Stage, frame: Frame) -> None:
        """Identity and flags survive; unit, values and shape may be other ones."""
        result = stage.run(frame)
        assert result.frame.frame_id == frame.frame_id
        self.changes_allowed(frame, result)

    def changes_allowed(self, before: Frame, result: StageResult) -> None:
        """Flags of the pixels that are left stay; new ones are declared; the unit is told."""
        after, rewriting = result.frame, result.rewriting
        assert rewriting is not None
        assert after.shape == rewriting.shape
        assert after.unit == rewriting.unit
        kept = before.flags[rewriting.window]
        assert not np.any(kept & ~after.flags)
        added = int(np.bitwise_or.reduce(after.flags & ~kept, axis=None))
        sets = load_stage(self.plugin, **self.options).provides().planes | MaskPlane.NO_DATA
        assert added & ~int(sets) == 0
        assert after.uncertainty is None or after.uncertainty.array.shape == after.shape

    def test_wcs_follows_the_pixels(self, stage: Stage, frame: Frame) -> None:
        """A pixel that is left lies on the sky where it lay."""
        result = stage.run(frame)
        if frame.wcs is None:
            return
        assert result.rewriting is not None
        assert result.frame.wcs is not None
        y, x = result.rewriting.origin
        theirs = frame.wcs.pixel_to_world_values(x + 2.0, y + 3.0)
        ours = result.frame.wcs.pixel_to_world_values(2.0, 3.0)
        assert np.allclose(ours, theirs, rtol=0, atol=1e-9)


class DeblenderContract(StageContract):
    """A deblend stage sets the sources; no pixel value changes."""

    kind = "deblend"

    def changes_allowed(self, before: Frame, result: StageResult) -> None:
        """Sources are there, lie in the frame, and on the sky where its WCS says, if it has one."""
        _unchanged(before, result.frame)
        sources = result.frame.sources
        assert sources is not None
        ny, nx = before.shape
        x, y = np.asarray(sources.table["x"]), np.asarray(sources.table["y"])
        assert ((x >= -1) & (x <= nx) & (y >= -1) & (y <= ny)).all()
        if before.wcs is not None:
            assert {"ra", "dec"} <= set(sources.table.colnames)
            sky = [np.asarray(u.Quantity(sources.table[n], u.deg)) for n in ("ra", "dec")]
            back = before.wcs.celestial.world_to_pixel_values(*sky)
            assert np.allclose(back, (x, y), rtol=0, atol=0.01)
        if sources.segmentation is not None:
            labels = set(np.unique(sources.segmentation)) - {0}
            assert labels <= set(np.asarray(sources.table["id"]).tolist())

    def test_finds_something(self, stage: Stage, frame: Frame) -> None:
        """The test frame holds stars far above the noise: some are found; their ids rise."""
        sources = stage.run(frame).frame.sources
        assert sources is not None
        assert len(sources) > 0
        assert (np.diff(np.asarray(sources.table["id"])) > 0).all()

    def test_chunks_give_the_same_bytes(self, stage: Stage, frame: Frame) -> None:
        """In chunks it finds the sources of the whole frame, once each, at the same places.

        Labels are new, and what a background mesh is at the border of a chunk may move a pixel.
        """
        if stage.scope(frame).halo is None:
            return
        whole = stage.run(frame).frame.sources
        chunks = run_in_chunks(stage, frame, rows=1 + frame.shape[0] // 4)
        assert whole is not None
        assert chunks["data"].tobytes() == frame.data.tobytes()
        assert len(chunks["sources"]) == len(whole)
        places = [
            np.sort_complex(np.asarray(s.table["x"]) + 1j * np.asarray(s.table["y"]))
            for s in (whole, chunks["sources"])
        ]
        assert np.abs(places[0] - places[1]).max() < 0.1  # noqa: PLR2004 - pixels


class DeconvolverContract(StageContract):
    """A deconvolve stage keeps grid, WCS and flags, and tells its new PSF."""

    kind = "deconvolve"
    flux_kept: ClassVar[float] = 0.05
    """Part of the light of good pixels that may be lost or added: at borders, and by noise."""

    def changes_allowed(self, before: Frame, result: StageResult) -> None:
        """Grid, WCS and flags stay; the new PSF is told, and no wider than the old."""
        after = result.frame
        assert after.shape == before.shape
        assert np.array_equal(after.flags & before.flags, before.flags)
        _same_sky(before, after)
        assert after.psf is not None
        assert before.psf is not None
        assert after.psf.fwhm_pixels <= before.psf.fwhm_pixels * 1.05

    def test_flux_is_kept(self, stage: Stage, frame: Frame) -> None:
        """Of the light of good pixels no more is made or lost than `flux_kept`."""
        result = stage.run(frame).frame
        seen = np.isfinite(frame.data) & np.isfinite(result.data) & ~frame.mask
        before, after = (float(image.data[seen].sum(dtype=float)) for image in (frame, result))
        assert after == pytest.approx(before, rel=self.flux_kept)


class SuperResolverContract(StageContract):
    """A superres stage keeps the sky on its finer grid; of a set it makes the first band finer."""

    kind = "superres"

    @pytest.fixture
    def bands(self, frame: Frame) -> FrameSet:
        """Return a set for stages that take bands together; override it for a special domain."""
        return FrameSet({"a": frame, "b": frame})

    def changes_allowed(self, before: Frame, result: StageResult) -> None:
        """Pixels are smaller, and lie on the sky where the grid says that they lie."""
        after, grid = result.frame, result.layers["SUPERRES"].grid
        assert grid is not None
        assert after.shape == grid.shape
        assert grid.step < 1
        assert after.psf is not None
        if before.wcs is not None and after.wcs is not None:
            for row, column in ((0, 0), grid.shape):
                y, x = grid.origin[0] + row * grid.step, grid.origin[1] + column * grid.step
                ours = before.wcs.pixel_to_world(x - 0.5, y - 0.5)
                theirs = after.wcs.pixel_to_world(column - 0.5, row - 0.5)
                assert ours.separation(theirs).arcsec < 1e-3  # noqa: PLR2004

    def test_of_bands_together_the_first_is_made_finer(self, stage: Stage, bands: FrameSet) -> None:
        """The others go on as they are, and nothing is written to them."""
        if "set" in stage.accepts:
            before = {band: frame_digest(bands[band]) for band in bands}
            results, (first, *others) = stage.run_set(bands), bands
            self.changes_allowed(bands[first], results[first])
            assert all(results[band].frame is bands[band] for band in others)
            assert {band: frame_digest(bands[band]) for band in bands} == before
