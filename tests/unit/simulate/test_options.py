"""Options of simulators come from their own parameters; what is none is told with the nearest."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import pytest
from pydantic import Field, ValidationError

from astroclean.core.image.frame import Frame
from astroclean.core.stage.options import StageOptions, option_problems
from astroclean.errors import ConfigurationError, PluginLoadError
from astroclean.simulate.contaminated import ContaminatedConfig, simulate_contaminated
from astroclean.simulate.options import configured
from astroclean.simulate.scene import Scene

if TYPE_CHECKING:
    from decimal import Decimal


@dataclass(frozen=True)
class Inner:
    width: tuple[float, float] = (1.0, 2.0)
    shares: dict[str, float] = field(default_factory=lambda: {"a": 0.5, "b": 0.5})


@dataclass(frozen=True)
class Config:
    inner: Inner = field(default_factory=Inner)
    data: Path | None = None


def plain(*, seed: int, shape: tuple[int, int], stars: int = 3) -> Scene:
    return Scene(Frame(np.full(shape, seed), unit="adu"), notes={"stars": float(100 // stars)})


def rich(
    *, seed: int, shape: tuple[int, int], bright: bool = False, config: Config | None = None
) -> Scene:
    notes = {"seen": repr((bright, config))}
    return Scene(Frame(np.full(shape, seed), unit="adu"), notes=notes)


def unreadable(*, seed: int, shape: tuple[int, int], price: Decimal | None = None) -> Scene:
    return plain(seed=seed, shape=shape)


def seen(settings: dict[str, Any]) -> Any:
    return configured(rich, settings)(seed=1, shape=(4, 5)).notes["seen"]


def test_nothing_set_is_the_simulator_itself() -> None:
    assert configured(plain, {}) is plain


def test_keyword_parameters_are_options() -> None:
    scene = configured(plain, {"stars": 20})(seed=7, shape=(4, 5))
    assert scene.notes == {"stars": 5.0}
    assert scene.frame.data[0, 0] == 7


def test_fields_of_the_config_are_options_and_the_others_keep_their_defaults() -> None:
    assert seen({"inner.width": [3, 4], "bright": True}) == repr(
        (True, Config(Inner(width=(3.0, 4.0))))
    )
    assert seen({"inner": {"shares": {"b": 1}}, "data": "hits"}) == repr(
        (False, Config(Inner(shares={"a": 0.5, "b": 1.0}), Path("hits")))
    )
    assert seen({"bright": True}) == repr((True, None))


@pytest.mark.parametrize(
    ("simulator", "settings", "message"),
    [
        (plain, {"star": 3}, "star: no such option. Did you mean 'stars'"),
        (plain, {"seed": 3}, "seed: no such option"),
        (plain, {"stars": "many"}, "stars: must be a number"),
        (plain, {"stars": "20"}, "stars: must be a number, without quotation marks"),
        (plain, {"stars": True}, "stars: must be a number, not true or false"),
        (rich, {"inner.widht": [1, 2]}, "inner.widht: no such option. Did you mean 'width'"),
        (rich, {"inner": {"shares": {"c": 1}}}, "inner.shares.c: no such option"),
        (rich, {"inner.width": [1]}, r"inner.width\[1\]: required but missing"),
        (rich, {"data.x": 1}, "data: input is not a valid path"),
        (rich, {"inner": 3}, "inner: must be a table"),
        (simulate_contaminated, {"chances.trail": 1}, "Did you mean 'trails'"),
        (
            simulate_contaminated,
            {"psf.fwhm": [3, 2]},
            "fwhm: must be the lowest and",
        ),
        (simulate_contaminated, {"cosmic_rays.real": 2}, "cosmic_rays.real: must be less"),
    ],
)
def test_what_is_no_option_is_told(simulator: Any, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        configured(simulator, settings)


def test_problems_are_told_in_the_words_of_stage_options() -> None:
    class Toy(StageOptions):
        width: int = Field(3, ge=1)

    def toy(*, seed: int, shape: tuple[int, int], width: Annotated[int, Field(ge=1)] = 3) -> Scene:
        return plain(seed=seed, shape=shape)

    for settings in ({"width": 0}, {"width": "wide"}, {"widht": 4}):
        with pytest.raises(ValidationError) as of_stage:
            Toy.model_validate(settings)
        with pytest.raises(ConfigurationError) as of_simulator:
            configured(toy, settings)
        told = option_problems(of_stage.value, Toy, settings)
        assert [text.split("Did")[0].split("Known")[0] for text in of_simulator.value.problems] == [
            text.split("Did")[0].split("Known")[0] for text in told
        ]


def test_every_problem_is_told_at_once() -> None:
    with pytest.raises(ConfigurationError) as caught:
        configured(rich, {"brigth": 1, "inner.widht": 2})
    assert len(caught.value.problems) == 2


def test_a_value_that_the_simulator_cannot_use_is_told() -> None:
    simulate = configured(plain, {"stars": 0})
    with pytest.raises(ConfigurationError, match="fails with these options: ZeroDivisionError"):
        simulate(seed=1, shape=(4, 4))


def test_annotations_that_cannot_be_read_are_named() -> None:
    with pytest.raises(PluginLoadError, match="Decimal is not imported"):
        configured(unreadable, {"price": 1})


def test_options_change_what_is_simulated() -> None:
    pytest.importorskip("galsim")
    chances = dict.fromkeys(ContaminatedConfig().chances, 0)
    simulate = configured(simulate_contaminated, {"chances": chances, "camera.sky": [50, 51]})
    scene = simulate(seed=4, shape=(64, 64))
    assert 50 <= scene.notes["sky"] <= 51
    assert set(np.unique(scene.planes)) <= {0, 1 << 9, 1 << 12, (1 << 9) | (1 << 12)}
