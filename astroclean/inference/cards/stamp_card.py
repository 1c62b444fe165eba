"""What the card of a network says that looks at stamps around sources."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from astroclean.inference.cards.card_parts import Declared

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from astroclean.inference.cards.card_parts import Input

__all__ = ["DATA", "NOISE", "PSF", "VALID", "StampCard", "planes_given", "planes_of"]

DATA, VALID, PSF, NOISE = "data", "valid", "psf", "noise"
_OWN = frozenset({DATA, VALID, PSF, NOISE})


class StampCard(Declared):
    """The table ``stamp`` of a card: the stamp, and how its pixels are scaled."""

    side: int = Field(ge=1)
    """Pixels along a side, a multiple of the card's ``multiple``."""
    batch: int = Field(default=16, ge=1)
    """Stamps given to the engine together, neither more nor fewer: engines round differently in
    other batches. What is missing of a batch is filled up with zeros."""
    scaling: Literal["normalization", "noise", "matched_filter"] = "normalization"
    """What the pixels of a source are divided by: one number for all of its planes.

    ``normalization``: what the card's normalization measures of the stamp. ``noise``: the noise.
    ``matched_filter``: the peak of the point source that fits best, at least one standard deviation
    of that. In the last two nothing is subtracted, and of the normalization only the bend is used.
    """
    intensities: tuple[str, ...] = ()
    """Planes of the stage that are divided by the scale too, such as the light of neighbours; they
    come in the unit of the frame. The others are shown as they are."""

    @property
    def reach(self) -> int:
        """Pixels around the pixel of a source within which its stamp lies, wherever in it it is."""
        return self.side // 2 + 1

    def problems(self, inputs: Sequence[Input], multiple: int) -> Iterator[str]:
        """Yield what does not fit together, for the validation of the card."""
        planes = [name for tensor in inputs for name in planes_of(tensor)]
        if self.side % multiple:
            yield f"stamp.side: {self.side} is no multiple of {multiple}"
        yield from (f"two planes are called '{n}'" for n in planes if planes.count(n) > 1)
        strange = [name for name in self.intensities if name in _OWN or name not in planes]
        if strange:
            yield f"stamp.intensities: no planes that the stage gives: {', '.join(strange)}"


def planes_of(tensor: Input) -> tuple[str, ...]:
    """Return the planes of an input tensor by name, in the order of its channels.

    Parameters
    ----------
    tensor : Input
        Of a card.

    Returns
    -------
    tuple of str
        ``data``: pixels; ``valid``: 1 where they are to be believed, else 0; ``psf``: of sum 1, its
        middle in the pixel ``side // 2``; ``noise``: its standard deviation over the scale, one
        number for each source. All others are given by the stage.
    """
    if tensor.planes:
        return tensor.planes
    return (tensor.content,) if tensor.content in _OWN else (tensor.name,)


def planes_given(inputs: Sequence[Input]) -> frozenset[str]:
    """Return the planes that a stage must give."""
    return frozenset(name for tensor in inputs for name in planes_of(tensor)) - _OWN
