"""`pconv`: what lies under compact sources and bad pixels, by partial convolutions."""

from __future__ import annotations

import itertools
import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from astroclean.core.flags.plane_choice import chosen_planes, pixels_to_fill
from astroclean.core.flags.planes import MaskPlane
from astroclean.core.psf.misfit import misfit_warning
from astroclean.core.sources.given import sources_of_file
from astroclean.core.sources.holes import source_holes
from astroclean.core.stage.kinds.remove import SourceRemover
from astroclean.core.stage.needs import Needs
from astroclean.core.stage.results import Removal
from astroclean.core.stage.scope import WHOLE, Scope, chunk_of
from astroclean.errors import StageError, SuspectWarning
from astroclean.inference.cards.card import named_card
from astroclean.inference.stage_network import StageNetwork
from astroclean_pconv.compactness import Limits
from astroclean_pconv.fill.cutouts import REACH
from astroclean_pconv.fill.depths import DEEPEST, deeper_than, fill_deep
from astroclean_pconv.fill.filling import Filled, Surroundings, fill_holes
from astroclean_pconv.judging import judge, tell_of_resolved, with_left
from astroclean_pconv.options import PconvOptions
from astroclean_pconv.photometry import Apertures, Measured, encircled, photometry
from astroclean_pconv.positions import refined
from astroclean_pconv.separate.fitted import Sources as FittedSources
from astroclean_pconv.separate.wings import light_of, without_wings

if TYPE_CHECKING:
    from astropy.table import QTable
    from numpy.typing import NDArray

    from astroclean.core.image.frame import Frame
    from astroclean.core.psf.draw import PsfImage
    from astroclean.core.sources.holes import HoleRule, HoleSizes
    from astroclean.core.sources.sources import Sources
    from astroclean.core.stage.needs import Identity
    from astroclean_pconv.judging import Judgement
    from astroclean_pconv.separate.separator import Separated

__all__ = ["PartialConvolution"]

_CARDS = Path(__file__).parent / "cards"
_OURS = "astroclean"
_OURS_LIT = "astroclean-lit"
"""For holes in the light of their own sources, of which no PSF tells."""


