"""How objects show themselves to a person: in a notebook, and drawn with matplotlib.

Pictures are a matter of `astroclean.report`, which builds on the core; nothing of it is imported
before something is shown.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from astroclean.core.files import file_function

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["Displayed", "Shown"]


class Shown:
    """An object that a notebook shows as a small table, and a picture where there is one."""

    def _repr_html_(self) -> str:
        html: str = file_function("html_of")(self)
        return html


class Displayed(Shown):
    """An image that can be drawn, too."""

    def plot(
        self,
        ax: Any = None,
        *,
        planes: Any | Iterable[Any] = (),
        sky: bool = False,
        colorbar: bool = True,
    ) -> Any:
        """Draw the image with matplotlib, row 0 at the bottom, stretched as in the report.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            Where to draw; by default axes of a new figure.
        planes : MaskPlane, int, str or iterable of these, optional
            Planes whose pixels are drawn in their colors; by default none.
        sky : bool, optional
            Whether new axes show right ascension and declination in place of pixels.
        colorbar : bool, optional
            Whether values get a scale, in the unit of the image.

        Returns
        -------
        matplotlib.axes.Axes
            The axes, to draw more on them.

        Raises
        ------
        FrameError
            matplotlib is not installed, or the image has no celestial WCS for ``sky``.
        """
        return file_function("plot_frame")(self, ax, planes=planes, sky=sky, colorbar=colorbar)
