"""What reads, writes and shows for the vocabulary, which itself knows no format and no picture.

`Frame.read` is a method of the core, and files are a matter of `astroclean.io`, which builds on the
core. So the package, which knows both, tells here who does it; nothing of it is imported before the
first file is read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["file_function", "register_files"]

_FUNCTIONS: dict[str, Callable[[], Callable[..., Any]]] = {}


def register_files(functions: dict[str, Callable[[], Callable[..., Any]]]) -> None:
    """Tell who reads, writes and shows.

    Parameters
    ----------
    functions : dict of str to callable
        ``read_frame``, ``write_frame``, ``read_psf``, ``read_sources``, ``html_of``,
        ``plot_frame`` to what imports and returns the function.
    """
    _FUNCTIONS.update(functions)


def file_function(name: str) -> Callable[..., Any]:
    """Return the function that was registered under a name."""
    return _FUNCTIONS[name]()