class PartialConvolution(SourceRemover):
    """Takes compact sources out (REMOVED), or fills flagged pixels; INPAINTED is made up.

    After Madarasz et al., "A Deep Neural Network Approach to Compact Source Removal". Every hole is
    measured and filled on the frame as it was, so the order of the catalogue does not matter.
    Pixels outside the holes, and beyond the wings that ``separate`` takes out, stay as they are, to
    the bit.
    """

    reason = MaskPlane.REMOVED | MaskPlane.INPAINTED
    Options = PconvOptions

    def __init__(
        self, options: PconvOptions | None = None, *, identity: Identity | None = None
    ) -> None:
        super().__init__(options, identity=identity)
        self._network = self._named(self.options.weights)
        self._lit_network = self._network
        if self.options.weights == _OURS:
            self._lit_network = self._named(_OURS_LIT)

    def _named(self, weights: str) -> StageNetwork:
        return StageNetwork(named_card(_CARDS, "pconv", weights), self.options)

    def needs(self) -> Needs:
        """Return the sources of an earlier stage, unless there is a catalogue; planes; the PSF."""
        options = self.options
        if options.fill == "flags":
            return Needs(planes=chosen_planes(options.planes))
        wanted = set() if options.catalog is not None else {"sources"}
        if options.mode == "separate":
            return Needs(frozenset(wanted | {"psf"}))
        # It tells how large holes are, and what part of the light apertures hold.
        return Needs(frozenset(wanted), wishes=frozenset({"psf"}))

    def scope(self, frame: Frame) -> Scope:  # noqa: ARG002 - the same for every frame
        """Return the reach for flagged pixels; all where sources or their PSF are of all."""
        return Scope(REACH) if self.options.fill == "flags" else WHOLE

    def check_header(self, frame: Frame) -> None:
        """Raise where the holes are told in a unit of which the frame tells nothing."""
        if self.options.fill != "flags":
            self._sizes(frame)

    def fingerprint(self) -> dict[str, str]:
        """Return weights, engine and precision."""
        lit = self._lit_network.fingerprint()
        illuminated = {f"{key} in light": lit[key] for key in ("weights", "card")}
        return {**self._network.fingerprint(), **illuminated}

    def remove(self, frame: Frame) -> Removal:
        """Return what lies in the holes.

        Parameters
        ----------
        frame : Frame
            Any unit. Not modified.

        Returns
        -------
        Removal
            ``uncertainty``: standard deviation of the values in the holes about what is truly
            there; that of the frame elsewhere. ``sources``: the table of `photometry`, with the
            ids of the catalogue. Metrics ``pixels left``; for flags ``pixels left too deep``: more
            than `DEEPEST` pixels from all that is seen; for sources ``pixels deep``, which are
            filled from coarser views, ``sources removed``, ``sources outside``, ``psf turned``
            (degrees), ``psf widened`` (times).
        """
        if self.options.fill == "flags":
            return self._of_flags(frame)
        return self._of_sources(frame)

    def _of_flags(self, frame: Frame) -> Removal:
        holes = pixels_to_fill(self.options.planes, frame)
        around = self._surroundings(frame, holes, unseen=holes)
        # Bands of a large frame see as far as the halo: there are no coarser grids here.
        deep = deeper_than(around, DEEPEST)
        filled = self._filled(replace(around, holes=around.holes & ~deep))
        where = filled.known
        left = {
            "pixels left": float(np.count_nonzero(holes & ~where)),
            "pixels left too deep": float(np.count_nonzero(deep)),
        }
        data = np.where(where, filled.background + filled.noise, frame.data)
        reasons = {MaskPlane.INPAINTED: where}
        return Removal(data, where, filled.uncertainty, metrics=left, reasons=reasons)

    def _of_sources(self, frame: Frame) -> Removal:
        from threadpoolctl import threadpool_limits  # noqa: PLC0415 - only where it is used

        found = self._catalog(frame)
        unseen = frame.where(MaskPlane.NO_DATA)
        around = self._surroundings(frame, found.holes, unseen=unseen)
        separated = None
        # Systems of some hundred equations: threads that wait for each other cost far more.
        with threadpool_limits(1, user_api="blas"):
            if self.options.mode == "separate":
                separated = self._separated(frame, around, found)
                if separated.misfits.wrong:
                    text = misfit_warning(separated.misfits, self.where(frame))
                    warnings.warn(text, SuspectWarning, stacklevel=2)
                filled = separated.filled
            else:
                filled = self._inpainted(around, found)
        where = filled.known
        data = np.where(where, filled.background + filled.noise, frame.data)
        metrics = {
            "pixels left": float(np.count_nonzero(found.holes & ~where)),
            "pixels deep": float(np.count_nonzero(deeper_than(around, DEEPEST) & where)),
            "sources outside": float(found.outside),
            **({} if separated is None else separated.metrics),
        }
        table = self._photometry(frame, found, filled, separated)
        removed = float(np.count_nonzero((table["quality"] & 1) == 0))
        left = {} if found.judged is None else found.judged.metrics
        if found.judged is not None:
            table = with_left(table, found.judged)
        return Removal(
            data,
            where,
            filled.uncertainty,
            _with_table(found.sources, table, frame),
            metrics={"sources removed": removed, **metrics, **left},
            reasons={MaskPlane.REMOVED: where, MaskPlane.INPAINTED: filled.made_up},
        )

    def _surroundings(
        self, frame: Frame, holes: NDArray[np.bool_], *, unseen: NDArray[np.bool_]
    ) -> Surroundings:
        valid = frame.usable & ~unseen
        # What is outside the coverage is no hole, nor is overscan: no sky would be beneath.
        holes = holes & ~frame.where(MaskPlane.NO_DATA | MaskPlane.OVERSCAN)
        return Surroundings(frame.data, valid, holes, chunk_of(frame).origin)

    def _inpainted(self, around: Surroundings, found: _Found) -> Filled:
        if found.psfs is None or not self.options.wings:
            return self._filled(around, self._lit_network)
        sources = FittedSources.from_positions(found.positions, found.psfs)
        light = light_of(around, sources, found.snr, found.radii)
        return without_wings(self._filled, around, light)

    def _filled(self, around: Surroundings, network: StageNetwork | None = None) -> Filled:
        seed = self.options.seed if self.options.noise == "match" else None
        if self.options.fill == "flags":
            return fill_holes(self._network, around, seed=seed)
        return fill_deep(network or self._network, around, seed=seed, coarse=self._network)

    def _catalog(self, frame: Frame) -> _Found:
        options, outside = self.options, 0
        if options.catalog is not None:
            where = f"{self.where(frame)}, option 'catalog'"
            given = sources_of_file(options.catalog, frame, options, where=where, by_id=False)
            sources, outside = given.sources, len(given.outside)
        else:
            assert frame.sources is not None  # needed, hence checked by the base class
            sources = frame.sources
        positions = _positions(sources)
        sizes = self._sizes(frame)
        usable = frame.usable
        if options.centroid and len(positions):
            positions = refined(frame.data, usable, positions, sizes)
        psfs = None if frame.psf is None else frame.psf.images_at(positions)
        judged = None
        # A list of places alone is what someone knows, not what a stage has found.
        by_stage = options.catalog is None and sources.segmentation is not None
        where = self.where(frame)
        limits = Limits(options.max_size, options.min_snr, options.min_contrast)
        if options.leave == "all" or (options.leave == "found" and by_stage):
            judged = judge(frame, positions, self._fwhm(frame), limits, where=where)
        taken = np.ones(len(positions), dtype=bool) if judged is None else judged.taken
        kept = positions[taken]
        holes = source_holes(frame.data, usable, kept, sizes)
        if options.leave == "found" and not by_stage:
            tell_of_resolved(frame, kept, holes.snr, limits, where=where)
        if psfs is not None:
            psfs = list(itertools.compress(psfs, taken))
        return _Found(sources, kept, sizes, *holes, outside, psfs, judged)

    def _fwhm(self, frame: Frame) -> float | None:
        """Return the FWHM of the frame's PSF in pixels, as far as it is known."""
        if frame.psf is not None:
            return frame.psf.fwhm_pixels
        detector = frame.detector
        scale, width = detector.pixel_scale, detector.psf_fwhm
        return width / scale if scale and width else None

    def _sizes(self, frame: Frame) -> HoleSizes:
        scale = frame.detector.pixel_scale
        rule: HoleRule = self.options
        try:
            return rule.in_pixels(fwhm_pixels=self._fwhm(frame), pixel_scale=scale)
        except StageError as error:
            raise StageError(
                error.problem,
                where=f"{self.where(frame)}, {error.where}",
                remedy=error.remedy,
            ) from error

    def _separated(self, frame: Frame, around: Surroundings, found: _Found) -> Separated:
        from astroclean_pconv.separate.separator import Separation  # noqa: PLC0415 - scipy's solvers

        assert frame.psf is not None  # needed, hence checked by the base class
        options = self.options
        if "spread" not in {tensor.name for tensor in self._network.card.outputs}:
            raise StageError(
                f"network '{self._network.card.name}' does not tell how far off it is",
                where=f"{self.where(frame)}, option 'weights'",
                remedy='take mode = "inpaint", or weights of the compact network',
            )
        separation = Separation(
            fill=lambda surroundings, seed: fill_deep(self._network, surroundings, seed=seed),
            position_error=options.position_error,
            limits=(float(np.radians(options.psf_turn)), options.psf_width),
            seed=options.seed if options.noise == "match" else None,
            wings=options.wings,
        )
        return separation.of(around, found.positions, found.radii, frame.psf)

    def _photometry(
        self, frame: Frame, found: _Found, filled: Filled, separated: Separated | None
    ) -> QTable:
        known = filled.known
        under = filled.background if separated is None else separated.beneath
        light = np.where(known & ~frame.mask, frame.data - under, np.float32(0))
        measured = Measured(
            found.positions,
            found.snr,
            found.radii,
            light,
            filled.deviation,
            filled.usual_sigma,
            known,
            found.psfs,
            None if separated is None else separated.flux,
            None if separated is None else separated.flux_error,
            None if separated is None else separated.misfits.bad,
        )
        return photometry(frame, measured, found.sizes, self._apertures(frame, found.sizes))

    def _apertures(self, frame: Frame, sizes: HoleSizes) -> Apertures:
        options = self.options
        factor = sizes.source / options.hole_source
        told = options.apertures or options.hole_radii[:2]
        radii = tuple(factor * radius for radius in told)
        names = tuple(f"{radius:g}_{options.hole_unit}" for radius in told)
        scale = frame.detector.pixel_scale
        if options.aperture_corrections and scale:
            arcsec, parts = np.array(sorted(options.aperture_corrections)).T
            wanted = np.array(radii) * scale
            fractions = np.interp(wanted, arcsec, parts, left=np.nan, right=np.nan)
        elif frame.psf is not None:
            fractions = np.array([encircled(frame.psf, radius) for radius in radii])
        else:
            fractions = np.full(len(radii), np.nan)
        return Apertures(radii, tuple(float(part) for part in fractions), names)


@dataclass(frozen=True, eq=False)
class _Found:
    """Sources of a frame and their holes."""

    sources: Sources
    positions: NDArray[np.float64]
    sizes: HoleSizes
    holes: NDArray[np.bool_]
    snr: NDArray[np.float64]
    radii: NDArray[np.float64]
    outside: int
    """Rows of the catalogue that do not lie in the frame."""
    psfs: list[PsfImage] | None
    """The image of each, where the PSF is known."""
    judged: Judgement | None
    """Of all of the catalogue, where it was asked for; the rest are those that are taken out."""


def _positions(sources: Sources) -> NDArray[np.float64]:
    columns = [np.asarray(sources.table[name], dtype=np.float64) for name in ("x", "y")]
    return np.column_stack(columns)


def _with_table(sources: Sources, table: QTable, frame: Frame) -> Sources:
    """Return the sources with what was measured, in the order of the catalogue."""
    table.add_column(np.asarray(sources.table["id"]), name="id", index=0)
    table["id"].info.description = "as in the catalogue"
    return replace(sources, table=table, stamps=()).with_sky(frame.wcs)
