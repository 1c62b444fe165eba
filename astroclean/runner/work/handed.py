"""What workers of one run hand to one another, through files of its scratch folder."""

from __future__ import annotations

import hashlib
import pickle
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from astroclean.errors import FitsReadError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["PartDone", "hand_over"]


@dataclass(frozen=True)
class PartDone:
    """A part of the work on a unit is done; what it gave lies in a file."""

    path: Path
    digest: str
    """SHA-256 of that file: what is read again is what was written, whoever owns the folder."""
    seconds: float

    def value(self) -> Any:
        """Return what a worker of this run left.

        It is pickled, which is safe here alone: the digest came from that worker through a pipe,
        and the bytes are compared with it before anything is made of them.

        Raises
        ------
        FitsReadError
            The file is not what was written.
        """
        content = self.path.read_bytes()
        if hashlib.sha256(content).hexdigest() != self.digest:
            raise FitsReadError("was changed while the run lasted", where=str(self.path))
        return pickle.loads(content)  # noqa: S301 - see above

    def remove(self) -> None:
        """Remove the file, once nobody needs it any more."""
        self.path.unlink(missing_ok=True)


def hand_over(value: Any, scratch: Path, *, seconds: float) -> PartDone:
    """Write what another worker needs.

    Parameters
    ----------
    value : object
        Can be pickled.
    scratch : Path
        Folder of the run.
    seconds : float
        How long it took to make it.

    Returns
    -------
    PartDone
        By which the other finds it.
    """
    path = scratch / f"{uuid.uuid4().hex}.part"
    content = pickle.dumps(value, protocol=pickle.HIGHEST_PROTOCOL)
    path.write_bytes(content)
    return PartDone(path, hashlib.sha256(content).hexdigest(), seconds)
