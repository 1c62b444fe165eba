"""``--from``, ``--until``, ``--only``, ``--skip`` choose stages in order."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from astroclean.errors import ConfigurationError
from astroclean.runner.plan.selection import Selection

NAMES = ("a", "b", "c", "d")
some = st.lists(st.sampled_from(NAMES), max_size=4).map(tuple)
one = st.none() | st.sampled_from(NAMES)


@given(start=one, until=one, only=some, skip=some)
def test_law(
    start: str | None, until: str | None, only: tuple[str, ...], skip: tuple[str, ...]
) -> None:
    last = NAMES.index(until) if until else len(NAMES)
    wanted = tuple(
        name
        for index, name in enumerate(NAMES)
        if index <= last and name not in skip and (name in only or not only)
    )
    selection = Selection(start, until, only, skip)
    if not wanted or (start is not None and start not in wanted):
        with pytest.raises(ConfigurationError):
            selection.of(NAMES)
    else:
        assert selection.of(NAMES) == wanted


def test_unknown_names_are_told_together_with_the_nearest() -> None:
    names = ("lacosmic", "interpolate")
    with pytest.raises(ConfigurationError) as raised:
        Selection("lacosmik", None, (), ("interpolat",)).of(names)
    assert len(raised.value.problems) == 2
    assert "'lacosmic'" in raised.value.problems[0]
    assert "'interpolate'" in raised.value.problems[1]
