"""A frame drawn with matplotlib, which is optional."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from astroclean.core.flags.planes import MaskPlane, parse_planes
from astroclean.errors import FrameError
from astroclean.report.drawing import PLANE_COLORS, SOFTENING, Stretch

if TYPE_CHECKING:
    from astroclean.core.image.frame import Frame

__all__ = ["plot_frame"]

_TICKS = 6
_INSTALL = (
    "pip install 'astroclean[figures]'. A frame at the end of a notebook's cell is shown without it"
)


def plot_frame(frame: Frame, ax: Any, *, planes: Any, sky: bool, colorbar: bool) -> Any:
    """Draw a frame; see :meth:`astroclean.Frame.plot`."""
    try:
        from astropy.visualization.mpl_normalize import ImageNormalize  # noqa: PLC0415
        from matplotlib import pyplot as plt  # noqa: PLC0415 - optional, and slow to import
    except ImportError as error:
        raise FrameError("matplotlib is not installed", remedy=f"{_INSTALL}.") from error
    from astropy.visualization import AsinhStretch  # noqa: PLC0415 - with matplotlib alone

    chosen = parse_planes(planes)
    ax = _new_axes(plt, frame, sky=sky) if ax is None else ax
    stretch = Stretch.of(frame.data, frame.usable)
    norm = ImageNormalize(
        vmin=stretch.low, vmax=stretch.high, stretch=AsinhStretch(SOFTENING), clip=True
    )
    image = ax.imshow(frame.data, origin="lower", cmap="gray", norm=norm, interpolation="nearest")
    for plane in MaskPlane:
        if plane & chosen:
            colors = np.zeros((*frame.shape, 4), dtype=np.uint8)
            color = bytes.fromhex(PLANE_COLORS[str(plane.name)][1:])
            colors[frame.where(plane)] = (*color, 200)
            ax.imshow(colors, origin="lower", interpolation="nearest")
    if colorbar:
        bar = ax.figure.colorbar(image, ax=ax, label=str(frame.unit))
        # Equal steps of brightness, not of value: the latter's labels overlap at the bright end.
        values = norm.inverse(np.linspace(0, 1, _TICKS))
        bar.set_ticks(values, labels=[f"{value:.4g}" for value in values])
    ax.set_title(frame.frame_id)
    return ax


def _new_axes(plt: Any, frame: Frame, *, sky: bool) -> Any:
    if not sky:
        ax = plt.subplots()[1]
        ax.set(xlabel="x (pixel)", ylabel="y (pixel)")
        return ax
    if frame.wcs is None or not frame.wcs.has_celestial:
        raise FrameError("has no celestial WCS to draw", where=frame.frame_id)
    ax = plt.subplots(subplot_kw={"projection": frame.wcs.celestial})[1]
    ax.set(xlabel="right ascension", ylabel="declination")
    return ax
