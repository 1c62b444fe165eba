"""Lines of keys of a TOML text, for messages."""

from __future__ import annotations

import tomllib
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from astroclean.core.toml import lines_of_keys

TEXT = '''schema = 1
# [run]
[run]
text = """
[products]
keep = 3
"""
a.b = 1
[[stage]]
plugin = "a"
options = { x = 1, limits = { CR = 2 } }

[[stage]]
list = [
  1,
]
[stage.options]
"quoted key" = 2
[[stage.options.parts]]
z = 1
[[stage.options.parts]]
z = 1
'''


def test_keys_of_all_kinds_of_tables() -> None:
    lines = TEXT.splitlines()
    found = lines_of_keys(TEXT)
    assert found == lines_of_keys(TEXT.replace("\n", "\r\n"))
    for keys, line in found.items():
        name = next(key for key in reversed(keys) if isinstance(key, str))
        assert name in lines[line - 1], (keys, line)
    assert found["run", "text"] == 4
    assert ("products",) not in found
    assert found["stage", 0, "options", "limits", "CR"] == 11
    assert found["stage", 1, "list"] == 14
    assert found["stage", 1, "options", "parts", 1, "z"] == 22


@given(st.lists(st.sampled_from([*TEXT.splitlines(), "[x]", "y = '''", "k = [", "]"])))
def test_of_any_text_that_is_toml_each_key_is_found(lines: list[str]) -> None:
    text = "\n".join(lines)
    found = lines_of_keys(text)  # whatever it is, no error and no loop
    try:
        content: Any = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return
    assert {keys[0] for keys in found} == set(content)
