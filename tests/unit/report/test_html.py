"""The page: everything said, everything escaped, nothing loaded, however large the run."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from toy_html import Page, assert_sound

from astroclean.report.html import MAX_PICTURES, pictured_frames, render_report
from astroclean.report.model import (
    FileRecord,
    FileStatus,
    FrameRecord,
    RunReport,
    StageRecord,
)
from astroclean.report.picture_records import Histogram, Preview, Spectrum

PIXEL = "data:image/png;base64,iVBORw0KGgo="
EVIL = "<script>alert('x')</script>\"><img src=x onerror=alert(1)>"


def frame(name: str = "x.fits[1]", *, changed: int = 10, **fields: Any) -> FrameRecord:
    values: dict[str, Any] = {
        "frame_id": name,
        "hdu": "SCI,1",
        "plane": None,
        "shape": (100, 200),
        "unit": "adu",
        "pixels_changed": changed,
        "flagged_before": {"SATURATED": 3},
        "flagged_after": {"COSMIC_RAY": 1234, "SATURATED": 3},
        "histogram": Histogram(edges=[0.0, 1.0, 2.0], before=[10, 0], after=[9, 1]),
        "previews": [
            Preview(
                title="overview",
                width=200,
                height=100,
                before=PIXEL,
                after=PIXEL,
                planes={"COSMIC_RAY": PIXEL},
                note="Whole frame",
            )
        ],
    }
    return FrameRecord(**{**values, **fields})


def file(name: str, status: FileStatus = FileStatus.DONE, **fields: Any) -> FileRecord:
    return FileRecord(input=name, status=status, **fields)


def page(*files: FileRecord, **fields: Any) -> Page:
    return Page(render_report(RunReport(**{"exit_code": 0, "files": list(files), **fields})))


def test_empty_run() -> None:
    found = page(exit_code=4)
    assert_sound(found)
    assert "No input matched." in found.text
    assert "No file was processed." in found.text


def test_exit_code_that_nobody_knows() -> None:
    assert "Exit status 77." in page(exit_code=77).text


def test_run_in_which_all_failed() -> None:
    bad = FileStatus.FAILED
    found = page(
        file("a.fits", bad, error="a.fits: no such HDU", notes=["odd header"]),
        file("b.fits", bad, traceback="Traceback: line 3", frames=[frame()]),
        exit_code=1,
    )
    assert_sound(found)
    for said in ("a.fits: no such HDU", "odd header", "Traceback: line 3", "Some inputs failed"):
        assert said in found.text
    assert not found.all("img")


def test_failures_come_before_all_else() -> None:
    found = page(
        file("good.fits", frames=[frame()]), file("bad.fits", FileStatus.FAILED, error="E")
    )
    assert found.text.index("bad.fits") < found.text.index("good.fits")


@pytest.mark.parametrize("count", [1, 3, 100])
def test_each_file_has_a_row_and_a_link(count: int) -> None:
    files = [
        file(
            f"f{i}.fits",
            frames=[frame(f"f{i}.fits[1]", changed=i)],
            outputs={f"f{i}_clean.fits": "ab"},
        )
        for i in range(count)
    ]
    found = page(*files)
    assert_sound(found)
    rows = [a for tag, a in found.elements if tag == "tr" and a.get("data-status") == "done"]
    assert len(rows) == count
    hrefs = {link["href"] for link in found.all("a")}
    assert {f"./f{i}_clean.fits" for i in range(count)} <= hrefs
    assert len(found.all("input", class_="split")) == min(count, MAX_PICTURES)
    assert bool(found.all("input", id="filter-text")) == (count > 3)
    assert (f"{MAX_PICTURES} of {count} frames" in found.text) == (count > MAX_PICTURES)


def test_pictures_are_for_frames_with_most_changed_pixels() -> None:
    files = [file(f"{i}", frames=[frame(changed=(7 * i) % 50)]) for i in range(50)]
    files.append(file("bad", FileStatus.FAILED, frames=[frame(changed=10**6)]))
    files.append(file("none", frames=[frame(changed=10**6, previews=[], histogram=None)]))
    chosen = pictured_frames(RunReport(exit_code=1, files=files))
    changed = sorted(files[i].frames[j].pixels_changed for i, j in chosen)
    assert changed == list(range(50 - MAX_PICTURES, 50))


@pytest.mark.parametrize(("changed", "first"), [(0, "layer"), (5, "split")])
def test_what_was_made_comes_first_where_no_pixel_changed(changed: int, first: str) -> None:
    made = Preview(title="DECONV", width=9, height=9, before=PIXEL, after=PIXEL)
    one = frame(changed=changed, layer_previews=[made])
    elements = page(file("a.fits", frames=[one])).elements
    ids = [str(told.get("id")) for tag, told in elements if tag == "input"]
    shown = [found[1] for name in ids if (found := re.search("-(layer|split)-1$", name))]
    assert shown[0] == first
    assert sorted(shown) == ["layer", "split"]


def test_equal_files_are_kept_apart() -> None:
    found = page(file("same.fits"), file("same.fits"))
    assert_sound(found)
    assert len(found.all("details", class_="file")) == 2


def test_hostile_names_stay_text() -> None:
    stage = StageRecord(
        name=EVIL, plugin=EVIL, kind=EVIL, version=EVIL, outcome=EVIL, seconds=1, metrics={EVIL: 1}
    )
    hostile = frame(
        EVIL,
        hdu=EVIL,
        unit=EVIL,
        psf=EVIL,
        stages=[stage],
        statistics={EVIL: 1.0, f"{EVIL} before": 2.0},
        flagged_after={EVIL: 3},
    )
    found = page(
        file(
            EVIL,
            frames=[hostile, hostile],
            instrument=EVIL,
            notes=[EVIL],
            skipped_hdus={EVIL: EVIL},
            screening={EVIL: 0.5},
            outputs={EVIL: EVIL, "javascript:alert(1)": "", "//host/x": ""},
            rejected_by=EVIL,
        ),
        file(EVIL, FileStatus.FAILED, error=EVIL, traceback=EVIL, notes=[EVIL]),
        description=EVIL,
        started=EVIL,
        output=EVIL,
        machine=EVIL,
        notes=[EVIL],
        command=["astroclean", EVIL],
        config={EVIL: {EVIL: EVIL}, "stage": [{"plugin": EVIL, "options": {EVIL: EVIL}}]},
        origins={f"{EVIL}.{EVIL}": EVIL},
        versions={EVIL: EVIL, "astroclean": EVIL},
    )
    assert_sound(found)
    assert len(found.all("script")) == 1
    assert "alert('x')" in found.text


def test_page_names_no_host_and_forbids_loading() -> None:
    text = render_report(RunReport(exit_code=0, files=[file("a.fits", frames=[frame()])]))
    assert not re.search(r"https?:|@import|url\(", text)
    policy = Page(text).all("meta", **{"http-equiv": "Content-Security-Policy"})
    assert "default-src 'none'" in (policy[0]["content"] or "")


MASKING = StageRecord(
    name="crays",
    plugin="maximask",
    kind="mask",
    version="0.3.1",
    outcome="no work",
    seconds=0.0421,
    metrics={"pixels COSMIC_RAY": 1234567.0, "seeing": None, "share": 0.012345},
)


def test_numbers_are_said() -> None:
    found = page(
        file(
            "a.fits",
            frames=[
                frame(
                    stages=[MASKING],
                    changed=5000,
                    psf="Gaussian",
                    sources=4321,
                    statistics={"median_before": 12.34567, "median_after": 12.3, "sky": 3.0},
                )
            ],
            skipped_hdus={"TABLE": "not an image"},
            screening={"maxitrack": 0.25},
            notes=["unit assumed"],
        ),
        seconds=83.0,
        started="2025-03-02T04:10:33+00:00",
    )
    assert_sound(found)
    for said in (
        "1 min 23 s",
        "2025-03-02 04:10:33 UTC",
        "crays",
        "no work",
        "42 ms",
        "1,234,567",
        "0.01235",
        "25 %",
        "200 × 100 pixels",  # noqa: RUF001
        "4,321",
        "12.35",
        "12.30",
        "not an image",
        "0.2500",
        "unit assumed",
    ):
        assert said in found.text


def test_configuration_says_who_set_what() -> None:
    found = page(
        config={
            "schema_version": 1,
            "instrument": {"name": "auto", "unit": None},
            "stage": [
                {"plugin": "lacosmic", "name": "crays", "options": {"sigma": 4.5, "iterations": 4}}
            ],
        },
        origins={"crays.sigma": "--set", "instrument.name": "pipeline"},
        command=["astroclean", "run", "my pipeline.toml"],
        versions={"astroclean": "1.2.3"},
    )
    assert_sound(found)
    assert "astroclean run 'my pipeline.toml'" in found.text
    assert "astroclean 1.2.3" in found.text
    for said in (
        "stage 1: crays",
        "sigma 4.5 --set",
        "iterations 4 default",
        'name "auto" pipeline',
    ):
        assert said in found.text


POWER = Spectrum(frequency=[0.1, 0.2, 0.5], before=[9.0, 4.0, 2.0], after=[3.0, 2.0, 1.0])


def test_spectrum_is_drawn_for_frames_that_have_one() -> None:
    both = file("a.fits", frames=[frame("a[1]", spectrum=POWER), frame("a[2]")])
    found = page(both)
    assert_sound(found)
    named = [svg["aria-labelledby"] for svg in found.all("svg", role="img")]
    kinds = ["histogram", "spectrum", "histogram"]
    assert [str(name).rpartition("-")[2] for name in named] == kinds
    titles = {title["id"] for title in found.all("title") if title.get("id")}
    assert set(named) == titles
    assert found.text.count("Power spectrum before and after") == 1
    assert "power (adu²)" in found.text
    assert "cycles per pixel" in found.text


def test_spectrum_says_what_was_compared() -> None:
    noted = POWER.model_copy(update={"note": "Of the central 4096 pixels"})
    assert "Of the central 4096 pixels." in page(file("a", frames=[frame(spectrum=noted)])).text


def test_plots_are_not_in_the_record_for_programs() -> None:
    report = RunReport(exit_code=0, files=[file("a.fits", frames=[frame(spectrum=POWER)])])
    told = json.loads(report.to_json())["files"][0]["frames"][0]
    assert not {"previews", "histogram", "spectrum"} & set(told)
