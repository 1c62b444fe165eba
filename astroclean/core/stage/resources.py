"""Options that name a file: the stage gets the content, the runner reads (and hashes) the file."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from pydantic_core import core_schema

from astroclean.core.flags.drawn import DrawnPixels, drawn_pixels
from astroclean.core.stage.scope import chunk_of
from astroclean.errors import StageError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from astropy.table import Table
    from numpy.typing import NDArray
    from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
    from pydantic.json_schema import JsonSchemaValue

    from astroclean.core.image.frame import Frame

__all__ = [
    "FrameResource",
    "ImageHdu",
    "ImageResource",
    "RegionResource",
    "Resource",
    "StoredFrame",
    "TableResource",
]

IN_MEMORY = "<memory>"


@dataclass(frozen=True, eq=False)
class Resource:
    """Content named by a path. ``{stem}`` in the path stands for the stem of the input file.

    In Python an option of this type also takes the content itself.
    """

    path: str
    content: Any = None
    """None until it has been read."""
    digest: str = ""
    """SHA-256 of the file, part of the resume key."""
    file: str = ""
    """The file that was looked for, where each input may have its own."""

    format: ClassVar[str]
    """How `astroclean.io.resources` reads it."""
    absent: ClassVar[Any] = None
    """Content where the path holds ``{stem}`` and an input has no such file; None: an error."""

    @property
    def paths(self) -> tuple[str, ...]:
        """All paths that name it."""
        return (self.path,)

    @property
    def is_per_file(self) -> bool:
        """Whether each input file has its own."""
        return any("{stem}" in path for path in self.paths)

    @classmethod
    def _validate(cls, value: Any) -> Self:
        if isinstance(value, cls):
            return value
        if isinstance(value, (str, Path)):
            if not str(value).strip():
                raise ValueError("a path must not be empty")
            return cls(str(value))
        return cls(IN_MEMORY, cls._accept(value))

    @classmethod
    def _accept(cls, value: Any) -> Any:
        raise ValueError(f"expected a path, received {type(value).__name__}")

    @classmethod
    def __get_pydantic_core_schema__(
        cls, source: Any, handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        return core_schema.no_info_plain_validator_function(
            cls._validate,
            serialization=core_schema.plain_serializer_function_ser_schema(cls._plain),
        )

    @classmethod
    def _plain(cls, resource: Any) -> str | list[str]:
        """Return what a pipeline says for it."""
        return str(resource.path)

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return {"type": "string", "format": "path"}


@dataclass(frozen=True, eq=False)
class ImageHdu:
    """One image of a file."""

    name: str
    version: int
    data: NDArray[Any]


class ImageResource(Resource):
    """Images of a FITS file, such as a bad pixel map: one for all frames, or one for each."""

    format = "image"

    @classmethod
    def _accept(cls, value: Any) -> Any:
        array = np.asarray(value)
        if array.ndim != 2 or array.dtype.kind not in "biuf":  # noqa: PLR2004
            raise ValueError(f"expected a path or a 2-D array, received {type(value).__name__}")
        return (ImageHdu("", 1, array),)

    def image_for(self, frame: Frame) -> NDArray[Any]:
        """Return the image that belongs to a frame.

        Parameters
        ----------
        frame : Frame
            Chosen by: the only image; else same EXTNAME and EXTVER; else same EXTVER.

        Returns
        -------
        (ny, nx) array
            As stored; of a part of a larger frame, the same part.

        Raises
        ------
        StageError
            None fits, or its shape differs from the frame's.
        """
        (y, x), (ny, nx) = chunk_of(frame).origin, frame.shape
        return self.whole_for(frame)[y : y + ny, x : x + nx]

    def whole_for(self, frame: Frame) -> NDArray[Any]:
        """Return what `image_for` does, but the whole of it also for a part of a frame."""
        images: tuple[ImageHdu, ...] = self.content
        name = str(frame.meta.get("EXTNAME", "")).strip().upper()
        version = int(frame.meta.get("EXTVER", 1))
        same_name = [i for i in images if i.name == name and i.version == version]
        same_version = [i for i in images if i.version == version]
        chosen = next((c for c in (images, same_name, same_version) if len(c) == 1), None)
        if chosen is None:
            raise StageError(
                f"no image of '{self.path}' is for this frame",
                where=frame.frame_id,
                received=", ".join(f"[{i.name or 'PRIMARY'},{i.version}]" for i in images),
                remedy="Give one image, or one with the EXTNAME and EXTVER of each science HDU.",
            )
        shape = chunk_of(frame).shape
        if chosen[0].data.shape != shape:
            raise StageError(
                f"image of '{self.path}' must have the shape of the frame {shape}",
                where=frame.frame_id,
                received=chosen[0].data.shape,
            )
        return chosen[0].data


class TableResource(Resource):
    """A catalogue: ECSV, CSV, FITS table, VOTable or DS9 regions (``.reg``).

    :func:`astroclean.core.sources.given.sources_of_file` makes the sources of a frame of it.
    """

    format = "table"

    @classmethod
    def _accept(cls, value: Any) -> Any:
        if not hasattr(value, "colnames"):
            raise ValueError(f"expected a path or a table, received {type(value).__name__}")
        return value

    @property
    def table(self) -> Table:
        """The catalogue, once read."""
        return self.content


@dataclass(frozen=True, eq=False)
class StoredFrame:
    """A frame of a file, whose pixels are read when they are asked for."""

    file: str
    """Name of the file, without folder."""
    header: Frame
    """A single pixel with unit, detector and ``meta`` of the frame."""
    shape: tuple[int, int]
    pixels: Callable[[], Frame]
    """Reads it."""

    @property
    def name(self) -> str:
        """File and HDU, as in messages."""
        return self.header.frame_id

    def read(self) -> Frame:
        """Return the frame.

        Raises
        ------
        FitsReadError
            It cannot be read, or the file was changed since the run began.
        """
        return self.pixels()


@dataclass(frozen=True, eq=False)
class FrameResource(Resource):
    """Frames of FITS files, such as master flats: one path, a list of paths, or globs.

    They have unit, uncertainty, flags and header, as frames that are cleaned; pixels are read when
    a stage asks for them, so that a worker holds those that it uses.
    """

    more: tuple[str, ...] = ()
    """Further paths."""

    format = "frames"

    @property
    def paths(self) -> tuple[str, ...]:
        """All paths that name it."""
        return (self.path, *self.more)

    @property
    def frames(self) -> tuple[StoredFrame, ...]:
        """All frames of all files, in order of the files' names, once read."""
        return self.content or ()

    @classmethod
    def _validate(cls, value: Any) -> Self:
        several = isinstance(value, (list, tuple)) and len(value) > 0
        if several and all(isinstance(path, (str, Path)) for path in value):
            if not all(str(path).strip() for path in value):
                raise ValueError("a path must not be empty")
            return cls(str(value[0]), more=tuple(map(str, value[1:])))
        return super()._validate(value)

    @classmethod
    def _accept(cls, value: Any) -> Any:
        given = list(value) if isinstance(value, (list, tuple)) else [value]
        if not given or not all(hasattr(frame, "meta") for frame in given):
            raise ValueError(
                f"expected a path, paths, or frames with headers, received {type(value).__name__}"
            )
        return _in_memory(given)

    @classmethod
    def _plain(cls, resource: Any) -> str | list[str]:
        return list(resource.paths) if resource.more else resource.path

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        path = {"type": "string", "format": "path"}
        return {"anyOf": [path, {"type": "array", "items": path, "minItems": 1}]}


