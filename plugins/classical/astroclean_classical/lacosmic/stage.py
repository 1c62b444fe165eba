"""`lacosmic`: cosmic rays by Laplacian edge detection, an adapter over astroscrappy."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
from pydantic import Field

from astroclean.core.flags.planes import MaskPlane
from astroclean.core.length import IN_PIXELS
from astroclean.core.stage.kinds.mask import Masker
from astroclean.core.stage.low_pixels import LOW_REACH, far_below_sky
from astroclean.core.stage.metrics import counted
from astroclean.core.stage.needs import Needs
from astroclean.core.stage.options import StageOptions
from astroclean.core.stage.results import Mask
from astroclean.core.stage.scope import Scope
from astroclean.errors import AstrocleanWarning, SuspectWarning
from astroclean_classical.filling import nearest_filled
from astroclean_classical.flanks import beside_saturated
from astroclean_classical.lacosmic.domain import point_sources_of, remarks_of
from astroclean_classical.lacosmic.empty import EMPTY_REACH, empty_blocks
from astroclean_classical.lacosmic.noise import Noise, check_noise, noise_of
from astroclean_classical.lacosmic.shapes import SHAPES_REACH, beside_dark_pixels, thick_groups
from astroclean_classical.lacosmic.stars import REACH, explained_by_stars
from astroclean_classical.lacosmic.survey import FrameFacts, FrameSurvey
from astroclean_classical.low import tell_unflagged

if TYPE_CHECKING:
    from typing import Any

    from numpy.typing import NDArray

    from astroclean.core.image.frame import Frame

__all__ = ["LACosmic", "LACosmicOptions"]

# Half of the widest median filter (9), of cleaning and growth, and some more.
_RIM = 10
_VETO_REACH = REACH + EMPTY_REACH + SHAPES_REACH + LOW_REACH


class LACosmicOptions(StageOptions):
    """Settings of :class:`LACosmic`; defaults of astroscrappy but for ``noise``."""

    sigclip: Annotated[float, Field(gt=0, le=1000)] = 4.5
    """Laplacian signal to noise above which a pixel is a cosmic ray, in standard deviations."""
    sigfrac: Annotated[float, Field(ge=0, le=1)] = 0.3
    """Limit for neighbors of a cosmic ray, as a fraction of ``sigclip``."""
    objlim: Annotated[float, Field(ge=0, le=1000)] = 5.0
    """Least contrast between Laplacian and fine structure (no unit); raise it where the cores of
    stars are flagged."""
    niter: Annotated[int, Field(ge=1, le=20)] = 4
    """Most iterations."""
    fsmode: Literal["median", "convolve"] = "median"
    """Fine structure from a median filter, or from the PSF (better on undersampled stars)."""
    psf_model: Literal["gauss", "moffat"] = "gauss"
    """Profile for ``fsmode = "convolve"`` where ``psf_fwhm`` is given."""
    psf_fwhm: Annotated[float, Field(ge=0.5, le=50), IN_PIXELS] | None = None
    """FWHM for ``fsmode = "convolve"``, in pixels; none: the PSF of the frame."""
    psf_size: Annotated[int, Field(ge=3, le=101), IN_PIXELS] = 7
    """Side of the kernel for ``fsmode = "convolve"``, in pixels; made odd."""
    psf_beta: Annotated[float, Field(gt=1, le=20)] = 4.765
    """Exponent of the Moffat profile (no unit)."""
    noise: Literal["auto", "detector", "uncertainty", "background"] = "auto"
    """Where the noise of a pixel comes from: gain and read noise, the uncertainty of the frame, or
    the scatter of its background. ``auto`` takes gain and read noise where an option gives one of
    them; else the uncertainty where the frame has one; else gain and read noise where both are
    known; else the background. The choice is among the metrics."""
    gain: Annotated[float, Field(gt=0)] | None = None
    """Electrons per data number; none: of the detector. Refused where the unit is electron."""
    read_noise: Annotated[float, Field(ge=0)] | None = None
    """Read noise in electrons; none: of the detector."""
    sky: Annotated[float, Field(ge=0)] = 0.0
    """Sky level that was subtracted before, in the unit of the frame: its photons make noise."""
    saturation: Annotated[float, Field(gt=0)] | None = None
    """Level at which stars saturate, in the unit of the frame; none: of the detector, or the value
    at which the frame is cut off, where at least 5 pixels share its highest."""
    grow: Annotated[int, Field(ge=0, le=20), IN_PIXELS] = 0
    """Pixels by which the found cosmic rays are widened."""


class LACosmic(Masker):
    """Flags COSMIC_RAY with L.A.Cosmic (van Dokkum 2001, PASP 113, 1420) as in astroscrappy.

    Only the mask is used, so unit and values of the frame cannot change. Pixels that are rejected
    already, or lie far below the sky, are filled with the nearest good one for the search, and not
    flagged.
    """

    sets = MaskPlane.COSMIC_RAY
    Options = LACosmicOptions
    bytes_not_given_back = 1.0  # a pixel that astroscrappy 1.3 examined; the runner counts them

    def needs(self) -> Needs:
        """Return that a PSF is needed, where the fine structure comes from it and none is given."""
        if self.options.fsmode == "convolve" and self.options.psf_fwhm is None:
            return Needs(fields=frozenset({"psf"}))
        return Needs()

    def check_header(self, frame: Frame) -> None:
        """Raise where gain, read noise or unit are needed and not known, or an uncertainty."""
        check_noise(self.options, frame, self.name)

    def scope(self, frame: Frame) -> Scope:
        """Return the reach of all iterations; the sky and the width of stars are surveyed."""
        options = self.options
        # One iteration: noise (median of 7: 3 pixels), Laplacian over noise and its median of 7
        # (3 + 3), or fine structure (5 and 9: 2 + 4) over noise: 6; growth to neighbors twice: 2;
        # cleaning with a box of 5: 2. A kernel replaces the median of 5, after the noise.
        # Before: the mask of saturated stars (median of 7, box of 5 twice): 7.
        # Not local is one value: a hit that fills a box of 5 is cleaned with the frame's median.
        step = 10
        if options.fsmode == "convolve":
            side = options.psf_size
            if options.psf_fwhm is None and frame.psf is not None:
                side = max(frame.psf.shape)
            step = 11 + side // 2
        reach = int(options.niter * step + 7 + options.grow + _VETO_REACH)
        return Scope(reach, survey=FrameSurvey(options, frame))

    def find(self, frame: Frame) -> Mask:
        """Return the cosmic rays.

        Parameters
        ----------
        frame : Frame
            Any unit. Not modified.

        Returns
        -------
        Mask
            COSMIC_RAY; metrics say which noise was used, and how much of it the sky has, in
            the unit of the frame (``noise from ...``).

        Raises
        ------
        StageError
            The noise asked for cannot be told from the frame, or the frame has none, or not the
            PSF that is needed.
        """
        facts: FrameFacts = self.measured(frame)
        bad = ~frame.usable
        if facts.sky.has_empty_zeros:
            bad |= empty_blocks(frame.data)
        # At the edge of a dark pixel the Laplacian is as large as at a hit.
        low = far_below_sky(frame) & ~bad
        bad |= low
        tell_unflagged(low, frame, self.name, AstrocleanWarning)
        settings = self._settings(frame)
        if bad.all():
            return Mask(np.zeros(frame.shape, dtype=np.uint32))
        noise = noise_of(self.options, frame, facts, self.name)
        hits = _hits(frame, bad, noise, settings)
        others = self._others(frame, facts, noise, hits, bad)
        hits &= ~others
        self._tell(frame, facts, noise, flagged=bool(hits.any()))
        if self.options.grow and hits.any():
            hits = _grown(hits, self.options.grow)
        hits &= np.isfinite(frame.data)
        flags = hits * np.uint32(MaskPlane.COSMIC_RAY)
        metrics = {
            **noise.metrics,
            "flags taken back": counted(frame, others),
        }
        if facts.fwhm_pixels is not None:
            metrics["FWHM of point sources (pixels)"] = facts.fwhm_pixels
        return Mask(flags, metrics=metrics)

    def _others(
        self,
        frame: Frame,
        facts: FrameFacts,
        noise: Noise,
        hits: NDArray[np.bool_],
        bad: NDArray[np.bool_],
    ) -> NDArray[np.bool_]:
        """Return the hits that are none: stars, edges of dark pixels, thick objects."""
        if not hits.any():
            return np.zeros(frame.shape, dtype=bool)
        image = frame.data * np.float32(noise.scale)
        variance = noise.variance(image)
        others = beside_dark_pixels(image, variance, hits=hits, bad=bad)
        others |= hits & beside_saturated(frame)
        sources = point_sources_of(self.options, frame, facts)
        if sources is not None:
            others |= explained_by_stars(
                image, variance, candidates=hits & ~others, bad=bad, sources=sources
            )
        return others | thick_groups(hits & ~others)

    def _tell(self, frame: Frame, facts: FrameFacts, noise: Noise, *, flagged: bool) -> None:
        """Warn of noise that contradicts itself, and of frames that the method is not for."""
        where = self.where(frame)
        if noise.doubt:
            warnings.warn(f"{where}: {noise.doubt}", SuspectWarning, stacklevel=2)
        for text, is_doubtful in remarks_of(self.options, frame, facts):
            category = SuspectWarning if is_doubtful and flagged else AstrocleanWarning
            warnings.warn(f"{where}: {text}", category, stacklevel=2)

    def _settings(self, frame: Frame) -> dict[str, Any]:
        """Return the arguments of astroscrappy that concern no noise."""
        options = self.options
        settings = {
            "sigclip": options.sigclip,
            "sigfrac": options.sigfrac,
            "objlim": options.objlim,
            "niter": options.niter,
            "cleantype": "meanmask",
            "fsmode": options.fsmode,
        }
        if options.fsmode == "median":
            return settings
        if options.psf_fwhm is not None:
            return {
                **settings,
                "psfmodel": options.psf_model,
                "psffwhm": options.psf_fwhm,
                "psfsize": options.psf_size | 1,
                "psfbeta": options.psf_beta,
            }
        assert frame.psf is not None  # see `needs`
        # One kernel for the frame, whatever part of it this is.
        stamp = frame.psf.stamps.mean(axis=0)
        # astroscrappy correlates with kernels that it makes itself, and convolves with given ones.
        return {**settings, "psfk": np.ascontiguousarray(stamp[::-1, ::-1], dtype=np.float32)}


def _hits(
    frame: Frame, bad: NDArray[np.bool_], noise: Noise, settings: dict[str, Any]
) -> NDArray[np.bool_]:
    """Run astroscrappy where there is anything to examine."""
    from astroscrappy import detect_cosmics  # noqa: PLC0415 - heavy
    from scipy.ndimage import binary_erosion  # noqa: PLC0415 - heavy

    # astroscrappy widens its mask by one pixel. With 13 % of the pixels flagged, as in STIS, it
    # would so pass over 43 % of the hits; narrowed first, the mask never reaches good pixels.
    inner = binary_erosion(bad, np.ones((3, 3)), border_value=1)
    # A saturated core keeps its height: filled from its flank, the star's own edge would be a hit.
    hidden = bad & ~(frame.where(MaskPlane.SATURATED) & np.isfinite(frame.data))
    image = nearest_filled(frame.data, hidden) * np.float32(noise.scale)
    # It also takes the median of unmasked pixels and must be left one.
    if (image >= noise.settings["satlevel"]).all():
        return np.zeros(frame.shape, dtype=bool)
    # Nor does it find hits at the borders, and it writes beyond arrays of a few pixels.
    rim = _RIM + len(settings.get("psfk", ())) // 2
    planes = {"indat": image, "inmask": inner, **noise.settings}
    padded = {
        name: np.pad(plane, rim, mode="symmetric") if np.ndim(plane) else plane
        for name, plane in planes.items()
    }
    # Each call loses one byte a pixel: `PyDilate5` of astroscrappy 1.3 does not free its buffer.
    found, _ = detect_cosmics(**padded, sepmed=True, **settings)
    hits: NDArray[np.bool_] = np.asarray(found, dtype=bool)[rim:-rim, rim:-rim] & ~bad
    return hits


def _grown(hits: NDArray[np.bool_], radius: int) -> NDArray[np.bool_]:
    from scipy.ndimage import distance_transform_edt  # noqa: PLC0415 - heavy

    grown: NDArray[np.bool_] = distance_transform_edt(~hits) <= radius
    return grown
