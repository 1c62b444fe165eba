"""Read the files that options name."""

from __future__ import annotations

import errno
import hashlib
import warnings
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from astroclean.core.regular import open_regular, user_path
from astroclean.core.stage.resources import IN_MEMORY, ImageHdu, Resource
from astroclean.errors import FitsReadError
from astroclean.io.frames.stored import found_files, stored_frames
from astroclean.io.products.catalog_check import check_catalogue

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from astropy.table import Table

    from astroclean.core.stage.options import StageOptions

__all__ = ["file_digest", "load_resource", "load_resources", "read_table", "with_known_units"]

_PLANE = 2


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file's bytes as hexadecimal text."""
    with open_regular(path) as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def load_resources(options: StageOptions, *, base: Path, stem: str | None = None) -> StageOptions:
    """Return options whose resources have been read.

    Parameters
    ----------
    options : StageOptions
        Validated options.
    base : Path
        Folder to which relative paths refer.
    stem : str, optional
        Stem of the input file, for ``{stem}``. Without it, resources that differ from file to
        file stay unread.

    Returns
    -------
    StageOptions
        New options; the given ones when there was nothing to read.
    """
    read = {
        name: load_resource(resource, base=base, stem=stem)
        for name, resource in options.resources().items()
        if stem is not None or not resource.is_per_file
    }
    return options.model_copy(update=read) if read else options


def load_resource(resource: Resource, *, base: Path, stem: str | None = None) -> Resource:
    """Read the file that a resource names.

    Parameters
    ----------
    resource : Resource
        As validated.
    base, stem
        As for :func:`load_resources`.

    Returns
    -------
    Resource
        With content and digest.

    Raises
    ------
    FitsReadError
        The file does not exist or cannot be read in its format. One for each input, of a type that
        a file may lack, is read as nothing where it does not exist.
    """
    if resource.path == IN_MEMORY or resource.content is not None:
        return resource
    texts = [path.replace("{stem}", stem or "{stem}") for path in resource.paths]
    if resource.format == "frames":
        files = [file for text in texts for file in found_files(text, base=base)]
        digests = {file: _digest(file) for file in dict.fromkeys(files)}
        content: Any = stored_frames(tuple(digests))
        named = "\n".join(f"{digest} {file.name}" for file, digest in digests.items())
        digest = hashlib.sha256(named.encode("utf-8", "surrogateescape")).hexdigest()
        return replace(resource, content=content, digest=digest)
    path = base / user_path(texts[0])
    may_lack = resource.is_per_file and resource.absent is not None
    digest = _digest(path, may_lack=may_lack)
    if not digest:
        return replace(resource, content=resource.absent, file=str(path))
    return replace(resource, content=_READERS[resource.format](path), digest=digest)


def _digest(path: Path, *, may_lack: bool = False) -> str:
    """Return the digest of a file; nothing of one that does not exist and need not."""
    try:
        return file_digest(path)
    except OSError as error:
        missing = error.errno in (errno.ENOENT, errno.ENOTDIR)
        if missing and may_lack:
            return ""
        raise FitsReadError(
            "no such file" if missing else f"cannot be read: {error.strerror}",
            where=str(path),
            remedy="Check the option's path.",
        ) from error


def _read_images(path: Path) -> tuple[ImageHdu, ...]:
    from astroclean.io.fits.source import open_fits  # noqa: PLC0415 - astropy.io.fits on use

    with open_fits(path) as hdus:
        images = tuple(
            ImageHdu(str(hdu.name).strip().upper(), int(hdu.ver), np.array(hdu.data))
            for hdu in hdus
            if hdu.is_image and len(hdu.shape) == _PLANE and 0 not in hdu.shape
        )
    if not images:
        raise FitsReadError("has no two-dimensional image", where=str(path))
    return images


def read_table(path: Path) -> Table:
    """Read a catalogue of any format that is understood.

    Raises
    ------
    FitsReadError
        It is damaged, or in none of these formats.
    """
    if path.suffix.lower() == ".reg":
        from astroclean.io.products.regions import read_regions  # noqa: PLC0415 - rarely needed

        return read_regions(path)
    import astropy.units as u  # noqa: PLC0415 - heavy
    from astropy.table import QTable  # noqa: PLC0415 - heavy

    try:
        check_catalogue(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", u.UnitsWarning)
            return with_known_units(QTable.read(path))
    except FitsReadError:
        raise
    except Exception as error:  # every format raises errors of its own
        raise FitsReadError(
            f"cannot be read as a table: {error}",
            where=str(path),
            remedy="ECSV, CSV, FITS tables, VOTables and DS9 regions (.reg) are understood.",
        ) from error


def with_known_units(table: Table) -> Table:
    """Give columns the units that the field knows and the reader of their format does not."""
    from astroclean.io.header.units import parsed_unit  # noqa: PLC0415 - astropy on use

    for name in table.colnames:
        unit = getattr(table[name], "unit", None)
        # The reader of VOTables makes an unknown unit of the name of one that astropy knows.
        meant = parsed_unit(str(unit)) if unit is not None else None
        if meant is not None and meant != unit:
            table[name] = type(table[name])(table[name].value, meant)
    return table


def _read_drawn(path: Path) -> tuple[Any, ...]:
    from astroclean.io.products.regions import read_shapes  # noqa: PLC0415 - rarely needed

    return read_shapes(path)


_READERS: dict[str, Callable[[Path], Any]] = {
    "image": _read_images,
    "table": read_table,
    "regions": _read_drawn,
}
