"""`AstrocleanStep`: a pipeline of astroclean, or one of its stages, as a step of stpipe."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from stpipe import Step

import astroclean
from astroclean.config.schema import SECTIONS
from astroclean.errors import ConfigurationError
from astroclean_stpipe.exchange import cleaned

if TYPE_CHECKING:
    from collections.abc import Mapping

    from astroclean_stpipe.exchange import Cleaned

__all__ = ["AstrocleanStep"]

_DONE, _SKIPPED = "COMPLETE", "SKIPPED"


class AstrocleanStep(Step):  # type: ignore[misc] # stpipe has no types
    """Clean an image with a pipeline of astroclean, or with one of its stages.

    Pixels change only where astroclean replaced them; DQ values are added, in JWST's convention,
    and none is taken away. All else of the model is as it was.
    """

    class_alias = "astroclean"
    reference_file_types: ClassVar[list[str]] = []
    spec = """
    pipeline = string(default=None) # Pipeline of astroclean: path of a TOML file, or a bundled name
    stage = string(default=None) # Or one stage, by the name of its plugin, such as lacosmic
    options = force_list(default=list()) # key=value for the stage; for a pipeline, stage.key=value
    instrument = string(default=None) # Instrument file of astroclean, by name or path
    output_ext = string(default=".fits") # Type of output files
    """

    def process(self, init: Any) -> Any:
        """Return a cleaned copy of a model.

        Parameters
        ----------
        init : str or JwstDataModel
            An image, or integrations of one. Not modified.

        Returns
        -------
        JwstDataModel
            Of the same type.

        Raises
        ------
        ConfigurationError
            Neither pipeline nor stage is given, or both, or what they name is wrong.
        AstrocleanError
            The image could not be cleaned.
        """
        pipeline, settings = self._asked()
        model = init if hasattr(init, "meta") else self.open_model(init)
        if not hasattr(model, "crds_observatory") or model.crds_observatory != "jwst":
            raise ConfigurationError(
                f"the step takes images of JWST, not {type(model).__name__}: the DQ values of "
                "other observatories are others"
            )
        found = cleaned(model, pipeline, settings=settings)
        result = model.copy()
        _fill_in(result, found)
        self._tell(found)
        done = _SKIPPED if found.record.rejected_by else _DONE
        result.meta.cal_step.astroclean = done
        told = self.pipeline or f"stage {self.stage}"
        result.add_history_entry(f"astroclean {astroclean.__version__}, {told}, {list(settings)}")
        return result

    def _asked(self) -> tuple[str | Mapping[str, Any], tuple[str, ...]]:
        """Return the pipeline and its settings."""
        if (self.pipeline is None) == (self.stage is None):
            raise ConfigurationError(
                "give one of `pipeline` and `stage`: strun astroclean FILE --stage lacosmic"
            )
        options = tuple(str(option).strip() for option in self.options)
        if self.instrument is not None:
            options += (f'instrument.name="{self.instrument}"',)
        if self.pipeline is not None:
            return str(self.pipeline), options
        asked = {"schema": 1, "stage": [{"plugin": str(self.stage)}]}
        # Such as `instrument.unit`, which a file may lack.
        tables = tuple(f"{name}." for name in SECTIONS)
        return asked, tuple(o if o.startswith(tables) else f"{self.stage}.{o}" for o in options)

    def _tell(self, found: Cleaned) -> None:
        """Say in stpipe's log what a report of astroclean would say."""
        # A child of stpipe's logger, so that pipelines of others hear it, too.
        log = logging.getLogger(self.qualified_name)
        record = found.record
        for text in (*record.suspect, *record.contradictions):
            log.warning("suspect: %s", text)
        for text in record.notes:
            log.info("note: %s", text)
        if record.rejected_by:
            log.warning("the exposure is unusable, says stage '%s'", record.rejected_by)
        if found.untold:
            log.info("planes without a DQ value of JWST: %s", found.untold.name)
        layers = sorted({layer.name for frame in record.frames for layer in frame.layers})
        if layers:
            log.warning(
                "not part of a data model, and left out: %s. Run astroclean on the file for them",
                ", ".join(layers),
            )
        log.info(
            "%d pixels changed, %d gained DQ values",
            np.count_nonzero(found.changed),
            np.count_nonzero(found.dq),
        )

    def default_suffix(self) -> str:
        """Return the end of the names of output files: ``x_cal_astroclean.fits``."""
        return str(self.class_alias)

    @staticmethod
    def get_stpipe_loggers() -> tuple[str, ...]:
        """Return the loggers that stpipe sets up for this step."""
        return ("stpipe", "astroclean")

    @classmethod
    def get_config_from_reference(cls, dataset: Any, **kwargs: Any) -> Any:  # noqa: ARG003
        """Return no settings: CRDS has none for this step, and is not asked."""
        return cls._empty_config()

    @classmethod
    def _datamodels_open(cls, init: Any, **kwargs: Any) -> Any:
        from stdatamodels.jwst import datamodels  # noqa: PLC0415 - takes a second

        return datamodels.open(init, **kwargs)


def _fill_in(model: Any, found: Cleaned) -> None:
    """Write what changed into a model."""
    if found.changed.any():
        model.data[found.changed] = found.data[found.changed]
    if found.err is not None and found.err_changed.any():
        model.err[found.err_changed] = found.err[found.err_changed]
    if found.dq.any():
        old = np.zeros(found.dq.shape, dtype=np.uint32) if model.dq is None else model.dq
        model.dq = old | found.dq
