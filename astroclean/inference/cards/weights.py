"""Find weights, check them, import them. Nothing here downloads."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import sys
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from astroclean.core.sources.points import point_names
from astroclean.core.suggest import did_you_mean
from astroclean.errors import PluginError, PluginLoadError, PluginNotFoundError

if TYPE_CHECKING:
    from astroclean.inference.cards.card import NetworkCard

__all__ = [
    "MissingWeightsError",
    "WrongWeightsError",
    "card_digest",
    "digest_of",
    "find_weights",
    "import_weights",
    "importer_names",
    "is_imported",
    "need_once",
    "own_weights_folder",
    "published_folder",
    "weights_folders",
]

WEIGHTS_GROUP = "astroclean.weights"
_VARIABLE = "ASTROCLEAN_WEIGHTS"


class MissingWeightsError(PluginError):
    """The weights of a network are in none of the folders."""


class WrongWeightsError(PluginError):
    """A file of weights is not the one that its card describes."""


def own_weights_folder() -> Path:
    """Return the folder for imported weights.

    Returns
    -------
    Path
        The first folder of ``$ASTROCLEAN_WEIGHTS``, else ``astroclean/weights`` in the user's
        cache folder. It need not exist.
    """
    named = [part for part in os.environ.get(_VARIABLE, "").split(os.pathsep) if part]
    return Path(named[0]) if named else _cache_folder() / "astroclean" / "weights"


def _cache_folder() -> Path:
    if "XDG_CACHE_HOME" in os.environ:
        return Path(os.environ["XDG_CACHE_HOME"])
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData" / "Local"))
    return Path.home() / ("Library/Caches" if sys.platform == "darwin" else ".cache")


def weights_folders(card: NetworkCard) -> tuple[Path, ...]:
    """Return where the weights of a card are looked for, first match wins.

    Parameters
    ----------
    card : NetworkCard
        The network.

    Returns
    -------
    tuple of Path
        ``weights`` beside the card, the card's own folder, then each folder of
        ``$ASTROCLEAN_WEIGHTS``, or the user's cache folder where that is not set.
    """
    named = [Path(part) for part in os.environ.get(_VARIABLE, "").split(os.pathsep) if part]
    return (card.folder / "weights", card.folder, *(named or [own_weights_folder()]))


def digest_of(path: Path) -> str:
    """Return the SHA-256 of a file, as 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def card_digest(card: Path) -> str:
    """Return the SHA-256 of a card and of the tables beside it.

    A changed threshold, prior, calibration or normalization changes what comes out as much as
    other weights do.

    Parameters
    ----------
    card : Path
        ``NAME.card.toml``; ``NAME.classes.toml`` and other tables of that name count, too.

    Returns
    -------
    str
        64 hexadecimal digits.
    """
    name = card.name.removesuffix(".card.toml")
    digest = hashlib.sha256()
    for path in sorted({card, *card.parent.glob(f"{name}.*.toml")}):
        digest.update(f"{path.name}\n{digest_of(path)}\n".encode())
    return digest.hexdigest()


def find_weights(card: NetworkCard) -> Path:
    """Return the file of weights, checked byte for byte.

    Parameters
    ----------
    card : NetworkCard
        The network.

    Returns
    -------
    Path
        An existing file with the card's SHA-256.

    Raises
    ------
    MissingWeightsError
        In none of the folders; the message names file, hash, folders and what to do.
    WrongWeightsError
        The first file of that name has another hash. Others are not tried: which weights a run
        uses must not depend on a damaged file.
    """
    folders = weights_folders(card)
    for folder in folders:
        path = folder / card.weights.file
        if path.is_file():
            digest = digest_of(path)
            if digest != card.weights.sha256:
                raise WrongWeightsError(
                    f"not the weights of network '{card.name}': SHA-256 must be "
                    f"{card.weights.sha256}, {card.weights.size} bytes",
                    where=str(path),
                    received=f"{digest}, {path.stat().st_size} bytes",
                    remedy="Remove the file and install or import the weights again.",
                )
            return path
    raise MissingWeightsError(
        f"weights '{card.weights.file}' (SHA-256 {card.weights.sha256}) are in none of "
        f"{', '.join(str(folder) for folder in folders)}",
        where=f"network '{card.name}'",
        remedy=_remedy(card),
    )


def is_imported(card: NetworkCard) -> bool:
    """Whether the weights are others' that a user imports: nothing else needs them."""
    return (card.importer or card.name) in importer_names()


def _remedy(card: NetworkCard) -> str:
    if is_imported(card):
        return f"Run `astroclean weights import {card.importer or card.name}`."
    return f"Reinstall the plugin, or put the file into a folder named by ${_VARIABLE}."


def importer_names() -> tuple[str, ...]:
    """Return the names for which weights can be imported; imports nothing."""
    return point_names(WEIGHTS_GROUP)


def import_weights(name: str, folder: Path) -> list[Path]:
    """Convert published weights that the user has into astroclean's form.

    Parameters
    ----------
    name : str
        Entry point of group ``astroclean.weights``: a function of the target folder that returns
        the files which it wrote there.
    folder : Path
        Target; made where missing.

    Returns
    -------
    list of Path
        The files.

    Raises
    ------
    PluginNotFoundError
        Nobody offers that.
    PluginLoadError
        The plugin's function could not be imported, failed, or names files that are not there.
    """
    points = {point.name: point for point in metadata.entry_points(group=WEIGHTS_GROUP)}
    if name not in points:
        raise PluginNotFoundError(
            f"no installed plugin imports weights '{name}'",
            remedy=did_you_mean(name, points) or "None can be imported.",
        )
    where = f"import of weights '{name}'"
    try:
        importer = points[name].load()
        folder.mkdir(parents=True, exist_ok=True)
        files = [Path(path) for path in importer(folder)]
    except PluginError:
        raise
    except Exception as error:  # a plugin may raise anything
        raise PluginLoadError(f"{type(error).__name__}: {error}", where=where) from error
    lost = [str(path) for path in files if not path.is_file()]
    if lost:
        raise PluginLoadError("names files that it did not write", where=where, received=lost)
    return files


def published_folder(package: tuple[str, str], inside: str, *, importer: str) -> Path:
    """Return a folder of a package that brings published weights; none of its code is run.

    Parameters
    ----------
    package : (str, str)
        Name and version of the distribution.
    inside : str
        Folder in it.
    importer : str
        Name of the import, for the error.

    Returns
    -------
    Path
        An existing folder.

    Raises
    ------
    PluginError
        The package is not installed in this version.
    """
    name, version = package
    try:
        found = metadata.distribution(name)
    except metadata.PackageNotFoundError:
        found = None
    folder = None if found is None else Path(str(found.locate_file(inside)))
    if found is None or folder is None or found.version != version or not folder.is_dir():
        raise PluginError(
            f"the published weights are taken from the package {name} {version}, "
            "which is not installed",
            where=f"import of weights '{importer}'",
            received=found and f"version {found.version}",
            remedy=f"`pip install {name}=={version}`; afterwards it can be removed.",
        )
    return folder


def need_once(libraries: tuple[str, ...], *, importer: str, remedy: str) -> None:
    """Raise where a library is missing that only an import of weights needs.

    Parameters
    ----------
    libraries : tuple of str
        Top-level modules.
    importer : str
        Name of the import, for the error.
    remedy : str
        What to do.

    Raises
    ------
    PluginError
        The first that is missing.
    """
    for library in libraries:
        if importlib.util.find_spec(library) is None:
            raise PluginError(
                f"{library} is needed once, to read the published weights and write them anew",
                where=f"import of weights '{importer}'",
                remedy=remedy,
            )
