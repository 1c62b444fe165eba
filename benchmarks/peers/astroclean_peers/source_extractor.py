"""`peer-sourceextractor`: the program SourceExtractor (Bertin & Arnouts 1996) as a plugin."""

from __future__ import annotations

import math
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from astroclean_classical.sources.catalogue import make_sources
from astropy.io import fits
from pydantic import Field

from astroclean.core.image.layer import BACKGROUND, LayerSpec
from astroclean.core.image.uncertainty import deviation_of
from astroclean.core.stage.kinds.deblend import Deblender
from astroclean.core.stage.options import StageOptions
from astroclean.core.stage.results import Separation
from astroclean.errors import StageError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from astroclean.core.image.frame import Frame

__all__ = ["SourceExtractor", "SourceExtractorOptions"]

_PROGRAMS = ("source-extractor", "sex")
_SHARED = Path("/usr/share/source-extractor")
# Of a pixel that must not be read; SourceExtractor leaves out what is beyond WEIGHT_THRESH.
_UNUSABLE = 1e30
# Name in the catalogue of the program for each of our columns.
_COLUMNS = {
    "id": "NUMBER",
    "x": "X_IMAGE",
    "y": "Y_IMAGE",
    "flux": "FLUX_ISO",
    "flux_err": "FLUXERR_ISO",
    "flux_auto": "FLUX_AUTO",
    "flux_auto_err": "FLUXERR_AUTO",
    "peak": "FLUX_MAX",
    "a": "A_IMAGE",
    "b": "B_IMAGE",
    "theta": "THETA_IMAGE",
    "kron_radius": "KRON_RADIUS",
    "npix": "ISOAREA_IMAGE",
    "flag": "FLAGS",
}


class SourceExtractorOptions(StageOptions):
    """Settings of :class:`SourceExtractor`; defaults of its own ``default.sex``."""

    thresh: Annotated[float, Field(gt=0, le=1000)] = 1.5
    """DETECT_THRESH, in standard deviations of the noise."""
    minarea: Annotated[int, Field(ge=1, le=100000)] = 5
    """DETECT_MINAREA, in pixels."""
    deblend_nthresh: Annotated[int, Field(ge=1, le=64)] = 32
    """DEBLEND_NTHRESH."""
    deblend_cont: Annotated[float, Field(ge=0, le=1)] = 0.005
    """DEBLEND_MINCONT (no unit)."""
    filter: str = "default"
    """FILTER_NAME without its suffix, of the kernels that come with the program."""
    back_size: Annotated[int, Field(ge=4, le=10000)] = 64
    """BACK_SIZE, in pixels."""
    noise: Literal["background", "uncertainty"] = "background"
    """The program's own map of the noise, or the uncertainty of the frame as MAP_RMS."""


class SourceExtractor(Deblender):
    """Finds and deblends sources in a process of its own; product BACKGROUND."""

    Options = SourceExtractorOptions

    def layers(self) -> tuple[LayerSpec, ...]:
        """Return the sky, beside the layers of the kind."""
        return (*super().layers(), BACKGROUND)

    def separate(self, frame: Frame) -> Separation:
        """Return catalogue and segmentation, with the columns of the plugin ``sep``.

        Raises
        ------
        StageError
            The program is not installed, or it failed.
        """
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            settings = {**self._settings(), **_write_input(frame, self.options.noise, folder)}
            _run(settings, folder, where=f"{frame.frame_id}, stage '{self.name}'")
            table = fits.getdata(folder / "catalogue.fits", 1)
            segmentation = fits.getdata(folder / "segmentation.fits").astype(np.int32)
            background = fits.getdata(folder / "background.fits").astype(np.float32)
        sources = make_sources(frame, _columns(table), segmentation)
        return Separation(sources, layers={"BACKGROUND": background})

    def _settings(self) -> dict[str, Any]:
        options = self.options
        return {
            "DETECT_THRESH": options.thresh,
            "ANALYSIS_THRESH": options.thresh,
            "DETECT_MINAREA": options.minarea,
            "DEBLEND_NTHRESH": options.deblend_nthresh,
            "DEBLEND_MINCONT": options.deblend_cont,
            "BACK_SIZE": options.back_size,
            "FILTER_NAME": _SHARED / f"{options.filter}.conv",
        }


def _write_input(frame: Frame, noise: str, folder: Path) -> dict[str, Any]:
    """Write the image and, where one is needed, the map of the noise; return their settings."""
    bad = ~frame.usable
    fits.writeto(folder / "image.fits", np.where(bad, np.float32(0), frame.data))
    deviation = deviation_of(frame.uncertainty) if noise == "uncertainty" else None
    if deviation is None and not bad.any():
        return {"WEIGHT_TYPE": "NONE"}
    if deviation is None:
        fits.writeto(folder / "weight.fits", (~bad).astype(np.float32))
        return {"WEIGHT_TYPE": "MAP_WEIGHT", "WEIGHT_IMAGE": folder / "weight.fits"}
    usable = np.isfinite(deviation) & (deviation > 0) & ~bad
    fits.writeto(folder / "weight.fits", np.where(usable, deviation, np.float32(_UNUSABLE)))
    return {"WEIGHT_TYPE": "MAP_RMS", "WEIGHT_IMAGE": folder / "weight.fits"}


def _run(settings: dict[str, Any], folder: Path, *, where: str) -> None:
    program = next(filter(None, map(shutil.which, _PROGRAMS)), None)
    if program is None:
        raise StageError(
            "SourceExtractor is not installed",
            where=where,
            remedy="Install Debian's package `source-extractor`.",
        )
    (folder / "columns.param").write_text("\n".join(_COLUMNS.values()) + "\n", "ascii")
    settings = {
        **settings,
        "CATALOG_NAME": folder / "catalogue.fits",
        "CATALOG_TYPE": "FITS_1.0",
        "PARAMETERS_NAME": folder / "columns.param",
        "CHECKIMAGE_TYPE": "SEGMENTATION,BACKGROUND",
        "CHECKIMAGE_NAME": f"{folder}/segmentation.fits,{folder}/background.fits",
        "VERBOSE_TYPE": "QUIET",
    }
    arguments = [text for key, value in settings.items() for text in (f"-{key}", str(value))]
    command = [program, str(folder / "image.fits"), "-c", str(_SHARED / "default.sex"), *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        raise StageError(f"SourceExtractor failed: {done.stderr.strip()[-500:]}", where=where)


def _columns(table: Any) -> dict[str, NDArray[Any]]:
    columns = {ours: np.asarray(table[theirs]) for ours, theirs in _COLUMNS.items()}
    # FITS counts pixels from 1.
    columns["x"], columns["y"] = columns["x"] - 1.0, columns["y"] - 1.0
    moments = columns["a"].astype(float) ** 2 + columns["b"].astype(float) ** 2
    columns["fwhm"] = 2 * np.sqrt(math.log(2) * moments)
    return columns
