"""The page in a browser: no error, no network, and controls that do what they say."""

from __future__ import annotations

import html
import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from astroclean.core.flags.planes import MaskPlane, count_planes
from astroclean.report.chances import THRESHOLDS, count_above, counts_above
from astroclean.report.html import render_report
from astroclean.report.model import (
    FileRecord,
    FileStatus,
    FrameRecord,
    RunReport,
    StageRecord,
    ValueRecord,
)
from astroclean.report.pages import pages_of
from astroclean.report.picture_records import ThresholdRecord
from astroclean.report.plots import make_histogram, make_spectrum
from astroclean.report.preview import make_previews

pytestmark = pytest.mark.browser

CHROMIUM = "chromium"
ARGUMENTS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
)
CR, FILLED = np.uint32(MaskPlane.COSMIC_RAY), np.uint32(MaskPlane.INTERPOLATED)


def star_field(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """Sky of 212 adu with Moffat stars."""
    image = rng.normal(212, 9, shape)
    y, x = np.mgrid[-14:15, -14:15]
    profile = (1 + (x**2 + y**2) / 4.5) ** -2.5
    for _ in range(shape[0] * shape[1] // 3000):
        row, column = (int(rng.integers(15, n - 15)) for n in shape)
        flux = min(60 * (1 + rng.pareto(0.9)), 40_000)
        image[row - 14 : row + 15, column - 14 : column + 15] += flux * profile
    return image


def add_cosmic_rays(
    rng: np.random.Generator, image: np.ndarray, flags: np.ndarray, count: int
) -> None:
    """Draw straight tracks."""
    for _ in range(count):
        length, angle = 1 + rng.exponential(9), rng.uniform(0, np.pi)
        steps = np.arange(0, length, 0.4)
        track = tuple(
            np.clip(rng.uniform(0, n) + steps * f(angle), 0, n - 1).astype(int)
            for n, f in zip(image.shape, (np.sin, np.cos), strict=True)
        )
        image[track] += rng.uniform(250, 4000)
        flags[track] |= CR | FILLED


def exposure(seed: int, shape: tuple[int, int] = (1024, 1024)) -> tuple[np.ndarray, ...]:
    """Before, after, flags before, flags after and changed pixels of a simulated frame."""
    rng = np.random.default_rng(seed)
    after = star_field(rng, shape)
    before, flags = after.copy(), np.zeros(shape, np.uint32)
    column = int(rng.integers(30, shape[1] - 30))
    before[shape[0] // 8 :, column] = rng.normal(20, 3, shape[0] - shape[0] // 8)
    flags[shape[0] // 8 :, column] |= np.uint32(MaskPlane.DEAD_LINE) | FILLED
    flags[after > 9000] |= np.uint32(MaskPlane.SATURATED)
    for image in (before, after):
        image[:, :6] = np.nan
    flags[:, :6] |= np.uint32(MaskPlane.NO_DATA)
    known = flags & ~FILLED
    add_cosmic_rays(rng, before, flags, 130)
    changed = (flags & FILLED) != 0
    return before.astype(np.float32), after.astype(np.float32), known, flags, changed


def frame_record(name: str, seed: int, shape: tuple[int, int] = (1024, 1024)) -> FrameRecord:
    """Record of a frame with pictures."""
    before, after, known, flags, changed = exposure(seed, shape)
    statistics: dict[str, float | None] = {}
    for side, image in (("before", before), ("after", after)):
        median = float(np.nanmedian(image))
        statistics[f"median {side}"] = median
        statistics[f"noise {side}"] = 1.4826 * float(np.nanmedian(np.abs(image - median)))
        statistics[f"sum {side}"] = float(np.nansum(image, dtype=np.float64))
    hits = float(np.count_nonzero(flags & CR))
    return FrameRecord(
        frame_id=name,
        hdu="SCI,1",
        plane=None,
        shape=shape,
        unit="adu",
        pixels_changed=int(changed.sum()),
        flagged_before=count_planes(known),
        flagged_after=count_planes(flags),
        statistics=statistics,
        values={
            "gain": ValueRecord(value=1.5, unit="electron/adu", origin="card GAIN of [SCI,1]"),
            "filter": ValueRecord(
                value="z DECam SDSS c0004 9260.0 1520.0 " + "as_no_line_is_broken_here" * 4,
                origin="card FILTER of the primary header, which no other card contradicts",
            ),
            "pixel scale": ValueRecord(value=None),
        },
        psf="Gaussian of 2.6 pixels FWHM, from the instrument file",
        sources=341,
        stages=[
            stage(
                "maximask", "mask", 4.21, {"pixels COSMIC_RAY": hits, "fraction flagged": 0.0031}
            ),
            stage(
                "interpolate", "remove", 0.084, {"pixels replaced": hits, "flux removed": 1.93e6}
            ),
            stage("sep", "deblend", 0.61, {"sources": 341.0, "seeing": None}),
        ],
        histogram=make_histogram(before, after),
        spectrum=make_spectrum(before, after, flags),
        previews=make_previews(before, after, flags, changed),
    )


def stage(name: str, kind: str, seconds: float, metrics: dict[str, float | None]) -> StageRecord:
    """Record of a stage that did its work."""
    return StageRecord(
        name=name,
        plugin=name,
        kind=kind,
        version="0.1.0",
        outcome="done",
        seconds=seconds,
        metrics=metrics,
    )


def file_records() -> list[FileRecord]:
    """Files of every status."""
    frames = [frame_record("n4821_r.fits[SCI,1]", 3), frame_record("n4822_r.fits[SCI,1]", 5)]
    mosaic = [
        frame_record(f"mosaic.fits.fz[CCD{i},{i}]", 10 + i, (512, 256)).model_copy(
            update={"hdu": f"CCD{i}"}
        )
        for i in (1, 2, 3)
    ]
    done = FileStatus.DONE
    return [
        record("raw/n4821_r.fits", done, frames[:1]),
        record("raw/n4822_r.fits", done, frames[1:]).model_copy(
            update={"notes": ["BUNIT is missing; adu assumed from generic-ccd."]}
        ),
        record("raw/mosaic.fits.fz", done, mosaic).model_copy(
            update={"skipped_hdus": {"FOCUS": "a table", "GUIDE": "four axes"}}
        ),
        FileRecord(
            input="raw/n4823_r.fits",
            status=FileStatus.FAILED,
            error="raw/n4823_r.fits: file ends after 1,204 of 2,880 blocks\nCopy it again.",
            notes=["The header says that the exposure was aborted."],
            traceback='Traceback (most recent call last):\n  File "stage.py", line 12, in find\n',
            seconds=0.031,
        ),
        FileRecord(
            input="raw/n4824_r.fits",
            status=FileStatus.REJECTED,
            instrument="generic-ccd",
            rejected_by="maxitrack",
            screening={"maxitrack": 0.987},
            seconds=1.2,
        ),
        FileRecord(input="raw/n4820_r.fits", status=FileStatus.UP_TO_DATE, seconds=0.002),
    ]


@pytest.fixture(scope="module")
def report() -> RunReport:
    """A run on five files of which one failed and one was rejected."""
    return RunReport(
        exit_code=1,
        command=["astroclean", "run", "nightly.toml", "raw/*.fits*", "-o", "cleaned/"],
        description="Nightly cleaning of the r-band survey",
        started="2025-03-02T04:10:33+00:00",
        seconds=83.2,
        output="cleaned",
        jobs=4,
        config={
            "schema_version": 1,
            "instrument": {"name": "auto", "unit": None},
            "stage": [
                {"plugin": "maximask", "name": "maximask", "options": {"threshold": {"CR": 0.3}}},
                {"plugin": "interpolate", "name": "interpolate", "options": {"radius": 3}},
            ],
            "products": {"keep": ["flags", "uncertainty", "sources"], "science": True},
        },
        origins={"instrument.name": "pipeline", "maximask.threshold": "--set"},
        versions={"python": "3.11.2", "astroclean": "0.1.0", "numpy": "2.2.1", "astropy": "7.2.0"},
        machine="Linux x86_64, 16 cores",
        notes=["2 files that astroclean wrote were left out of raw/*.fits*."],
        files=file_records(),
    )


def record(name: str, status: FileStatus, frames: list[FrameRecord]) -> FileRecord:
    """Record of a file that was cleaned."""
    stem, _, suffix = Path(name).name.partition(".")
    digest = "8d2f3e0f" * 8
    return FileRecord(
        input=name,
        status=status,
        instrument="generic-ccd",
        outputs={f"{stem}_clean.{suffix}": digest, f"{stem}_sources.ecsv": digest},
        seconds=6.4,
        frames=frames,
    )


@pytest.fixture(scope="module")
def chromium() -> str:
    """Path of the browser."""
    found = shutil.which(CHROMIUM)
    if found is None:
        if os.environ.get("ASTROCLEAN_CI") == "1":
            pytest.fail("chromium must be installed where ASTROCLEAN_CI=1")
        pytest.skip("chromium is not installed")
    return found


def browse(chromium: str, page: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Open a page, wait for its scripts, and check that the console stayed empty."""
    profile = page.parent / "profile"
    command = [chromium, *ARGUMENTS, f"--user-data-dir={profile}", "--enable-logging=stderr"]
    command += ["--v=0", "--virtual-time-budget=3000", *arguments, page.as_uri()]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    said = [line for line in ended.stderr.splitlines() if "CONSOLE" in line]
    assert not said, "\n".join(said)
    return ended


def drive(chromium: str, folder: Path, text: str, script: str, *arguments: str) -> Any:
    """Run a script in a copy of the page and return what it put into ``answer``."""
    page = folder / "report.html"
    tail = (
        "<pre id='answer'></pre><script>{const answer = {};"
        f"{script}"
        ";document.getElementById('answer').textContent = JSON.stringify(answer);}</script></body>"
    )
    page.write_text(text.replace("</body>", tail), encoding="utf-8")
    dumped = browse(chromium, page, "--dump-dom", *arguments).stdout
    found = re.search(r'<pre id="answer">(.*?)</pre>', dumped, re.DOTALL)
    assert found, "the script did not end"
    return json.loads(html.unescape(found[1]))


USE_CONTROLS = """
document.querySelectorAll("details.file").forEach((d) => { d.open = true; });
const viewer = document.querySelector("[data-viewer]");
const split = viewer.querySelector(".split");
const before = viewer.querySelector(".before");
answer.middle = getComputedStyle(before).clipPath;
split.value = 20;
split.dispatchEvent(new Event("input", {bubbles: true}));
answer.moved = getComputedStyle(before).clipPath;
const box = split.parentElement.getBoundingClientRect();
const press = {button: 0, pointerId: 1, clientX: box.left + 0.75 * box.width,
               clientY: box.top + 9, bubbles: true, cancelable: true};
split.parentElement.setPointerCapture = () => {};
split.parentElement.dispatchEvent(new PointerEvent("pointerdown", press));
answer.dragged = Number(split.value);
answer.focused = document.activeElement === split;
const check = viewer.querySelector('input[data-plane="COSMIC_RAY"]');
const overlays = [...viewer.querySelectorAll(".overlay")];
const visible = () => overlays.filter((o) => !o.hidden).map((o) => o.dataset.plane);
answer.masksFirst = visible();
answer.outlined = overlays.filter((o) => !o.hidden).every((o) => "outlined" in o.dataset);
for (const box of viewer.querySelectorAll("input[data-plane]:checked")) box.click();
answer.masksNone = visible();
check.click();
answer.masksThen = visible();
const inOverview = () =>
    overlays[0].closest(".pictures").querySelectorAll(".overlay:not([hidden])").length;
answer.overview = inOverview();
viewer.querySelector("[data-whole]").click();
answer.overviewThen = inOverview();
const zoom = viewer.querySelector("[data-zoom]");
zoom.value = "8";
zoom.dispatchEvent(new Event("change"));
const detail = viewer.querySelectorAll(".pictures")[1];
answer.zoomed = detail.getBoundingClientRect().width / detail.dataset.width;
answer.window = detail.parentElement.getBoundingClientRect().width <= innerWidth;
const shown = detail.getBoundingClientRect();
detail.dispatchEvent(new PointerEvent("pointermove", {clientX: shown.left + 8 * 5 + 4,
    clientY: shown.bottom - 8 * 7 - 4, bubbles: true}));
answer.at = detail.closest("figure").querySelector(".at").value;
answer.corner = [Number(detail.dataset.x), Number(detail.dataset.y)];
zoom.value = "";
zoom.dispatchEvent(new Event("change"));
const veil = viewer.querySelector("[data-opacity]");
veil.value = 30;
veil.dispatchEvent(new Event("input"));
answer.opacity = getComputedStyle(viewer.querySelector(".veil")).opacity;
check.click();
answer.masksLast = visible();
answer.loaded = [...document.images].filter((i) => i.naturalWidth > 0).length;
answer.images = document.images.length;
answer.tooWide = document.documentElement.scrollWidth > innerWidth;
answer.requests = performance.getEntriesByType("resource")
    .map((r) => r.name).filter((name) => !name.startsWith("data:"));
"""


def test_controls(chromium: str, tmp_path: Path, report: RunReport) -> None:
    answer = drive(chromium, tmp_path, render_report(report), USE_CONTROLS)
    assert answer["middle"] == "inset(0px 50% 0px 0px)"
    assert answer["moved"] == "inset(0px 80% 0px 0px)"
    assert answer["dragged"] == 75
    assert answer["focused"]
    # Flags are told where something happened, and hide nothing there.
    assert {"COSMIC_RAY", "DEAD_LINE"} <= set(answer["masksFirst"])
    assert answer["outlined"]
    assert answer["masksNone"] == []
    assert (answer["overview"], answer["overviewThen"]) == (0, 1)
    assert answer["zoomed"] == pytest.approx(8)
    assert answer["window"]
    x, y = answer["corner"]
    assert answer["at"] == f"x {x + 5}, y {y + 7}"
    assert set(answer["masksThen"]) == {"COSMIC_RAY"}
    assert float(answer["opacity"]) == pytest.approx(0.3)
    assert answer["masksLast"] == []
    assert answer["loaded"] == answer["images"] > 0
    assert not answer["tooWide"]
    assert answer["requests"] == []


THRESHOLDS_SCRIPT = """
(async () => {
    const panel = document.querySelector(".thresholds");
    panel.closest("details.file").open = true;
    panel.open = true;
    const row = panel.querySelector('tr[data-plane="COSMIC_RAY"]');
    const line = panel.querySelector(".set-line");
    answer.first = [row.querySelector(".threshold").value, row.querySelector(".above").value];
    const slider = row.querySelector(".ladder");
    slider.value = 10;
    slider.dispatchEvent(new Event("input"));
    answer.then = [row.querySelector(".threshold").value, row.querySelector(".above").value];
    answer.line = line.textContent;
    const other = panel.querySelector('tr[data-plane="TRAIL"] .ladder');
    other.value = 20;
    other.dispatchEvent(new Event("input"));
    answer.both = line.textContent;
    await new Promise((done) => setTimeout(done, 300));
    const canvas = document.querySelectorAll(".pictures")[1].querySelector("canvas");
    const data = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
    answer.painted = data.filter((value, place) => place % 4 === 3 && value > 0).length;
    document.getElementById("answer").textContent = JSON.stringify(answer);
})()
"""


def test_slider_of_a_threshold_prints_the_line_to_copy(chromium: str, tmp_path: Path) -> None:
    image = np.random.default_rng(3).normal(100, 5, (800, 900)).astype(np.float32)
    chance = np.zeros(image.shape, np.float32)
    chance[400:420, 500:530] = 0.4
    chance[440, 500:510] = 0.2
    flags = np.where(chance > 0.3, CR, np.uint32(0))
    chances = {"COSMIC_RAY": chance, "TRAIL": 0 * chance}
    told = [
        ThresholdRecord(
            plane=plane,
            stage="maximask",
            threshold=0.3,
            above=count_above(values, 0.3),
            option="thresholds",
            key=key,
            others={"GH": 0.7, "CR": 0.3},
            counts=counts_above(values),
        )
        for (plane, values), key in zip(chances.items(), ("CR", "TRL"), strict=True)
    ]
    frame = frame_record("x.fits[0]", 3, (64, 64)).model_copy(
        update={
            "previews": make_previews(image, image, flags, flags != 0, chances=chances),
            "thresholds": told,
        }
    )
    page = RunReport(exit_code=0, files=[record("x.fits", FileStatus.DONE, [frame])])
    answer = drive(chromium, tmp_path, render_report(page), THRESHOLDS_SCRIPT)
    assert answer["first"] == ["0.3", "600"]
    assert answer["then"] == [str(THRESHOLDS[10]), "610"]
    set_to = f"CR = {THRESHOLDS[10]}, GH = 0.7"
    assert answer["line"] == f"--set 'maximask.thresholds={{{set_to}}}'"
    assert answer["both"] == f"--set 'maximask.thresholds={{{set_to}, TRL = {THRESHOLDS[20]}}}'"
    assert answer["painted"] == 610


def test_filters(chromium: str, tmp_path: Path, report: RunReport) -> None:
    answer = drive(
        chromium,
        tmp_path,
        render_report(report),
        """
        const text = document.getElementById("filter-text");
        const status = document.getElementById("filter-status");
        const rows = [...document.querySelectorAll("#file-rows tr")];
        const left = () => rows.filter((r) => !r.hidden).map((r) => r.cells[1].textContent.trim());
        text.value = "N482";
        text.dispatchEvent(new Event("input"));
        answer.named = left();
        status.value = "failed";
        status.dispatchEvent(new Event("change"));
        answer.failed = left();
        answer.said = document.getElementById("filter-count").value;
        text.value = "no such file";
        text.dispatchEvent(new Event("input"));
        answer.none = left();
        """,
    )
    names = [file.input for file in report.files]
    assert answer["named"] == [name for name in names if "n482" in name]
    assert answer["failed"] == ["raw/n4823_r.fits"]
    assert answer["said"] == f"1 of {len(names)} files"
    assert answer["none"] == []


def test_plots_stand_side_by_side(chromium: str, tmp_path: Path, report: RunReport) -> None:
    answer = drive(
        chromium,
        tmp_path,
        render_report(report),
        """
        document.querySelectorAll("details").forEach((d) => { d.open = true; });
        const lines = document.querySelector(".line-after").closest("svg");
        const steps = document.querySelector(".hist-after").closest("svg");
        const [left, right] = [steps, lines].map((s) => s.getBoundingClientRect());
        answer.level = Math.abs(left.top - right.top) < 2;
        answer.apart = left.right < right.left;
        const color = (name) => getComputedStyle(document.querySelector(name)).stroke;
        answer.colors = [".line-before", ".hist-before", ".line-after", ".hist-after"].map(color);
        """,
    )
    assert answer["level"]
    assert answer["apart"]
    before, before_too, after, after_too = answer["colors"]
    assert before == before_too != after == after_too


def test_link_opens_the_details_of_a_file(chromium: str, tmp_path: Path, report: RunReport) -> None:
    answer = drive(
        chromium,
        tmp_path,
        render_report(report),
        """
        answer.first = document.getElementById("file-2").open;
        location.hash = "#file-2";
        dispatchEvent(new HashChangeEvent("hashchange"));
        answer.then = document.getElementById("file-2").open;
        """,
    )
    assert answer == {"first": False, "then": True}


@pytest.mark.parametrize("width", [390, 1280])
def test_tables_are_read_on_a_phone_and_on_a_desk(
    chromium: str, tmp_path: Path, report: RunReport, width: int
) -> None:
    # A headless window may be wider than a phone; a frame within it is not.
    inner = html.escape(render_report(report))
    text = (
        f"<!DOCTYPE html><body><iframe srcdoc='{inner}' width={width} height=900></iframe></body>"
    )
    answer = drive(
        chromium,
        tmp_path,
        text,
        """
        const wait = new Promise((done) => setTimeout(done, 1000));
        wait.then(() => {
            const page = document.querySelector("iframe").contentDocument;
            page.querySelectorAll("details").forEach((d) => { d.open = true; });
            answer.width = page.documentElement.clientWidth;
            answer.page = page.documentElement.scrollWidth;
            answer.cells = page.querySelectorAll(".stack td").length;
            const isWide = (cell) => cell.getBoundingClientRect().right > answer.width;
            const wide = [...page.querySelectorAll("td, th")].filter(isWide);
            answer.cut = wide.map((cell) => cell.textContent);
            document.getElementById("answer").textContent = JSON.stringify(answer);
        });
        """,
    )
    assert answer["width"] <= width
    assert answer["page"] <= answer["width"]
    assert answer["cells"] > 10
    assert answer["cut"] == []


def test_pages_of_many_files_have_style_and_script(
    chromium: str, tmp_path: Path, report: RunReport
) -> None:
    written = {page.name: page.text() for page in pages_of(report, lambda record: record)}
    for name in ("report.css", "report.js"):
        (tmp_path / name).write_text(written[name], encoding="utf-8")
    first = next(text for name, text in written.items() if name.startswith("n4821"))
    script = (
        USE_CONTROLS
        + "answer.brand = getComputedStyle(document.querySelector('.brand')).letterSpacing;"
    )
    # The policy of these pages allows no script within: that of the test takes its place.
    answer = drive(
        chromium, tmp_path, first.replace("script-src", "script-src 'unsafe-inline'"), script
    )
    assert answer["moved"] == "inset(0px 80% 0px 0px)"
    assert answer["brand"] != "normal"
    assert all(name.startswith("file:") for name in answer["requests"])


@pytest.mark.parametrize("size", ["1280,1400", "390,1400"])
def test_page_fits_wide_and_narrow_screens(
    chromium: str, tmp_path: Path, report: RunReport, size: str
) -> None:
    page = tmp_path / "report.html"
    first = report.model_copy(update={"files": report.files[:1] + report.files[3:5]})
    page.write_text(render_report(first), encoding="utf-8")
    picture = tmp_path / "page.png"
    browse(chromium, page, f"--window-size={size}", f"--screenshot={picture}")
    from PIL import Image

    with Image.open(picture) as image:
        gray = np.asarray(image.convert("L"))
    # A page that failed to draw is of one color; the pictures fill much of this one.
    assert len(np.unique(gray)) > 100
