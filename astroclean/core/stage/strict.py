"""Values of options as they were written: text is no number, true is no 1.

pydantic takes ``"no"`` for false, ``true`` for 1 and ``"3"`` for 3. In a pipeline file each is a
slip that changes pixels without a word. Its own strict mode would also refuse lists for tuples,
text for paths and numbers of NumPy, which are no slips.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from pydantic_core import CoreSchema, core_schema
from pydantic_core import PydanticCustomError as _Refused

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["as_written"]

_NO_SCHEMA = frozenset({"metadata", "serialization", "default", "config", "expected"})

_UNQUOTED = ", without quotation marks"


def as_written(schema: CoreSchema, model: type) -> CoreSchema:
    """Return a schema that takes no text for a number or truth, and no truth for a number.

    Parameters
    ----------
    schema : CoreSchema
        Of a model; models within it are left as they are, they have schemas of their own.
    model : type
        The model.

    Returns
    -------
    CoreSchema
        A new one.
    """
    return cast("CoreSchema", _guarded("", schema, model))


def _guarded(key: str, part: Any, model: type) -> Any:
    if key in _NO_SCHEMA:
        return part
    if isinstance(part, (list, tuple)):
        return type(part)(_guarded("", inner, model) for inner in part)
    if not isinstance(part, Mapping) or part.get("cls", model) is not model:
        return part
    inner = {name: _guarded(name, value, model) for name, value in part.items()}
    check = _check_of(inner)
    if check is None:
        return inner
    return core_schema.no_info_before_validator_function(check, cast("CoreSchema", inner))


def _check_of(part: Mapping[str, Any]) -> Callable[[Any], Any] | None:
    kind = part.get("type")
    if kind == "literal":
        kinds = {type(choice) for choice in part["expected"]}
        return _no_truth if int in kinds and bool not in kinds else None
    return _CHECKS.get(kind) if isinstance(kind, str) else None


def _truth(value: Any) -> Any:
    if isinstance(value, (bool, np.bool_)):
        return value
    quoted = isinstance(value, str) and value.strip().lower() in {"true", "false"}
    raise _Refused("as_written", f"must be true or false{_UNQUOTED if quoted else ''}")


def _number(value: Any) -> Any:
    if isinstance(value, (bool, np.bool_)):
        raise _Refused("as_written", "must be a number, not true or false")
    if isinstance(value, str):
        raise _Refused("as_written", f"must be a number{_UNQUOTED if _is_number(value) else ''}")
    return value


def _no_truth(value: Any) -> Any:
    """Refuse what Python takes for the same as a 1 of the choices."""
    if isinstance(value, (bool, np.bool_)):
        raise _Refused("as_written", "must not be true or false")
    return value


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


_CHECKS: dict[str, Callable[[Any], Any]] = {
    "bool": _truth,
    "int": _number,
    "float": _number,
}
