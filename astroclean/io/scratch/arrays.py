"""Arrays with a tree of plain values in one file, without pickle: what is read runs no code."""

from __future__ import annotations

import json
import os
import stat
import zipfile
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from astroclean.errors import FitsReadError, FitsWriteError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = ["open_regular", "read_arrays", "write_arrays"]

_TREE = "tree"
_KINDS = "biufcSU"  # of dtypes that need no pickle


def open_regular(path: Path) -> BinaryIO:
    """Open a file for reading that is neither a link nor a pipe, socket or device.

    Parameters
    ----------
    path : Path
        The file.

    Returns
    -------
    BinaryIO
        To be closed by the caller.

    Raises
    ------
    OSError
        It is not there, or no regular file.
    """
    # Opening a pipe would wait for its other end.
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise OSError(f"{path} is no regular file")
    return os.fdopen(handle, "rb")


def write_arrays(target: BinaryIO, tree: Any, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write arrays and values.

    Parameters
    ----------
    target : BinaryIO
        Where to write.
    tree : object
        Dictionaries, lists, text, numbers, None: what JSON holds, and NaN.
    arrays : mapping of str to array
        Numbers, booleans or text of any shape.

    Raises
    ------
    FitsWriteError
        An array holds Python objects.
    """
    for name, array in arrays.items():
        if np.asarray(array).dtype.kind not in _KINDS:
            raise FitsWriteError(
                "holds Python objects, which are not saved", where=name, received=array.dtype
            )
    text = np.frombuffer(json.dumps(tree).encode("utf-8"), dtype=np.uint8)
    members: dict[str, Any] = {_TREE: text, **arrays}
    np.savez(target, **members)


def read_arrays(path: Path) -> tuple[Any, dict[str, NDArray[Any]]]:
    """Read what `write_arrays` wrote.

    Parameters
    ----------
    path : Path
        The file. It need not be one of ours: nothing of it is executed, and no more memory is
        taken than it has bytes.

    Returns
    -------
    tree : object
        Plain values.
    arrays : dict of str to array
        The arrays.

    Raises
    ------
    FitsReadError
        It is no such file, or a link.
    """
    try:
        with open_regular(path) as stream:
            _refuse_packed(stream)
            with np.load(stream, allow_pickle=False) as archive:
                arrays = {name: archive[name] for name in archive.files}
        tree = json.loads(arrays.pop(_TREE).tobytes())
    except (
        OSError,
        ValueError,
        KeyError,
        EOFError,
        TypeError,
        AttributeError,
        RecursionError,
        zipfile.BadZipFile,
        SyntaxError,
        NotImplementedError,
    ) as error:
        raise FitsReadError(f"cannot be read: {error}", where=str(path)) from error
    return tree, arrays


def _refuse_packed(stream: BinaryIO) -> None:
    """Refuse members that are larger than their bytes: a small file must not fill the memory."""
    size = os.fstat(stream.fileno()).st_size
    with zipfile.ZipFile(stream) as archive:
        members = archive.infolist()
    if any(m.compress_type != zipfile.ZIP_STORED for m in members):
        raise ValueError("it is packed")
    if sum(m.file_size for m in members) > size:
        raise ValueError("it is shorter than its arrays")
    stream.seek(0)
