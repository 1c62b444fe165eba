"""Tables made from the code when the documentation is built.

A page says ``<!-- generate: planes -->`` or ``<!-- generate: help run -->``; the line is replaced
by Markdown before the page is parsed. Nothing is written beside the sources.
"""

from __future__ import annotations

import contextlib
import inspect
import io
import json
import os
import re
from importlib import metadata
from typing import TYPE_CHECKING, Any, get_args

from pydantic import BaseModel

from astroclean import errors
from astroclean.cli.main import main
from astroclean.config.schema import PipelineConfig
from astroclean.core.configs import list_configs
from astroclean.core.flags.conventions import Convention, load_convention
from astroclean.core.flags.planes import REJECTING, MaskPlane
from astroclean.core.stage.limits import PLAUSIBLE
from astroclean.io.frames.instruments import load_instrument
from astroclean.registry.discover import kind_names, list_plugins
from astroclean.registry.load import load_stage_class
from astroclean.report.model import (
    PICTURES,
    ExitCode,
    FileRecord,
    FrameRecord,
    RunReport,
    StageOptionsRecord,
    StageRecord,
    ValueRecord,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from sphinx.application import Sphinx

MARK = re.compile(r"^<!-- generate: (\w+)(?: (.+?))? -->$", re.MULTILINE)
_SHORT_LIST = 12


def table(head: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    """Return a Markdown table."""
    lines = [list(head)]
    lines += [["---"] * len(lines[0])]
    lines += [[" ".join(str(cell).split()).replace("|", "\\|") for cell in row] for row in rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines) + "\n"


def planes() -> str:
    """Return the mask planes."""
    rows = (
        (
            p.bit,
            int(p),
            f"`{p.name}`",
            f"`{p.alias}`",
            p.meaning,
            "yes" if p.rejects else "no",
            _filled(p),
            f"{100 * PLAUSIBLE[p.name]:g} %" if p.name in PLAUSIBLE else "-",
        )
        for p in MaskPlane
    )
    titles = ("bit", "value", "name", "alias", "meaning", "rejects", "filled", "plausible up to")
    return table(titles, rows)


def _filled(plane: MaskPlane) -> str:
    if plane is MaskPlane.NO_DATA:
        return "small groups"
    return "yes" if plane.fills else "no"


def plugins() -> str:
    """Return the plugins of this installation."""
    rows = (
        (f"[`{e.name}`](plugins.md#{e.name})", e.kind, e.manifest.summary, e.distribution)
        for e in list_plugins()
        if e.manifest
    )
    return table(("plugin", "kind", "what it does", "distribution"), rows)


def options() -> str:
    """Return a section with the options of each plugin."""
    parts = []
    for entry in list_plugins():
        if entry.manifest is None:
            continue
        stage = load_stage_class(entry)
        manifest = entry.manifest
        parts += [
            f"## {entry.name}\n",
            f"{manifest.summary}.\n",
            (
                f"Kind `{entry.kind}`, from `{entry.distribution}`, licence {manifest.license}. "
                f"Needs: {', '.join(f'`{n}`' for n in manifest.needs) or 'nothing but the frame'}. "
                f"Provides: {', '.join(f'`{n}`' for n in manifest.provides) or 'nothing'}.\n"
            ),
            _fields(stage.Options.model_json_schema()),
        ]
    return "\n".join(parts)


def _fields(schema: dict[str, Any]) -> str:
    required = schema.get("required", [])
    rows = (
        (
            f"`{name}`",
            spelled(field),
            "required" if name in required else _default(field),
            field.get("description", ""),
        )
        for name, field in schema.get("properties", {}).items()
    )
    return table(("key", "values", "default", "meaning"), rows)


def _default(field: dict[str, Any]) -> str:
    value = field.get("default")
    if value is None:
        return "none"
    if isinstance(value, list) and len(value) > _SHORT_LIST:
        return "see [mask planes](mask_planes.md)"
    return f"`{json.dumps(value)}`"


def spelled(field: dict[str, Any]) -> str:
    """Return the values that a field of a JSON schema takes, in words."""
    if "anyOf" in field:
        return " or ".join(s for part in field["anyOf"] if (s := spelled(part)) != "none")
    if "const" in field:
        return f"`{json.dumps(field['const'])}`"
    if "enum" in field:
        return ", ".join(f"`{json.dumps(value)}`" for value in field["enum"])
    kind = field.get("type", "table")
    if kind == "array":
        return f"list of {spelled(field['items'])}" if "items" in field else "list"
    words = {"string": "text", "object": "table", "boolean": "`true`, `false`", "null": "none"}
    text = "path" if field.get("format") == "path" else words.get(kind, kind)
    bounds = (("exclusiveMinimum", "above"), ("minimum", "from"))
    bounds += (("exclusiveMaximum", "below"), ("maximum", "to"))
    limits = [f"{word} {field[key]:g}" for key, word in bounds if key in field]
    return " ".join([text, *limits])


def keys() -> str:
    """Return a section for each table of a pipeline file."""
    parts = ["## Top level\n", _fields(_own(PipelineConfig))]
    for name, field in PipelineConfig.model_fields.items():
        model = _model(field.annotation)
        if model is None:
            continue
        bracket = f"[[{name}]]" if name == "stage" else f"[{name}]"
        parts += [f"## `{bracket}`\n", f"{inspect.getdoc(model)}\n", _fields(_own(model))]
        for inner, inner_field in model.model_fields.items():
            inner_model = _model(inner_field.annotation)
            if inner_model is not None:
                parts += [f"### `[{name}.{inner}]`\n", f"{inspect.getdoc(inner_model)}\n"]
                parts += [_fields(_own(inner_model))]
    return "\n".join(parts)


def _own(model: type[BaseModel]) -> dict[str, Any]:
    """Return the schema of one table; tables within it are named only."""
    schema = model.model_json_schema(by_alias=True)
    for name, field in schema["properties"].items():
        if "$ref" in field or "$ref" in json.dumps(field.get("anyOf", "")):
            schema["properties"][name] = {"type": "object", "description": _TABLES.get(name, "")}
        elif "$ref" in json.dumps(field.get("items", "")):
            field["items"] = {"type": "object"}
    return schema


_TABLES = {
    "instrument": "The table below; a text is its `name`.",
    "run": "The table below.",
    "input": "The table below.",
    "simulate": "The table below.",
    "psf": "The table below; none where no stage needs a PSF.",
    "products": "The table below.",
}


def _model(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((m for part in get_args(annotation) if (m := _model(part))), None)


def record() -> str:
    """Return the fields of ``run.json``."""
    parts = []
    for title, model in (
        ("The run", RunReport),
        ("`files[]`: one input", FileRecord),
        ("`files[].options`: the options of a stage", StageOptionsRecord),
        ("`files[].frames[]`: one frame", FrameRecord),
        ("`files[].frames[].values`: one value", ValueRecord),
        ("`files[].frames[].stages[]`: one stage on one frame", StageRecord),
    ):
        rows = (
            (f"`{name}`", field.description or "")
            for name, field in model.model_fields.items()
            if name not in PICTURES
        )
        parts += [f"### {title}\n", table(("key", "meaning"), rows)]
    return "\n".join(parts)


def conventions() -> str:
    """Return an overview of the mask conventions and a section for each."""
    every = [load_convention(name) for name in list_configs("conventions")]
    rows = ((f"[`{c.name}`](#{c.name})", c.title, c.encoding, len(c.values)) for c in every)
    parts = [table(("name", "convention", "encoding", "values"), rows)]
    for convention in every:
        parts += [f"## {convention.name}\n", f"{convention.title}. Source: {convention.source}.\n"]
        parts += [_values(convention)]
    return "\n".join(parts)


def _values(convention: Convention) -> str:
    rows = []
    rejecting = convention.rejecting_values()
    decide = " or ".join(f"`{row.name}`" for row in convention.values if row.unusable)
    for row in convention.values:
        written = _names(row.answers) + (
            ["every rejected pixel"] if row.written_for_rejected else []
        )
        read = ", ".join(_names(row.sets)) or "no plane"
        rejects = "yes" if row in rejecting else ""
        if not rejects and row.sets & REJECTING:
            rejects = f"with {decide}"
        told = (row.value, f"`{row.name}`", row.meaning, read, rejects)
        rows.append((*told, ", ".join(written) or "never"))
    return table(("value", "name", "meaning", "read as", "rejects", "written for"), rows)


def _names(flags: MaskPlane) -> list[str]:
    return [f"`{p.name}`" for p in MaskPlane if p & flags]


def instruments() -> str:
    """Return the instruments and what tells them."""
    rows = []
    for name in list_configs("instruments"):
        i = load_instrument(name)
        told = " or ".join(
            " and ".join(f"`{key}` ~ `{pattern}`" for key, pattern in rules.items())
            for rules in i.match
        )
        named = ", ".join(f"`{n or '(none)'}`" for n in i.hdus.science)
        science = named or "[what says so](../explanation/hdus.md)"
        modes = ", ".join(f"`{v.name}`" for v in i.variant) or "one"
        rows.append(
            (f"`{name}`", i.title, told or "no rule matches", science, f"`{i.dq or '-'}`", modes)
        )
    head = ("name", "instrument", "told by", "science HDUs", "mask convention", "modes")
    return table(head, rows)


def kinds() -> str:
    """Return the kinds of stage with their base class and hook."""
    rows = []
    for name in kind_names():
        (point,) = metadata.entry_points(group="astroclean.kinds", name=name)
        base = point.load()
        hook = next(
            n
            for n in vars(base)
            if getattr(vars(base)[n], "__isabstractmethod__", False) and not n.startswith("_")
        )
        answer = inspect.signature(getattr(base, hook)).return_annotation
        summary = (inspect.getdoc(base) or "").split("\n\n")[0]
        rows.append((f"`{name}`", f"`{base.__name__}.{hook}`", f"`{answer}`", summary))
    return table(("kind", "base class and hook", "answer", "remit"), rows)


def exits() -> str:
    """Return the exit codes with the errors that lead to them."""
    meanings = {
        ExitCode.DONE: "All inputs are done, up to date, or rejected by screening.",
        ExitCode.SOME_FAILED: "Some inputs failed, perhaps all; the others are written.",
        ExitCode.USAGE: "The command line or the configuration is wrong. Nothing was processed.",
        ExitCode.PLUGIN: "A plugin is missing, broken or offered twice. Nothing was processed.",
        ExitCode.NO_INPUT: "No input matched.",
        ExitCode.INTERRUPTED: "Ended by Ctrl-C (INT), TERM or HUP. Finished files stay; the same "
        "command goes on.",
    }
    rows = [
        (int(code), meanings[code], ", ".join(f"`{n}`" for n in _raising(code)) or "-")
        for code in ExitCode
    ]
    return table(("status", "meaning", "errors that stop a run so"), rows)


def _raising(code: ExitCode) -> list[str]:
    return [
        n
        for n in errors.__all__
        if getattr(getattr(errors, n), "exit_code", 0) == code and code > 1
    ]


def help(words: str = "") -> str:
    """Return what ``astroclean WORDS --help`` prints."""
    before = os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = "88"
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.suppress(SystemExit):
        main([*words.split(), "--help"])
    if before is None:
        del os.environ["COLUMNS"]
    else:
        os.environ["COLUMNS"] = before
    return f"```text\n{printed.getvalue().rstrip()}\n```\n"


GENERATORS: dict[str, Callable[..., str]] = {
    f.__name__: f
    for f in (
        *(planes, plugins, options, keys, record, conventions, instruments, kinds, exits, help),
    )
}


def fill(app: Sphinx, name: str, source: list[str]) -> None:  # noqa: ARG001 - Sphinx's signature
    """Replace the marks of a page."""
    source[0] = MARK.sub(lambda m: GENERATORS[m[1]](*([m[2]] if m[2] else [])), source[0])


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the extension."""
    app.connect("source-read", fill)
    return {"parallel_read_safe": True}
