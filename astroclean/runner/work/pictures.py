"""What of a frame is drawn for the page: before and after, layers, probabilities, plots."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from astroclean.core.flags.planes import parse_planes
from astroclean.core.image.grid import Grid
from astroclean.core.stage.kinds.mask import PROBABILITY
from astroclean.core.stage.kinds.remove import SourceRemover
from astroclean.core.stage.results import Outcome
from astroclean.report.chances import count_above, counts_above
from astroclean.report.layer_previews import make_layer_previews, make_raw_preview
from astroclean.report.picture_records import ThresholdRecord
from astroclean.report.plots import make_histogram, make_spectrum
from astroclean.report.preview import make_previews

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from astroclean.core.image.layer import Layer
    from astroclean.core.stage.stage import Stage
    from astroclean.runner.work.state import Account

__all__ = ["chances_of", "pictures_of", "thresholds_of"]

_TABLE, _NUMBER = "thresholds", "threshold"
"""Options of stages that find planes by their probability: for each plane, and for all."""


def chances_of(layers: Mapping[str, Layer]) -> dict[str, Layer]:
    """Return the layers of probabilities."""
    return {name: layer for name, layer in layers.items() if name.startswith(PROBABILITY)}


def pictures_of(
    images: Mapping[str, Any],
    layers: Mapping[str, Layer],
    account: Account,
    *,
    stages: Sequence[Stage],
    wcs: Any,
    raw: NDArray[Any] | None,
) -> dict[str, Any]:
    """Draw a frame.

    Parameters
    ----------
    images : mapping of str to array or RowStore
        ``before``, ``data``, ``changed``, ``flags``.
    layers : mapping of str to Layer
        Those that are written, and the probabilities that stages gave.
    account : Account
        What the stages said.
    stages : sequence of Stage
        That the frame went through.
    wcs : astropy.wcs.WCS or None
        Of the frame.
    raw : (ny, nx) array or None
        The pixels of a calibrated frame as they were read.

    Returns
    -------
    dict of str to object
        Fields of `FrameRecord`.
    """
    before, after, flags = images["before"], images["data"], images["flags"]
    chances = chances_of(layers)
    shown = {_plane_of(name): layer.data for name, layer in chances.items()}
    previews = make_previews(before, after, flags, images["changed"], chances=shown)
    extra = make_layer_previews(layers, after, Grid(after.shape, wcs))
    if raw is not None and raw.shape == before.shape:
        extra.insert(0, make_raw_preview(raw, before))
    # Replaced pixels are judged by the power spectrum, too.
    done = (r for r in account.records.values() if r.outcome == Outcome.DONE)
    removes = any(record.kind == SourceRemover.kind for record in done)
    return {
        "histogram": make_histogram(before, after),
        "spectrum": make_spectrum(before, after, flags) if removes else None,
        "previews": previews,
        "layer_previews": extra,
        "thresholds": thresholds_of(chances, account, stages),
    }


def _plane_of(name: str) -> str:
    return str(parse_planes(name.removeprefix(PROBABILITY)).name)


def thresholds_of(
    chances: Mapping[str, Layer], account: Account, stages: Sequence[Stage]
) -> list[ThresholdRecord]:
    """Return how many pixels are above which probability, and which option sets the threshold.

    Parameters
    ----------
    chances : mapping of str to Layer
        Of all layers, those of probabilities.
    account : Account
        Which stage gave them, and above which of them it flagged.
    stages : sequence of Stage
        Their options count.
    """
    records = []
    for name, layer in chances.items():
        alias = name.removeprefix(PROBABILITY)
        givers = [stage for stage in stages if name in account.psfs.get(stage.name, {})]
        told: dict[str, Any] = {}
        if len(givers) == 1:
            told = _option_of(givers[0], alias)
            metrics = account.metrics.get(givers[0].name, {})
            threshold = metrics.get(f"{_NUMBER} {alias}", metrics.get(_NUMBER))
            if threshold is not None:
                told["threshold"] = float(threshold)
                told["above"] = count_above(layer.data, float(threshold))
        records.append(
            ThresholdRecord(
                plane=_plane_of(name),
                stage=", ".join(stage.name for stage in givers),
                counts=counts_above(layer.data),
                **told,
            )
        )
    return records


def _option_of(stage: Stage, alias: str) -> dict[str, Any]:
    """Return the option that sets the threshold of a plane, where the stage has one."""
    options = stage.options.record()
    table = options.get(_TABLE)
    if isinstance(table, dict):
        others = {parse_planes(plane).alias: value for plane, value in table.items()}
        return {"option": _TABLE, "key": alias, "others": others}
    return {"option": _NUMBER} if _NUMBER in options else {}
