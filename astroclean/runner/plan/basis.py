"""What the resume keys of all files of a run depend on, beside the files themselves."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from astroclean import __version__
from astroclean.core.configs import is_name, list_configs
from astroclean.core.regular import user_path
from astroclean.errors import AstrocleanError
from astroclean.io.resources import file_digest
from astroclean.runner.plan.build import digest_of_content

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from astroclean.config.load import LoadedPipeline
    from astroclean.runner.plan.build import BuiltStage

__all__ = ["basis_of"]

_CATEGORIES = ("instruments", "conventions")
_NOT_OF_THE_KEY: dict[str, Any] = {
    "description": True,
    "input": True,
    "run": {"max_memory", "keep_stages"},
    "products": {"report"},
}
_PER_FILE = "{stem}"


def basis_of(pipeline: LoadedPipeline, stages: Sequence[BuiltStage]) -> str:
    """Return a digest: as long as it and an input stay the same, so does the input's resume key.

    It holds more than a key does, such as instruments that no file is of: another basis says
    nothing, and the keys themselves are compared.

    Parameters
    ----------
    pipeline : LoadedPipeline
        As loaded.
    stages : sequence of BuiltStage
        Those that run.

    Returns
    -------
    str
        Hexadecimal digest; empty where keys depend on files that differ from input to input, or
        where something cannot be read, which planning tells.
    """
    resources = (r for built in stages for r in built.stage.options.resources().values())
    psf = pipeline.config.psf
    own_psf = psf is not None and psf.file is not None and _PER_FILE in psf.file
    if own_psf or any(resource.is_per_file for resource in resources):
        return ""
    try:
        content = {
            "astroclean": __version__,
            "pipeline": pipeline.config.model_dump(
                mode="json", by_alias=True, exclude=_NOT_OF_THE_KEY
            ),
            "stages": [built.identity for built in stages],
            "files": {str(path): file_digest(path) for path in _files(pipeline)},
        }
    except (AstrocleanError, OSError):
        return ""
    return digest_of_content(content)


def _files(pipeline: LoadedPipeline) -> Iterator[Path]:
    """Yield the files that tell how inputs are read: all instruments and conventions, the PSF."""
    config = pipeline.config
    for category in _CATEGORIES:
        yield from list_configs(category).values()
    for name in (config.instrument.name, config.instrument.dq, config.products.mask_as):
        if name is not None and not is_name(name):
            yield Path(name)
    if config.psf is not None and config.psf.file is not None:
        yield pipeline.base / user_path(config.psf.file)
