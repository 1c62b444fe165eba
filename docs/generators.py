"""What the tables of the documentation say, by the name that pages call them by."""

from __future__ import annotations

import contextlib
import inspect
import io
import json
import os
from importlib import metadata
from typing import TYPE_CHECKING, Any, get_args

from cells import code, fields, table
from pydantic import BaseModel

from astroclean import errors
from astroclean.cli.main import main
from astroclean.config.schema import PipelineConfig
from astroclean.core.configs import find_config, list_configs, read_toml
from astroclean.core.flags.conventions import Convention, load_convention
from astroclean.core.flags.planes import REJECTING, MaskPlane
from astroclean.core.stage.limits import PLAUSIBLE
from astroclean.io.frames.instruments import load_instrument
from astroclean.registry.discover import PluginEntry, kind_names, list_plugins
from astroclean.registry.distributions import known_distributions
from astroclean.registry.load import load_stage, load_stage_class
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
    from collections.abc import Callable

__all__ = ["GENERATORS"]


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


def _own_plugins() -> list[PluginEntry]:
    """Return the plugins of this repository; all must be installed."""
    known = known_distributions()
    entries = [entry for entry in list_plugins() if entry.distribution in known]
    missing = {n for offers in known.values() for n in offers["plugins"]}
    missing -= {entry.name for entry in entries if entry.manifest}
    if missing:
        raise SystemExit(f"not installed, or broken: {', '.join(sorted(missing))}")
    return entries


def plugins() -> str:
    """Return the plugins of this repository."""
    rows = (
        (f"[`{e.name}`](#{e.name})", e.kind, e.manifest.summary, e.distribution)
        for e in _own_plugins()
        if e.manifest
    )
    return table(("plugin", "kind", "what it does", "distribution"), rows)


def options() -> str:
    """Return a section with the options of each plugin."""
    parts = []
    for entry in _own_plugins():
        manifest = entry.manifest
        assert manifest is not None
        given = [f"`{spec.name}`" for spec in load_stage(entry.name).layers()]
        rows = (
            ("kind", f"`{entry.kind}`"),
            ("needs", code(manifest.needs) or "nothing but the frame"),
            ("provides", code(manifest.provides) or "nothing for later stages"),
            ("[layers](files_written.md#layers)", ", ".join(given) or "none"),
            ("to cite", ", ".join(work.key for work in manifest.citation) or "nothing"),
            ("from", f"`{entry.distribution}`, licence {manifest.license}"),
        )
        schema = load_stage_class(entry).Options.model_json_schema()
        told = "".join(f"- {title}: {text}\n" for title, text in rows)
        parts += [f"### {entry.name}\n", f"{manifest.summary}.\n", told]
        parts += [fields(schema) if schema.get("properties") else "It has no options.\n"]
    return "\n".join(parts)


def layers() -> str:
    """Return the layers that stages of this repository may give."""
    givers: dict[Any, list[PluginEntry]] = {}
    kinds: dict[str, int] = {}
    for entry in _own_plugins():
        kinds[entry.kind] = kinds.get(entry.kind, 0) + 1
        for spec in load_stage(entry.name).layers():
            givers.setdefault(spec, []).append(entry)
    rows = []
    for spec, entries in givers.items():
        kind = entries[0].kind
        whole = len(entries) == kinds[kind] and len(entries) > 1
        given = f"kind `{kind}`" if whole else code(entry.name for entry in entries)
        kept = "always" if spec.always else f"`{spec.word}`"
        rows.append((f"`{spec.name}`", kept, given, spec.meaning))
    return table(("EXTNAME", "kept by", "given by", "content"), sorted(rows))


def keys() -> str:
    """Return a section for each table of a pipeline file."""
    parts = ["## Top level\n", fields(_own(PipelineConfig))]
    for name, field in PipelineConfig.model_fields.items():
        model = _model(field.annotation)
        if model is None:
            continue
        bracket = f"[[{name}]]" if name == "stage" else f"[{name}]"
        parts += [f"## `{bracket}`\n", f"{inspect.getdoc(model)}\n", fields(_own(model))]
        for inner, inner_field in model.model_fields.items():
            inner_model = _model(inner_field.annotation)
            if inner_model is not None:
                parts += [f"### `[{name}.{inner}]`\n", f"{inspect.getdoc(inner_model)}\n"]
                parts += [fields(_own(inner_model))]
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
        modes = code(dict.fromkeys(v.name for v in i.variant)) or "one"
        rows.append(
            (f"`{name}`", i.title, told or "no rule matches", science, f"`{i.dq or '-'}`", modes)
        )
    head = ("name", "instrument", "told by", "science HDUs", "mask convention", "modes")
    return table(head, rows)


def pipelines() -> str:
    """Return the ready pipelines."""
    rows = []
    for name in list_configs("pipelines"):
        content = read_toml(find_config("pipelines", name))
        stages = ", ".join(f"[`{s['plugin']}`](plugins.md#{s['plugin']})" for s in content["stage"])
        rows.append((f"`{name}`", content["description"], stages))
    return table(("name", "what it does", "stages"), rows)


def distributions() -> str:
    """Return the distributions of this repository, with the plugins of each."""
    rows = [(f"`{n}`", code(offers["plugins"])) for n, offers in known_distributions().items()]
    return table(("distribution", "plugins"), rows)


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
    return f"```none\n{printed.getvalue().rstrip()}\n```\n"


GENERATORS: dict[str, Callable[..., str]] = {
    f.__name__: f
    for f in (
        *(planes, plugins, options, layers, keys, record, conventions, instruments),
        *(pipelines, distributions, kinds, exits, help),
    )
}
