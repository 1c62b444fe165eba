"""Layers of a pipeline: file, environment, ``--set``; each value knows where it came from."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from astroclean.config.load import load_pipeline
from astroclean.errors import ConfigurationError, lines_of

if TYPE_CHECKING:
    from pathlib import Path


def pipeline(**options: Any) -> dict[str, Any]:
    return {"schema": 1, "stage": [{"plugin": "rich-man", "options": options}]}


def option(given_: dict[str, Any], *settings: str, **environment: str) -> Any:
    loaded = load_pipeline(given_, settings=settings, environment=environment)
    return loaded.config.stage[0].options.get("key")


layers = st.fixed_dictionaries(
    {}, optional={layer: st.integers() for layer in ("file", "environment", "set")}
)


@given(layers)
def test_the_last_layer_that_speaks_wins(said: dict[str, int]) -> None:
    given_ = pipeline(key=said["file"]) if "file" in said else pipeline()
    settings = [f"rich-man.key={said['set']}"] if "set" in said else []
    told = {}
    if "environment" in said:
        told["ASTROCLEAN_RICH_MAN__KEY"] = str(said["environment"])
    loaded = load_pipeline(given_, settings=settings, environment=told)

    winner = next((w for w in ("set", "environment", "file") if w in said), None)
    options = loaded.config.stage[0].options
    assert options == ({} if winner is None else {"key": said[winner]})
    origin = {"set": "--set", "file": "pipeline"}
    origin["environment"] = "environment ASTROCLEAN_RICH_MAN__KEY"
    assert loaded.origins == ({} if winner is None else {"rich-man.key": origin[winner]})
    assert given_ == (pipeline(key=said["file"]) if "file" in said else pipeline())


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3", 3),
        ("0.5", 0.5),
        ("true", True),
        ("'3'", "3"),
        ("jwst", "jwst"),
        ("a.fits", "a.fits"),
        ("", ""),
        ("[1, 2]", [1, 2]),
        ("{CR = 0.3}", {"CR": 0.3}),
        ("a=b", "a=b"),
    ],
)
def test_values_are_toml_or_text(text: str, value: object) -> None:
    assert option(pipeline(), f"rich-man.key={text}") == value
    assert option(pipeline(), ASTROCLEAN_RICH_MAN__KEY=text) == value


def test_tables_are_set_too() -> None:
    loaded = load_pipeline(
        pipeline(),
        settings=["run.keep_stages=true", "psf.fwhm=2 pixel", "bands.g='[1]'"],
        environment={"ASTROCLEAN_INSTRUMENT__GAIN": "2.5", "ASTROCLEAN_CONFIG": "/etc"},
    )
    assert loaded.config.run.keep_stages
    assert loaded.config.psf is not None
    assert loaded.config.psf.fwhm == "2 pixel"
    assert loaded.config.instrument.gain == 2.5
    assert loaded.notes == ()


def test_a_psf_that_is_set_takes_the_place_of_the_pipelines() -> None:
    pipeline = {"schema": 1, "psf": {"instrument": True}, "stage": [{"plugin": "lacosmic"}]}
    loaded = load_pipeline(pipeline, settings=["psf.file=a.fits"], environment={})
    assert loaded.config.psf is not None
    assert (loaded.config.psf.file, loaded.config.psf.instrument) == ("a.fits", False)
    assert {k: v for k, v in loaded.origins.items() if k.startswith("psf")} == {"psf.file": "--set"}
    told = {"ASTROCLEAN_PSF__FWHM": "2 pixel"}
    loaded = load_pipeline(pipeline, settings=["psf.estimate=true"], environment=told)
    assert loaded.config.psf is not None
    assert (loaded.config.psf.estimate, loaded.config.psf.fwhm) == (True, None)
    with pytest.raises(ConfigurationError, match="exactly one"):
        load_pipeline(pipeline, settings=["psf.estimate=true", "psf.file=a.fits"], environment={})


def test_meaning_of_masks_is_said_once() -> None:
    def loaded(*settings: str) -> dict[str, Any]:
        read = load_pipeline(pipeline(), settings=settings, environment={})
        return read.config.instrument.overrides()

    assert loaded("instrument.bad_bits=~4096,1") == {"bad_bits": "~4096,1"}
    assert loaded("instrument.good_bits=4096") == {"good_bits": 4096}
    assert loaded("instrument.bad_bits=[1, 2]") == {"bad_bits": (1, 2)}
    assert loaded("instrument.dq=dragons") == {"dq": "dragons"}
    for settings, problem in (
        (("instrument.bad_bits=1", "instrument.good_bits=2"), "bad_bits and good_bits"),
        (("instrument.bad_bits=1", "instrument.dq=jwst"), "dq and bad_bits"),
        (("instrument.bad_bits=1,x",), "1,4096"),
        (("instrument.dq=dragon",), "dragons"),
    ):
        with pytest.raises(ConfigurationError, match=problem):
            loaded(*settings)


def test_instrument_by_name_and_its_values() -> None:
    given_ = {**pipeline(), "instrument": "decam"}
    loaded = load_pipeline(given_, settings=["instrument.gain=2"], environment={})
    assert (loaded.config.instrument.name, loaded.config.instrument.gain) == ("decam", 2)
    assert loaded.config.instrument.overrides() == {"gain": 2}


def test_stage_of_a_name_is_meant_by_its_name() -> None:
    given_ = {"schema": 1, "stage": [{"plugin": "a", "name": n} for n in ("one", "two")]}
    loaded = load_pipeline(given_, settings=["two.key=1"], environment={})
    assert [stage.options for stage in loaded.config.stage] == [{}, {"key": 1}]
    with pytest.raises(ConfigurationError, match="no stage or table 'a'"):
        load_pipeline(given_, settings=["a.key=1"], environment={})


def test_same_stage_twice_needs_names() -> None:
    given_ = {"schema": 1, "stage": [{"plugin": "a"}, {"plugin": "a"}]}
    with pytest.raises(ConfigurationError, match=r"'a'.*twice.*name"):
        load_pipeline(given_, environment={})


@pytest.mark.parametrize("text", ["key=1", "rich-man=1", "rich-man.key", "rich-man.=1", ""])
def test_settings_that_cannot_be_read(text: str) -> None:
    with pytest.raises(ConfigurationError, match=r"stage\.key=value"):
        load_pipeline(pipeline(), settings=[text], environment={})


def test_every_problem_of_every_layer_is_told() -> None:
    given_ = {**pipeline(), "schema": 7, "produkts": {}}
    settings = ["rich-men.key=1", "run.keep_stages=perhaps", "nonsense"]
    with pytest.raises(ConfigurationError) as raised:
        load_pipeline(given_, settings=settings, environment={})
    told = raised.value.problems
    assert len(told) == 6
    for start, hint in {
        "schema:": "7",
        "produkts:": "'products'",
        "--set rich-men.key=1:": "'rich-man'",
        "--set run.keep_stages:": "perhaps",
        "--set nonsense:": "stage.key=value",
    }.items():
        assert [line for line in told if line.startswith(start) and hint in line], (start, told)


def test_variable_for_another_pipeline_is_a_note() -> None:
    loaded = load_pipeline(pipeline(), environment={"ASTROCLEAN_PCONV__SEED": "1"})
    assert ["ASTROCLEAN_PCONV__SEED" in note for note in loaded.notes] == [True]


def test_base_is_the_folder_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "sub" / "p.toml"
    path.parent.mkdir()
    path.write_text('schema = 1\n[[stage]]\nplugin = "a"\n', "utf-8")
    assert load_pipeline(path, environment={}).base == path.parent
    assert load_pipeline(str(path), environment={}).base == path.parent


def test_own_folder_of_configurations_goes_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "pipelines"
    folder.mkdir()
    (folder / "demo.toml").write_text('schema = 1\n[[stage]]\nplugin = "mine"\n', "utf-8")
    monkeypatch.setenv("ASTROCLEAN_CONFIG", str(tmp_path))
    assert load_pipeline("demo", environment={}).config.stage[0].plugin == "mine"
    monkeypatch.delenv("ASTROCLEAN_CONFIG")
    assert load_pipeline("demo", environment={}).config.stage[0].plugin != "mine"


@pytest.mark.parametrize(
    ("name", "told"), [("dmeo", "'demo'"), ("no/such.toml", "no such file"), ("x.toml", "no such")]
)
def test_pipeline_that_is_not_there(name: str, told: str) -> None:
    with pytest.raises(ConfigurationError, match=told):
        load_pipeline(name, environment={})


@pytest.mark.parametrize("wrong", [3, "a", {"plugin": "a"}, [3], [{"plugin": "a", "options": 3}]])
def test_stages_of_another_type(wrong: Any) -> None:
    with pytest.raises(ConfigurationError, match="stage"):
        load_pipeline({"schema": 1, "stage": wrong}, settings=["run.x=1"], environment={})


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=8),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["schema", "stage", "plugin", "options", "run", "psf", "x"]), inner
            )
        ),
        max_leaves=12,
    )
)
def test_nonsense_is_a_configuration_error_or_a_pipeline(nonsense: Any) -> None:
    given_ = nonsense if isinstance(nonsense, dict) else {"stage": nonsense}
    with contextlib.suppress(ConfigurationError):
        loaded = load_pipeline(given_, settings=["run.keep_stages=true"], environment={})
        assert loaded.config.stage
        assert loaded.config.run.keep_stages


MISTAKES = """\
schema = 1
[run]
max_memroy = "2 GB"

