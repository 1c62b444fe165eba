"""Settings of a pipeline as flat names that a user knows, to be compared."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["flat_settings"]


def flat_settings(values: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    """Return nested settings with dotted names; stages by their own.

    Parameters
    ----------
    values : mapping
        A pipeline, as it is in ``run.json``.
    before : str
        What its names begin with.
    """
    flat: dict[str, Any] = {}
    for key, value in values.items():
        name = f"{before}{key}"
        if isinstance(value, dict):
            flat |= flat_settings(value, f"{name}.")
        elif key == "stage" and not before:
            for number, stage in enumerate(value):
                told = stage.get("name") or stage.get("plugin") or number
                flat |= flat_settings(stage, f"{told}.")
        else:
            flat[name] = value
    return flat
