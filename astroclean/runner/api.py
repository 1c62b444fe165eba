"""`astroclean.run`: a pipeline from Python, with the report as its result."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from astroclean.config.defaults import DEFAULT_OUTPUT
from astroclean.config.load import load_pipeline
from astroclean.errors import ConfigurationError
from astroclean.io.remote.urls import path_or_url
from astroclean.runner.plan.selection import Selection
from astroclean.runner.plan.shard import Shard
from astroclean.runner.progress import told_progress
from astroclean.runner.runner import Request, Runner

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from astroclean.report.model import RunReport
    from astroclean.runner.executors import Executor

__all__ = ["run"]


def run(
    config: str | Path | Mapping[str, Any],
    inputs: str | Path | Sequence[str | Path] = (),
    *,
    output: str | Path = DEFAULT_OUTPUT,
    jobs: int | None = None,
    executor: Executor | None = None,
    settings: str | Sequence[str] = (),
    overwrite: bool = False,
    recursive: bool = False,
    progress: bool | Callable[[int, int], None] = False,
    shard: str | None = None,
) -> RunReport:
    """Run a pipeline.

    Parameters
    ----------
    config : str, Path or mapping
        A name in ``configs/pipelines``, the path of a TOML file, or its content.
    inputs : str, Path or sequence of these
        Files with an optional HDU, folders, globs, ``@list.txt``; by default those of the
        pipeline's ``[input]``.
    output : str or Path
        Output folder, or the URL of one in an object store.
    jobs : int, optional
        Number of worker processes, by default 1; the result does not depend on it. With 0, files
        are processed in this process: for a debugger, at the price that a crash in a library ends
        it.
    executor : Executor, optional
        In place of ``jobs``: where files are processed, such as on other machines. Whoever made it
        closes it; it may serve further runs.
    settings : str or sequence of str
        ``stage.key=value``, as for ``--set``.
    overwrite : bool
        Whether to start anew instead of keeping finished files.
    recursive : bool
        Whether folders in folders are searched, too, as with ``--recursive``.
    progress : bool or callable
        True writes to the standard error how many inputs have ended; a function is called with
        (finished, total) inputs.
    shard : str, optional
        ``I/N``: part I of N, from 0, as for ``--shard``. ``astroclean merge OUTPUT`` ends the run.

    Returns
    -------
    RunReport
        ``report.exit_code`` is 0 when every file is done; failures are in ``report.files``.
        ``report.outputs`` are the paths of what was written, ``report.page`` that of the report.

    Raises
    ------
    AstrocleanError
        The run could not start: configuration, plugins, no input, output folder.
    """
    if executor is not None and jobs is not None:
        raise ConfigurationError("give jobs or executor: an executor has its own workers")
    told = [settings] if isinstance(settings, str) else list(settings)
    loaded = load_pipeline(config, settings=told)
    listed = [inputs] if isinstance(inputs, (str, Path)) else list(inputs)
    request = Request(
        inputs=tuple(str(item) for item in listed),
        input_base=Path(),
        stages=Selection().of(tuple(stage.name for stage in loaded.config.stage)),
        jobs=1 if jobs is None else jobs,
        overwrite=overwrite,
        recursive=recursive,
        shard=None if shard is None else Shard.parsed(shard),
    )
    with told_progress(progress) as tell:
        target = path_or_url(output)
        return Runner(loaded, request, output=target, executor=executor, progress=tell).run()
