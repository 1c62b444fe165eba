"""Write ``x_mask.fits``: a mask in another pipeline's convention, and what its values mean."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from astropy.io import fits

from astroclean import __version__
from astroclean.core.flags.convention_cards import convention_cards, convention_table
from astroclean.io.fits.encode import encode_hdu
from astroclean.io.fits.images import own_primary, write_image
from astroclean.io.frames.quality import MASK_KEYWORD
from astroclean.io.products.groups import by_science, common_cards
from astroclean.io.products.names import WRITER_KEYWORD
from astroclean.io.scratch.rowstore import mapped

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from astroclean.core.flags.conventions import Convention
    from astroclean.core.flags.planes import MaskPlane
    from astroclean.io.fits.source import FitsSource
    from astroclean.io.products.output import FrameOutput

__all__ = ["DICTIONARY", "write_mask"]

DICTIONARY = "DQ_DEF"
"""EXTNAME of the table of values, as reference files of JWST and Roman name it."""


def write_mask(
    source: FitsSource,
    outputs: Sequence[FrameOutput],
    target: BinaryIO,
    *,
    convention: Convention,
    reject: MaskPlane,
) -> None:
    """Write one integer mask per science HDU in another pipeline's convention, and its dictionary.

    Each ``MASK`` has the cards of `astroclean.core.flags.convention_cards`, and a table ``DQ_DEF``
    follows with the same.

    Parameters
    ----------
    source, outputs, target
        As for `astroclean.io.products.write.write_clean`.
    convention : Convention
        The encoding.
    reject : MaskPlane
        Planes that make a pixel unusable.
    """
    target.write(own_primary())
    highest = max(row.value for row in convention.values)
    total = (
        sum(row.value for row in convention.values) if convention.encoding == "bits" else highest
    )
    # By the convention, not by what occurs, so that every file has the same type.
    types = (np.int16, np.int32, np.uint32)
    stored = next(kind for kind in types if total <= np.iinfo(kind).max)

    def translated(flags: NDArray[Any]) -> NDArray[Any]:
        return convention.from_planes(flags, reject=reject).astype(stored)

    for group in by_science(outputs).values():
        header = common_cards(source, group[0], lookups=False)
        header[MASK_KEYWORD] = (convention.name, "convention of the values")
        header.extend(convention_cards(convention), strip=False)
        planes = [mapped(o.flags, translated) for o in group]
        shape = (*group[0].slot.science.shape[:-2], *planes[0].shape)
        write_image("MASK", planes, header, target, shape=shape, packed=False)
    target.write(encode_hdu(_dictionary(convention)))


def _dictionary(convention: Convention) -> fits.BinTableHDU:
    """Return the table that tells people and programs what the values mean."""
    hdu = fits.table_to_hdu(convention_table(convention))
    hdu.name = DICTIONARY
    hdu.header[WRITER_KEYWORD] = (__version__, "version of astroclean")
    hdu.header[MASK_KEYWORD] = (convention.name, "convention of the values")
    good = (convention.good, "value of a pixel of which nothing is said")
    hdu.header["ACGOOD"] = good
    return hdu