[products]
keep = ["flgs"]

[[stage]]
plugin = "lacosmc"

[[stage]]
plugin = "lacosmic"
name = "hits"
[stage.options]
sigclip = "5"
grow = true
saturation = nan
limits = { CR = 0.1, TRL = "x" }

[[stage]]
plugin = "badpix"
options = { map = "none.fits" }
"""


def test_a_wrong_key_hides_no_wrong_plugin_and_no_wrong_option(tmp_path: Path) -> None:
    path = tmp_path / "p.toml"
    path.write_text(MISTAKES, "utf-8")
    settings = ["hits.niter=3.5", "lacosmic.niter=3", "sigfrac=1", "hits.limits.HP=true"]
    with pytest.raises(ConfigurationError) as raised:
        load_pipeline(path, settings=settings, environment={"ASTROCLEAN_HITS__OBJLIM": "much"})
    assert raised.value.where == str(path)
    hits = "stage 2 'hits' (plugin lacosmic)"
    for start, hint in {
        "line 3, run.max_memroy: no such key": "'max_memory'",
        "line 8, stage 1 'lacosmc': no plugin 'lacosmc'": "'lacosmic'",
        f"line 15, {hits}, sigclip: must be a number, without quotation marks": "'5'",
        f"line 16, {hits}, grow: must be a number, not true or false": "got true",
        f"line 17, {hits}, saturation: must be a finite number": "nan",
        f"line 18, {hits}, limits.TRL: must be a number": "'x'",
        "line 22, stage 3 'badpix', map: ": "none.fits: no such file",
        f"--set hits.niter, {hits}: must be a whole number": "3.5",
        f"--set hits.limits.HP, {hits}: must be a number": "true",
        f"environment ASTROCLEAN_HITS__OBJLIM, {hits}, objlim: must be a number": "much",
        "--set lacosmic.niter=3: no stage or table 'lacosmic'": "write --set hits.niter=3.",
        "--set sigfrac=1: must read stage.key=value": "as in hits.sigfrac=1",
    }.items():
        told = [x for x in raised.value.problems if x.startswith(start) and hint in x]
        assert len(told) == 1, (start, raised.value.problems)


def problems_of(text: str, path: Path) -> list[str]:
    path.write_text(text, "utf-8")
    with pytest.raises(ConfigurationError) as raised:
        load_pipeline(path, environment={})
    return raised.value.problems


def test_words_of_keep_are_judged_where_all_stages_are_known(tmp_path: Path) -> None:
    text = MISTAKES.replace('[[stage]]\nplugin = "lacosmc"\n', "")
    told = problems_of(text, tmp_path / "p.toml")
    assert [line for line in told if line.startswith("line 6, products.keep[0]: no stage of this")]


def test_words_of_keep_that_are_nearly_others_are_told_where_a_plugin_is_unknown(
    tmp_path: Path,
) -> None:
    text = (
        'schema = 1\nproducts.keep = ["flagz", "of-the-other"]\n[[stage]]\nplugin = "none-such"\n'
    )
    path = tmp_path / "p.toml"
    path.write_text(text, "utf-8")
    faults = load_pipeline(path, environment={}).faults()
    told = [line for fault in faults for line in lines_of(fault) if "keep" in line]
    assert len(told) == 1
    assert "keep[0]: no stage that is known gives 'flagz'. Did you mean 'flags'?" in told[0]


def test_a_limit_of_no_plane_is_told_where_it_was_set(tmp_path: Path) -> None:
    path = tmp_path / "p.toml"
    path.write_text(
        'schema = 1\n[[stage]]\nplugin = "lacosmic"\n[stage.options.limits]\nCR = 0.1\n', "utf-8"
    )
    loaded = load_pipeline(path, settings=["lacosmic.limits.XX=0.2"], environment={})
    (told,) = lines_of(loaded.faults()[0])
    assert told.startswith("--set lacosmic.limits.XX, stage 1 'lacosmic': ")
    assert "XX" in told.removeprefix("--set lacosmic.limits.XX")


def test_the_size_of_a_pixel_is_an_angle() -> None:
    for told in ("0.2 parsec", "2 pixel"):
        with pytest.raises(ConfigurationError, match=r'must be an angle, such as "0\.4 arcsec"'):
            load_pipeline(
                {**pipeline(), "instrument": {"pixel_scale": told}}, settings=[], environment={}
            )


def test_instruments_and_units_that_nobody_knows_are_told() -> None:
    for setting, problem in (
        ("instrument.name=hst-acs-wfz", "Did you mean 'hst-acs-wfc'"),
        ("instrument.unit=photoms", 'must be a unit, such as "adu"'),
    ):
        with pytest.raises(ConfigurationError, match=problem):
            load_pipeline(pipeline(), settings=[setting], environment={})


def test_dots_of_a_setting_go_into_tables() -> None:
    loaded = load_pipeline(
        {**pipeline(table={"a": 1}), "input": {"simulate": {"kind": "exposure"}}},
        settings=["rich-man.table.b=2", "input.simulate.seed=3", "stage.rich-man.options.key=4"],
        environment={},
    )
    assert loaded.config.stage[0].options == {"table": {"a": 1, "b": 2}, "key": 4}
    assert loaded.config.input.simulate is not None
    assert loaded.config.input.simulate.seed == 3
