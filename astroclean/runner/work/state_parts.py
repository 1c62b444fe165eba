"""PSF, catalogue, WCS and uncertainty as arrays and plain values, and back, for saved states."""

from __future__ import annotations

import io
import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np
from astropy.nddata import InverseVariance, StdDevUncertainty, VarianceUncertainty

from astroclean.core.image.grid import Grid
from astroclean.core.image.layer import Layer, LayerSpec
from astroclean.core.psf.psf import Psf
from astroclean.core.sources.columns import UCD
from astroclean.core.sources.sources import Sources, SourceStamp
from astroclean.errors import FitsReadError, FitsWriteError

if TYPE_CHECKING:
    from collections.abc import Callable

    from astropy.table import QTable
    from astropy.wcs import WCS
    from numpy.typing import NDArray

__all__ = ["Packer", "Unpacker"]

_UNCERTAINTIES = {
    kind.__name__: kind for kind in (StdDevUncertainty, VarianceUncertainty, InverseVariance)
}


class Packer:
    """Collects arrays; each method returns the plain values that name them."""

    def __init__(self) -> None:
        self.arrays: dict[str, NDArray[Any]] = {}

    def array(self, value: Any) -> str | None:
        """Keep an array; None stays None."""
        if value is None:
            return None
        name = f"a{len(self.arrays)}"
        self.arrays[name] = np.asarray(value)
        return name

    def uncertainty(self, value: Any) -> Any:
        """Keep an uncertainty."""
        if value is None:
            return None
        return {"kind": type(value).__name__, "array": self.array(value.array)}

    def psf(self, psf: Psf | None) -> Any:
        """Keep a PSF, with its finer images where they were measured."""
        if psf is None:
            return None
        parts = {"stamps": psf.stamps, "positions": psf.positions, "fine": psf.measured_fine}
        return {name: self.array(part) for name, part in parts.items()}

    def wcs(self, wcs: WCS | None) -> Any:
        """Keep a WCS with its distortions, as FITS."""
        if wcs is None:
            return None
        stream = io.BytesIO()
        wcs.to_fits(relax=True).writeto(stream)
        content = np.frombuffer(stream.getvalue(), dtype=np.uint8)
        return {"fits": self.array(content), "shape": wcs.pixel_shape}

    def grid(self, grid: Grid) -> Any:
        """Keep a grid; the WCS of the frame comes with the frame."""
        wcs = None if grid.is_frame else self.wcs(grid.wcs)
        return [list(grid.shape), list(grid.origin), grid.step, wcs]

    def layer(self, layer: Layer) -> Any:
        """Keep a layer with its grid, unit, uncertainty, PSF, declaration and beam."""
        assert layer.grid is not None
        assert layer.declared is not None
        return {
            "data": self.array(layer.data),
            "grid": self.grid(layer.grid),
            "unit": None if layer.unit is None else layer.unit.to_string(),
            "uncertainty": self.array(layer.uncertainty),
            "psf": self.psf(layer.psf),
            "declared": asdict(layer.declared),
            "beam": None if layer.beam is None else dict(layer.beam),
        }

    def sources(self, sources: Sources | None) -> Any:
        """Keep a catalogue with segmentation and stamps.

        Raises
        ------
        FitsWriteError
            A column is neither numbers nor text.
        """
        if sources is None:
            return None
        return {
            **self.table(sources.table),
            "segmentation": self.array(sources.segmentation),
            "ids_stay": sources.ids_stay,
            "stamps": [
                [
                    int(s.id),
                    list(map(int, s.origin)),
                    self.array(s.data),
                    s.band,
                    self.array(s.share),
                ]
                for s in sources.stamps
            ],
            "grid": None if sources.grid is None else self.grid(sources.grid),
        }

    def table(self, table: QTable) -> dict[str, Any]:
        """Keep a table.

        Raises
        ------
        FitsWriteError
            A column is neither numbers nor text.
        """
        return {
            "columns": [self._column(name, table[name]) for name in table.colnames],
            "meta": _plain(table.meta),
        }

    def _column(self, name: str, column: Any) -> dict[str, Any]:
        bare = getattr(column, "unmasked", column)  # of a quantity with a mask
        values = getattr(bare, "value", bare)
        values = getattr(values, "data", values) if np.ma.isMaskedArray(values) else values
        values = np.asarray(values)
        if values.dtype.kind not in "biufcSU":
            raise FitsWriteError(
                f"column '{name}' is neither numbers nor text, and cannot be saved",
                remedy="Run without `run.keep_stages`.",
            )
        unit = getattr(column, "unit", None)
        mask = getattr(column, "mask", None)
        return {
            "name": name,
            "values": self.array(values),
            "mask": None if mask is None else self.array(np.asarray(mask)),
            "unit": None if unit is None else unit.to_string(),
            "is_quantity": hasattr(column, "to_value"),
            "description": column.info.description,
            "format": column.info.format if isinstance(column.info.format, str) else None,
            "ucd": (column.info.meta or {}).get(UCD),
        }