def _in_memory(given: Sequence[Any]) -> tuple[StoredFrame, ...]:
    from astroclean.core.image.convert import as_frame  # noqa: PLC0415 - Frame needs astropy

    def stored(frame: Frame) -> StoredFrame:
        return StoredFrame(frame.frame_id, frame[:1, :1], frame.shape, lambda: frame)

    return tuple(stored(as_frame(image)) for image in given)


class RegionResource(Resource):
    """A DS9 region file: what a person has drawn on frames.

    With ``{stem}`` in its path an input without such a file is one on which nothing was drawn.
    """

    format = "regions"
    absent: ClassVar[Any] = ()

    @classmethod
    def _accept(cls, value: Any) -> Any:
        shapes = tuple(value) if isinstance(value, Iterable) else (value,)
        if not shapes or not all(hasattr(s, "meta") and hasattr(s, "visual") for s in shapes):
            raise ValueError(f"expected a path or regions, received {type(value).__name__}")
        return shapes

    def drawn_on(self, frame: Frame) -> DrawnPixels:
        """Return the pixels of a frame in what was drawn.

        Parameters
        ----------
        frame : Frame
            Or a part of a larger one, whose pixels are those of the larger frame.

        Returns
        -------
        DrawnPixels
            Without a pixel where the input has no file, which its notes tell.

        Raises
        ------
        StageError
            The path holds ``{stem}`` and no input is known, or regions cannot lie on this frame:
            see `drawn_pixels`.
        """
        if self.content is None:
            raise StageError(
                f"which file '{self.path}' is meant is not known",
                where=frame.frame_id,
                remedy="`{stem}` stands for the input of a run; from Python give the path.",
            )
        if not self.content:
            nothing = np.zeros(frame.shape, dtype=bool)
            return DrawnPixels(nothing, 0, (f"{self._absence()}: nothing was drawn",))
        return drawn_pixels(self.content, frame, named=self.path)

    def _absence(self) -> str:
        return f"there is no '{self.file or self.path}', which is '{self.path}' of this input"
