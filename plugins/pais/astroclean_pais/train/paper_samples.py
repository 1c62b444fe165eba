"""Training samples of the variant `paper`: simulated blends, and what stands for their sources."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from astroclean.simulate.blends import BlendConfig, simulate_blends
from astroclean.simulate.psfs import PsfRange
from astroclean_pais.contributions import PAPER, encode

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["FWHM", "VALIDATION", "PaperSampleMaker", "normalized"]

VALIDATION = 40_000_000
"""Numbers of validation samples begin here: no step reaches them."""
FWHM = (1.8, 5.5)
"""Of the PSF, in pixels."""
_SEEDS = 5_000_000_000
"""Seeds of this training; those of evaluations and of other networks are others."""
_BLENDS = BlendConfig(
    groups=(6.0, 60.0),
    snr=(5.0, 1000.0),
    psf=PsfRange(fwhm=FWHM, kinds=("airy", "moffat", "kolmogorov")),
)


@dataclass(frozen=True)
class PaperSampleMaker:
    """Makes the sample of a number; a function that other processes can be given."""

    seed: int
    """Of the training."""
    side: int = 256
    """Pixels."""
    offset: int = 0
    """Added to numbers, for a set of its own."""

    def __call__(self, number: int) -> dict[str, NDArray[Any]]:
        """Return one scene.

        Parameters
        ----------
        number : int
            The same number gives the same bytes.

        Returns
        -------
        dict
            float16 arrays, channels last, as the network takes and gives them: ``pixels`` (side,
            side, 1), ``center`` (side, side, 1), ``vectors`` (side, side, 6) in pixels, to an
            eighth where they are longer than 128, and ``maps`` (side, side, 3).
        """
        seed = _SEEDS + 50_000_000 * self.seed + self.offset + number
        shape = (self.side, self.side)
        scene = simulate_blends(seed=seed, shape=shape, config=_BLENDS)
        if scene.sources is None:
            raise RuntimeError("a scene of blends has sources")
        true = encode(scene.sources, shape, PAPER)
        arrays = {
            "pixels": normalized(scene.frame.data)[np.newaxis],
            "center": true.center[np.newaxis],
            "vectors": true.vectors.reshape(-1, *shape),
            "maps": true.maps[""],
        }
        return {
            name: np.ascontiguousarray(np.moveaxis(array, 0, -1), dtype=np.float16)
            for name, array in arrays.items()
        }


def normalized(data: NDArray[np.floating]) -> NDArray[np.float32]:
    """Return an image (ny, nx) as the network sees it: as the card of the network has it done."""
    from astroclean.inference.tiles.normalize import Asinh  # noqa: PLC0415 - cheap start

    pixels = np.ascontiguousarray(data, dtype=np.float32)
    values, _ = Asinh().forward(pixels, np.isfinite(pixels))
    return values
