"""Layers as HDUs: the image, its uncertainty and its PSF, each with what is its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from astropy.io import fits

from astroclean.core.psf.beam import beam_cards
from astroclean.core.psf.equality import is_same_psf
from astroclean.core.psf.stamp import FINER
from astroclean.io.header.wcs_cards import wcs_cards_of
from astroclean.io.products.names import LAYER_KEYWORD, OWNER_KEYWORD, WRITER_KEYWORD

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from astroclean.core.image.layer import Layer
    from astroclean.core.psf.psf import Psf

__all__ = [
    "FINE_PSF",
    "OF_PLANE",
    "PSF",
    "SIDES",
    "UNCERTAINTY",
    "NewImage",
    "layer_images",
    "layer_names",
]

UNCERTAINTY, PSF, FINE_PSF = "_UNCERT", "_PSF", "_PSF_FINE"
"""Ends of the names of HDUs that belong to a layer."""
OF_PLANE = "ACPL"
"""Card, with the number of an image of a PSF: the plane of a cube that has it."""
_OF_BEAM = {
    "BMAJ": "[deg] FWHM of the beam, longer axis",
    "BMIN": "[deg] FWHM of the beam, shorter axis",
    "BPA": "[deg] its position angle",
}
_OF_VALUES = {
    "BMAJ": "beam that BUNIT refers to, longer axis (deg)",
    "BMIN": "beam that BUNIT refers to, shorter axis (deg)",
    "BPA": "beam that BUNIT refers to, position angle (deg)",
}
"""Where values refer to another beam than the image is seen with."""
SIDES = "ACNY", "ACNX"
"""Cards of the size of such an image."""


@dataclass(frozen=True, eq=False)
class NewImage:
    """An HDU that is not of the input."""

    name: str
    """EXTNAME."""
    planes: Sequence[Any]
    """Arrays or `RowStore`: one, or all planes of a cube."""
    header: fits.Header
    """Further cards."""


def layer_names(name: str) -> set[str]:
    """Return the names of all HDUs that a layer may have."""
    return {name, *(f"{name}{end}" for end in (UNCERTAINTY, PSF, FINE_PSF))}


def layer_images(
    name: str, layers: Sequence[Layer], common: fits.Header, history: Sequence[str] = ()
) -> Iterator[NewImage]:
    """Yield the HDUs of a layer.

    Parameters
    ----------
    name : str
        Of the layer.
    layers : sequence of Layer
        That of the frame, or of each plane of a cube.
    common : Header
        Cards that all HDUs of the science image have in common, its WCS among them.
    history : sequence of str
        Text of HISTORY cards.

    Yields
    ------
    NewImage
        The image; its uncertainty where it has one; its PSF where it has its own.
    """
    first = layers[0]
    header = _cards(name, first, common)
    image = header.copy()
    for line in history:
        image.add_history(line)
    yield NewImage(name, [layer.data for layer in layers], image)
    deviations = [layer.uncertainty for layer in layers if layer.uncertainty is not None]
    if len(deviations) == len(layers):
        header["ACERR"] = ("STDDEV", f"standard deviation of {name}")
        yield NewImage(f"{name}{UNCERTAINTY}", deviations, header)
    psfs = [layer.psf for layer in layers]
    if any(psf is not None for psf in psfs):
        yield from _psf_images(name, psfs, common)


def _cards(name: str, layer: Layer, common: fits.Header) -> fits.Header:
    header = common.copy()
    header[LAYER_KEYWORD] = (name, "layer of this HDU")
    if layer.grid is not None and not layer.grid.is_frame:
        # The input's would contradict them: CD beside PC, SIP of other pixels.
        for keyword in {card.keyword for card in wcs_cards_of(common, lookups=True).cards}:
            header.remove(keyword, ignore_missing=True, remove_all=True)
        if layer.grid.wcs is not None:
            header.extend(layer.grid.wcs.to_header(relax=True), useblanks=False)
        if layer.grid.step != 1:
            header["ACSTEP"] = (layer.grid.step, "side of a pixel in pixels of the science image")
        for axis, first in ((1, layer.grid.origin[1]), (2, layer.grid.origin[0])):
            header[f"ACORIG{axis}"] = (first, "outer corner in pixels of the science image")
    unit = "" if layer.unit is None else layer.unit.to_string()
    if unit:
        header["BUNIT"] = unit
    kept = layer.beam is not None
    beam = layer.beam if kept else beam_cards(layer.unit, layer.psf, layer.grid)
    for keyword, value in (beam or {}).items():
        header[keyword] = (value, (_OF_VALUES if kept else _OF_BEAM)[keyword])
    return header


def _psf_images(name: str, psfs: Sequence[Psf | None], common: fits.Header) -> Iterator[NewImage]:
    """Yield the PSF on the pixels of the layer, and between them where that was measured.

    Planes of a cube that have the same share it; where they differ, cards tell whose each image is.
    """
    known: dict[int | None, Psf] = {n: psf for n, psf in enumerate(psfs) if psf is not None}
    first = next(iter(known.values()))
    shared = len(known) == len(psfs) and all(is_same_psf(psf, first) for psf in known.values())
    told = f", FWHM {first.fwhm_pixels:.3f} px" if shared else " of each plane"
    header = fits.Header()
    for keyword in ("EXTVER", OWNER_KEYWORD, WRITER_KEYWORD):
        header.append(common.cards[keyword])
    header[LAYER_KEYWORD] = (name, f"layer of which this is the PSF{told}")
    of_planes: dict[int | None, Psf] = {None: first} if shared else known
    yield _joined(
        f"{name}{PSF}", {n: psf.stamps for n, psf in of_planes.items()}, of_planes, header
    )
    fine = {n: psf.measured_fine for n, psf in of_planes.items() if psf.measured_fine is not None}
    if fine:
        image = _joined(f"{name}{FINE_PSF}", fine, of_planes, header)
        image.header["ACFINER"] = (
            FINER,
            "samples along a pixel, each integrated over a whole pixel",
        )
        yield image


def _joined(
    name: str,
    images: Mapping[int | None, NDArray[np.float64]],
    psfs: Mapping[int | None, Psf],
    common: fits.Header,
) -> NewImage:
    """Return one HDU of the images of the PSFs of all planes; None stands for all planes."""
    header, joined = common.copy(), list[Any]()
    side = np.max([stack.shape[1:] for stack in images.values()], axis=0)
    for plane, stack in images.items():
        places = psfs[plane].positions
        for index, image in enumerate(stack):
            number = len(joined)
            if places is not None:
                x, y = places[index]
                header[f"DET_YX{number}"] = (f"({y:.6g}, {x:.6g})", "position of this plane")
            if plane is not None:
                header[f"{OF_PLANE}{number}"] = (plane, "plane of the layer whose PSF this is")
                for card, count in zip(SIDES, image.shape, strict=True):
                    header[f"{card}{number}"] = (count, "pixels of it along y, x; zeros around")
            joined.append(np.pad(image, [(n, n) for n in (side - image.shape) // 2]))
    return NewImage(name, joined, header)