class Unpacker:
    """Makes objects of what a `Packer` kept.

    Parameters
    ----------
    arrays : dict of str to array
        As read.
    unit_of : callable
        Text to unit.
    """

    def __init__(self, arrays: dict[str, NDArray[Any]], unit_of: Callable[[str], Any]) -> None:
        self._arrays = arrays
        self._unit_of = unit_of

    def array(self, name: str | None) -> Any:
        """Return an array."""
        return None if name is None else self._arrays[name]

    def uncertainty(self, kept: Any) -> Any:
        """Return an uncertainty."""
        return None if kept is None else _UNCERTAINTIES[kept["kind"]](self.array(kept["array"]))

    def psf(self, kept: Any) -> Psf | None:
        """Return a PSF, checked, with the very numbers that were kept."""
        if kept is None:
            return None
        stamps, positions, fine = (self.array(kept[k]) for k in ("stamps", "positions", "fine"))
        psf = Psf(stamps, positions, fine=fine, computed=True)
        if psf.stamps.shape != stamps.shape or not np.allclose(psf.stamps, stamps, rtol=1e-9):
            raise FitsReadError("its PSF is no PSF")
        # To make the sum 1 once more would change the last digits.
        object.__setattr__(psf, "stamps", stamps)
        object.__setattr__(psf, "_fine", fine)
        return psf

    def wcs(self, kept: Any) -> WCS | None:
        """Return a WCS."""
        if kept is None:
            return None
        from astropy.io import fits  # noqa: PLC0415
        from astropy.wcs import WCS  # noqa: PLC0415

        with fits.open(io.BytesIO(self.array(kept["fits"]).tobytes())) as hdus:
            wcs = WCS(hdus[0].header, hdus)
        wcs.pixel_shape = kept["shape"]
        return wcs

    def grid(self, kept: Any) -> Grid:
        """Return a grid; that of the frame is without WCS."""
        shape, origin, step, wcs = kept
        return Grid((shape[0], shape[1]), self.wcs(wcs), (origin[0], origin[1]), float(step))

    def layer(self, kept: Any) -> Layer:
        """Return a layer; of one on the pixels of the frame, the grid is without WCS."""
        return Layer(
            self.array(kept["data"]),
            self.grid(kept["grid"]),
            None if kept["unit"] is None else self._unit_of(kept["unit"]),
            self.array(kept["uncertainty"]),
            self.psf(kept["psf"]),
            LayerSpec(**kept["declared"]),
            kept.get("beam"),
        )

    def sources(self, kept: Any) -> Sources | None:
        """Return a catalogue with segmentation and stamps."""
        if kept is None:
            return None
        stamps = tuple(self._stamp(*told) for told in kept["stamps"])
        grid = None if kept.get("grid") is None else self.grid(kept["grid"])
        labels = self.array(kept["segmentation"])
        return Sources(self.table(kept), labels, stamps, grid, ids_stay=kept.get("ids_stay", False))

    def _stamp(
        self, number: int, origin: list[int], data: str, band: str = "", share: str | None = None
    ) -> SourceStamp:
        y, x = origin
        return SourceStamp(number, (y, x), self.array(data), band, self.array(share))

    def table(self, kept: Any) -> QTable:
        """Return a table."""
        from astropy.table import QTable  # noqa: PLC0415

        table = QTable(meta=kept["meta"])
        for column in kept["columns"]:
            table[column["name"]] = self._column(column)
            table[column["name"]].info.description = column["description"]
            table[column["name"]].info.format = column["format"]
            if column.get("ucd"):
                table[column["name"]].info.meta = {UCD: column["ucd"]}
        return table

    def _column(self, kept: Any) -> Any:
        from astropy.table import Column, MaskedColumn  # noqa: PLC0415
        from astropy.units import Quantity  # noqa: PLC0415
        from astropy.utils.masked import Masked  # noqa: PLC0415

        values, mask = self.array(kept["values"]), self.array(kept["mask"])
        unit = None if kept["unit"] is None else self._unit_of(kept["unit"])
        if kept["is_quantity"]:
            quantity = Quantity(values, unit, copy=False, dtype=values.dtype)
            return quantity if mask is None else Masked(quantity, mask=mask)
        return (
            Column(values, unit=unit)
            if mask is None
            else MaskedColumn(values, mask=mask, unit=unit)
        )


def _plain(meta: Any) -> dict[str, Any]:
    """Return the metadata that are plain values; others are of no use to a stage."""
    plain = {}
    for key, value in dict(meta).items():
        try:
            plain[str(key)] = json.loads(json.dumps(value))
        except (TypeError, ValueError):
            continue
    return plain
