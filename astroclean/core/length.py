"""Lengths with their unit, pixels or an angle: in options, in tables of a pipeline, of a PSF."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, Self, get_args

from pydantic_core import PydanticCustomError, core_schema

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
    from pydantic.json_schema import JsonSchemaValue

__all__ = ["ANGLE", "FORMS", "IN_ARCSEC", "IN_PIXELS", "Length", "LengthIn"]

Unit = Literal["pixel", "arcsec"]

FORMS = '"2 pixel" or "14 arcsec"'
"""How a length is written."""
_KINDS = {"pixel": 'in pixels, such as "2 pixel"', "arcsec": 'an angle, such as "0.4 arcsec"'}
_WRITTEN = re.compile(
    r"\s*(?P<number>[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?)\s*(?P<unit>.*?)\s*", re.IGNORECASE
)
_SPELLINGS = {
    **dict.fromkeys(("pixel", "pixels", "pix", "px"), "pixel"),
    **dict.fromkeys(("arcsec", "arcsecs", "arcsecond", "arcseconds", "asec", '"', "''"), "arcsec"),
    **dict.fromkeys(("arcminute", "arcminutes", "arcmins", "'"), "arcmin"),
    **dict.fromkeys(("degree", "degrees", "degs"), "deg"),
}


@dataclass(frozen=True)
class Length:
    """A length, in pixels or as an angle on the sky."""

    value: float
    unit: Unit

    @classmethod
    def parsed(cls, told: Any, *, only: Unit | None = None) -> Length:
        """Return the length that a text or a quantity of astropy tells.

        Parameters
        ----------
        told : str, Quantity or Length
            Such as ``"2 pixel"``, ``"0.9 arcsec"``, ``"200 mas"``, ``3 * u.pixel``.
        only : str, optional
            ``pixel`` or ``arcsec``, where a length in the other one has no meaning.

        Raises
        ------
        ValueError
            It is none; the message says the form that works.
        """
        if only is not None:
            try:
                length = cls.parsed(told)
            except ValueError as error:
                raise ValueError(f"must be {_KINDS[only]}") from error
            if length.unit != only:
                raise ValueError(f"must be {_KINDS[only]}")
            return length
        if isinstance(told, cls):
            return told
        number, unit = _parts(told)
        import astropy.units as u  # noqa: PLC0415 - half a second to import

        try:
            known = u.Unit(_SPELLINGS.get(str(unit).lower(), unit))
        except (TypeError, ValueError) as error:
            raise ValueError(f"must be in pixels or an angle, such as {FORMS}") from error
        for name in ("pixel", "arcsec"):
            if known.is_equivalent(u.Unit(name)):
                return cls(number * float(known.to(u.Unit(name))), name)
        raise ValueError(f"must be in pixels or an angle, such as {FORMS}")

    def to(self, unit: Unit, pixel_scale: float | None) -> float:
        """Return the number in a unit.

        Parameters
        ----------
        unit : str
            ``pixel`` or ``arcsec``.
        pixel_scale : float or None
            Side of a pixel in arcsec.

        Raises
        ------
        ValueError
            The length is in the other unit and the scale is not known.
        """
        if unit == self.unit:
            return self.value
        if not pixel_scale:
            told = "an angle" if self.unit == "arcsec" else "in pixels"
            raise ValueError(f"is {told} but the pixel scale of the frame is not known")
        return self.value / pixel_scale if unit == "pixel" else self.value * pixel_scale

    def __str__(self) -> str:
        """Return it as people write it."""
        return f"{self.value:.12g} {self.unit}"


def _parts(told: Any) -> tuple[float, Any]:
    """Return number and unit of what is told."""
    if isinstance(told, str):
        written = _WRITTEN.fullmatch(told)
        if written is None:
            raise ValueError(f"must be a number with its unit, such as {FORMS}")
        number, unit = float(written["number"]), written["unit"]
        if not unit:
            told = written["number"]
            raise ValueError(f'must have its unit, as in "{told} pixel" or "{told} arcsec"')
    elif hasattr(told, "unit") and not getattr(told, "shape", ()):
        number, unit = float(told.value), told.unit
    else:
        raise ValueError(f"must be a number with its unit, such as {FORMS}")
    if not math.isfinite(number) or number < 0:
        raise ValueError("must be a finite length, not negative")
    return number, unit


@dataclass(frozen=True)
class LengthIn:
    """Marks an option that is a length: the last in ``Annotated[float, Field(gt=0), IN_PIXELS]``.

    A bare number is in the unit of the option. So is, for the stage, what was told in the other
    one: the scale of the frame turns it over when the stage meets one, whereupon the bounds of the
    option are checked. An option that is a whole number is rounded.
    """

    unit: Unit
    finer: str | None = None
    """Option that tells how many times finer the pixels of this one are than those of the frame."""

    whole: bool = False
    """Whether the option is a whole number; known from its type."""

    only: bool = False
    """Whether a length in the other unit has no meaning."""

    @classmethod
    def of(cls, annotation: Any, metadata: Iterable[Any] = ()) -> Self:
        """Return the mark of an option, or raise StopIteration."""
        marks = [m for m in _metadata(annotation, metadata) if isinstance(m, cls)]
        is_whole = annotation is int or int in _parts_of(annotation)
        return replace(next(iter(marks)), whole=is_whole)

    def number(self, length: Length, pixel_scale: float | None) -> float:
        """Return a length as the option has it, or raise ValueError as :meth:`Length.to`."""
        number = length.to(self.unit, pixel_scale)
        return round(number) if self.whole else number

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        """Return the schema of the number, with text in front of it."""

        def taken(value: Any, number: core_schema.ValidatorFunctionWrapHandler) -> Any:
            if not isinstance(value, (str, Length)) and not hasattr(value, "unit"):
                return number(value)
            try:
                length = Length.parsed(value, only=self.unit if self.only else None)
            except ValueError as error:
                raise PydanticCustomError("length", "{told}", {"told": str(error)}) from error
            return number(length.value) if length.unit == self.unit else length

        return core_schema.no_info_wrap_validator_function(
            taken,
            handler(source),
            serialization=core_schema.wrap_serializer_function_ser_schema(
                lambda value, plain: str(value) if isinstance(value, Length) else plain(value)
            ),
        )

    def __get_pydantic_json_schema__(
        self, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        """Say that text is taken, too."""
        return {
            "anyOf": [handler(schema), {"type": "string", "examples": ["2 pixel", "14 arcsec"]}]
        }


def _parts_of(annotation: Any) -> list[Any]:
    """Return the types within a type such as ``Annotated[int, ...] | None``."""
    return [inner for part in get_args(annotation) for inner in (part, *_parts_of(part))]


def _metadata(annotation: Any, metadata: Iterable[Any]) -> list[Any]:
    held = [part for inner in _parts_of(annotation) for part in getattr(inner, "__metadata__", ())]
    return [*metadata, *getattr(annotation, "__metadata__", ()), *held]


IN_PIXELS = LengthIn("pixel")
IN_ARCSEC = LengthIn("arcsec")
ANGLE = LengthIn("arcsec", only=True)
