"""`astroclean --version`: what is installed, from metadata alone."""

from __future__ import annotations

import argparse
import platform
from importlib import metadata
from typing import TYPE_CHECKING, Any

from astroclean import __version__

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["PrintVersions", "plugin_versions", "version_of"]

_LIBRARIES = ("numpy", "astropy")


class PrintVersions(argparse.Action):
    """Print the versions and end; the first line is ``astroclean`` and its version."""

    def __init__(self, option_strings: Sequence[str], dest: str, **settings: Any) -> None:
        super().__init__(option_strings, dest, nargs=0, default=argparse.SUPPRESS, **settings)

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,  # noqa: ARG002 - argparse's signature
        values: object,  # noqa: ARG002
        option_string: str | None = None,  # noqa: ARG002
    ) -> None:
        """Print and end."""
        print(f"astroclean {__version__}")
        for distribution, (version, plugins) in plugin_versions().items():
            print(f"{distribution} {version}: {', '.join(plugins)}")
        told = ", ".join(f"{name} {version_of(name) or 'not installed'}" for name in _LIBRARIES)
        print(f"Python {platform.python_version()}, {told}")
        parser.exit()


def plugin_versions() -> dict[str, tuple[str, list[str]]]:
    """Return the distributions that offer plugins.

    Returns
    -------
    dict of str to (str, list of str)
        Name, sorted, to version and the names of its plugins. None of them is imported.
    """
    from astroclean.core.sources.points import point_names  # noqa: PLC0415 - beside its use

    groups = [f"astroclean.{kind}" for kind in point_names("astroclean.kinds")]
    points = [p for group in groups for p in metadata.entry_points(group=group) if p.dist]
    versions = {p.dist.name: p.dist.version for p in points if p.dist}
    return {
        name: (versions[name], sorted({p.name for p in points if p.dist and p.dist.name == name}))
        for name in sorted(versions)
    }


def version_of(distribution: str) -> str | None:
    """Return the version of a distribution; None where it is not installed."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None
