"""Write the segmentation of a file: which pixels are those of which source of its catalogue."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from astroclean.core.image.layer import Layer
from astroclean.core.stage.kinds.deblend import SEGMENTATION
from astroclean.io.fits.images import own_primary, write_image
from astroclean.io.products.groups import by_science, common_cards, history_of
from astroclean.io.products.layers import layer_images
from astroclean.io.scratch.rowstore import mapped

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import BinaryIO

    from numpy.typing import NDArray

    from astroclean.core.sources.sources import Sources
    from astroclean.io.fits.source import FitsSource
    from astroclean.io.products.output import FrameOutput

__all__ = ["listed_labels", "write_segmentation"]


def write_segmentation(
    source: FitsSource, found: Sequence[tuple[FrameOutput, Sources]], target: BinaryIO
) -> None:
    """Write one image of labels for each science HDU.

    Parameters
    ----------
    source : FitsSource
        The input, open.
    found : sequence of (FrameOutput, Sources)
        Frames whose sources have a segmentation, in order.
    target : BinaryIO
        Where to write: HDUs ``SEGMENTATION``, int32, each with the WCS of its pixels. A label is
        the ``id`` of a source in the catalogue; 0 is all else.
    """
    target.write(own_primary())
    sources = {id(output): given for output, given in found}
    for group in by_science([output for output, _ in found]).values():
        layers = [_layer(sources[id(output)]) for output in group]
        header = common_cards(source, group[0], lookups=False)
        for image in layer_images(SEGMENTATION.name, layers, header, history_of(group)):
            shape = image.planes[0].shape
            axes = (len(image.planes),) if len(image.planes) > 1 else ()
            write_image(
                image.name,
                image.planes,
                image.header,
                target,
                shape=(*axes, *shape),
                packed=False,
            )


def _layer(sources: Sources) -> Layer:
    return Layer(listed_labels(sources), sources.grid, None, declared=SEGMENTATION)


def listed_labels(sources: Sources) -> Any:
    """Return the segmentation of sources with the labels alone that are ids of the catalogue.

    A later stage may have dropped sources from it.

    Parameters
    ----------
    sources : Sources
        With a segmentation, which may be a `RowStore`. Not modified.

    Returns
    -------
    (ny, nx) int32 array or RowStore
        0 where there is no source of the catalogue.
    """
    ids = np.asarray(sources.table["id"])

    def listed(labels: NDArray[Any]) -> NDArray[np.int32]:
        return np.where(np.isin(labels, ids), labels, 0).astype(np.int32)

    return mapped(sources.segmentation, listed)
