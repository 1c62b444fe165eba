"""What a run leaves of the sources of one file: catalogues, regions, images, segmentation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from astroclean.core.stage.kinds.deblend import SEGMENTATION
from astroclean.io.products.catalogs import write_catalog, write_regions, write_stamps, write_table
from astroclean.io.products.names import product_name
from astroclean.io.products.segmentation import write_segmentation
from astroclean.runner.plan.build import built_stages

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from contextlib import AbstractContextManager
    from typing import BinaryIO

    from astroclean.io.fits.source import FitsSource
    from astroclean.runner.plan.listing import Listed
    from astroclean.runner.plan.plan import FilePlan
    from astroclean.runner.work.state import FrameWork

    Opened = Callable[[str], AbstractContextManager[BinaryIO]]

__all__ = ["catalog_names", "without_segmentation", "written_catalogs"]

_FORMATS = {"sources": (".ecsv", ".fits"), "votable": (".vot",), "regions": (".reg",)}
"""Word of ``[products] keep`` to the suffixes of ``x_sources``."""


def catalog_names(plan: FilePlan | Listed) -> Iterator[str]:
    """Yield the names of all files with sources or tables that a run of a plan may write."""
    products = plan.products
    keep: set[str] = set(products.keep)
    for word, suffixes in _FORMATS.items():
        if word in keep:
            yield from (_named(plan, "sources", suffix) for suffix in suffixes)
    if "stamps" in keep:
        yield _named(plan, "stamps", ".fits")
    if products.segmentation:
        yield _named(plan, "segmentation", ".fits")
    if "tables" in keep:
        yield from (_named(plan, name, ".ecsv") for name in plan.tables)


def _named(plan: FilePlan | Listed, product: str, suffix: str) -> str:
    return product_name(plan.path, product, suffix, plan.products.name)


def written_catalogs(
    plan: FilePlan, source: FitsSource, works: Sequence[FrameWork], opened: Opened
) -> Iterator[str]:
    """Write the files with sources and tables of one input; yield the name of each.

    Parameters
    ----------
    plan : FilePlan
        What was to be done.
    source : FitsSource
        The input, open.
    works : sequence of FrameWork
        All its frames, in order.
    opened : callable
        Opens a file by its name for writing.
    """
    history = _history(plan, works)
    yield from _of_sources(plan, works, opened, history)
    found = [(w.output, w.sources) for w in works if _has_labels(w)]
    if found and plan.products.segmentation:
        name = _named(plan, "segmentation", ".fits")
        with opened(name) as target:
            write_segmentation(source, found, target)
        yield name
    for table in plan.tables if "tables" in plan.products.keep else ():
        # A table without rows says that nothing was found.
        labelled = [(w.output.slot.label, w.tables[table]) for w in works if table in w.tables]
        if labelled:
            name = _named(plan, table, ".ecsv")
            with opened(name) as target:
                write_table(labelled, target, history=history)
            yield name


def _of_sources(
    plan: FilePlan, works: Sequence[FrameWork], opened: Opened, history: Sequence[str]
) -> Iterator[str]:
    keep: set[str] = set(plan.products.keep)
    catalogs = [(w.sources_label, w.sources) for w in works if w.sources is not None]
    for word, suffixes in _FORMATS.items() if catalogs else ():
        for suffix in suffixes if word in keep else ():
            name = _named(plan, "sources", suffix)
            with opened(name) as target:
                if word == "regions":
                    write_regions(catalogs, target)
                else:
                    write_catalog(catalogs, target, suffix=suffix, history=history)
            yield name
    if "stamps" in keep and any(sources.stamps for _, sources in catalogs):
        name = _named(plan, "stamps", ".fits")
        units = {str(w.sources_unit): w.sources_unit for w in works if w.sources is not None}
        unit = units.popitem()[1] if len(units) == 1 else None
        with opened(name) as target:
            write_stamps(catalogs, target, unit=unit, history=history)
        yield name


def _history(plan: FilePlan, works: Sequence[FrameWork]) -> list[str]:
    """Return the stages by which the frames came about, and the weights of their networks.

    It is that of the frames' own HISTORY cards: of several frames, that of each where they differ.
    """
    own = {work.output.slot.label: work.output.history for work in works}
    lines: list[str] = []
    if len(set(own.values())) == 1:
        lines += next(iter(own.values()))
    else:
        for label, history in own.items():
            lines += [f"astroclean frame {label}:", *history]
    if not any(own.values()):
        return []
    for built in built_stages(plan.specs, base=plan.pipeline.base, stem=plan.stem):
        for key, told in built.identity["fingerprint"].items():
            if key.split()[0] == "weights":  # of several networks: "weights of profiles"
                lines.append(f"{key}, {built.stage.name}: SHA-256 {told}")
    return lines


def _has_labels(work: FrameWork) -> bool:
    sources: Any = work.sources
    return sources is not None and sources.segmentation is not None


def without_segmentation(plan: FilePlan, works: Sequence[FrameWork]) -> list[str]:
    """Return a note where the segmentation that was asked for is that of no source."""
    lacking = [work.output.slot.label for work in works if not _has_labels(work)]
    missing = []
    if plan.products.segmentation:
        every = len(lacking) == len(works)
        missing.append("no x_segmentation.fits" if every else "not in the segmentation")
    if SEGMENTATION.word in plan.products.keep:
        missing.append(f"no layer {SEGMENTATION.name}")
    if not lacking or not missing:
        return []
    why = "nothing tells which pixels are those of the sources of its catalogue"
    return [f"{', '.join(lacking)}: {', '.join(missing)}: {why}"]
