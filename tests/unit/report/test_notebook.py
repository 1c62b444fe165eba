"""What a notebook shows: all that is asked for, escaped, with one picture, of odd objects too."""

from __future__ import annotations

import itertools
import re
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from astropy import units as u
from astropy.table import QTable
from toy_html import Page

from astroclean import Frame, Sources
from astroclean.core.flags.planes import MaskPlane
from astroclean.core.stage.results import StageResult
from astroclean.errors import FrameError
from astroclean.report.drawing import PLANE_COLORS
from astroclean.report.model import FileRecord, FileStatus, FrameRecord, RunReport
from astroclean.report.preview import make_previews

if TYPE_CHECKING:
    from pathlib import Path

EVIL = "<script>alert('x')</script>'\"><b>"


def shown(thing: Any) -> Page:
    text = thing._repr_html_()
    assert not re.search(r"https?:|@import|url\(|<script", text)
    page = Page(text)
    assert all(image["src"].startswith("data:image/png;base64,") for image in page.all("img"))
    assert all(image["alt"] for image in page.all("img"))
    return page


def frame(shape: tuple[int, int] = (40, 60), **fields: Any) -> Frame:
    image = np.random.default_rng(3).normal(100, 5, shape)
    return Frame(image, unit="adu", frame_id=EVIL, **fields)


def sources(**fields: Any) -> Sources:
    table = QTable({"id": [1, 20_000], "x": [3.25, 30.0], "y": [4.5, np.nan]})
    table["flux"] = [1234.5, 2.0] * u.adu
    table["note"] = [EVIL, "plain"]
    return Sources(table, **fields)


def test_frame() -> None:
    flags = np.zeros((40, 60), np.uint32)
    flags[3, 5] = MaskPlane.COSMIC_RAY
    page = shown(frame(flags=flags, sources=sources()))
    assert len(page.all("img")) == 1
    for said in ("60 × 40 pixels", "adu", "COSMIC_RAY", "1 pixels", "sources 2", "alert('x')"):  # noqa: RUF001
        assert said in page.text


def test_frame_tells_gain_and_noise_and_colors_what_the_picture_shows() -> None:
    flags = np.zeros((40, 60), np.uint32)
    flags[3, 5], flags[4, 6] = MaskPlane.COSMIC_RAY, MaskPlane.SOURCE
    of = frame(flags=flags, meta={"ACGAIN": 3.0, "ACRDNOIS": 5.0})
    text = shown(of).text
    assert "3 electrons per data number" in text
    assert "5 electrons" in text
    html = of._repr_html_()
    assert (PLANE_COLORS["COSMIC_RAY"] in html, PLANE_COLORS["SOURCE"] in html) == (True, False)


@pytest.mark.parametrize("shape", [(1, 1), (1, 3000), (700, 3), (0, 5)])
@pytest.mark.parametrize("value", [np.nan, np.inf, 0.0])
def test_odd_frames(shape: tuple[int, int], value: float) -> None:
    page = shown(Frame(np.full(shape, value), unit="adu"))
    assert len(page.all("img")) == (0 not in shape)


def test_sources() -> None:
    page = shown(sources())
    assert len(page.all("img")) == 1
    for said in ("flux (adu)", "1,234", "3.25", "20000", "alert('x')", "NaN"):
        assert said in page.text
    labels = np.zeros((40, 60), np.int32)
    labels[3:6, 3:6] = 1
    assert len(shown(sources(segmentation=labels)).all("img")) == 1


def test_catalogue_without_sources() -> None:
    page = shown(Sources(QTable({"id": np.array([], int), "x": [], "y": []})))
    assert "Sources 0" in page.text


def test_result() -> None:
    result = StageResult(frame(), metrics={EVIL: 0.5, "pixels": 12_345.0})
    page = shown(result)
    for said in ("done", "12,345", "0.5000", "alert('x')"):
        assert said in page.text
    assert len(page.all("img")) == 1


def test_run(tmp_path: Path) -> None:
    image = np.zeros((30, 40), np.float32)
    drawn = FrameRecord(
        frame_id=EVIL,
        hdu="0",
        plane=None,
        shape=(30, 40),
        unit="adu",
        previews=make_previews(image, image, image.astype(np.uint32), image != 0),
    )
    done = FileRecord(
        input=EVIL, status=FileStatus.DONE, outputs={"a_clean.fits": ""}, frames=[drawn]
    )
    failed = FileRecord(input="b.fits", status=FileStatus.FAILED, error="b.fits: broken")
    report = RunReport(exit_code=1, output=str(tmp_path), files=[done, failed])
    page = shown(report)
    for said in ("1 done, 1 failed", "alert('x')", "b.fits: broken", "a_clean.fits"):
        assert said in page.text
    assert len(page.all("img")) == 1
    assert report.page is None
    (tmp_path / "report.html").write_text("")
    assert report.page == tmp_path / "report.html"
    assert str(report.page) in shown(report).text
    assert report.outputs == [tmp_path / "a_clean.fits"] == report.outputs_of(EVIL)
    with pytest.raises(KeyError, match=r"c\.fits"):
        report.outputs_of("c.fits")


def test_plot_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(FrameError, match=r"pip install 'astroclean\[figures\]'"):
        frame().plot()


def test_plot() -> None:
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    flags = np.zeros((40, 60), np.uint32)
    flags[3, 5] = MaskPlane.COSMIC_RAY
    one = frame(flags=flags)
    ax = one.plot(planes=["CR", "SATURATED"])
    image, rays, saturated = ax.images
    assert np.array_equal(image.get_array(), one.data)
    assert [int((layer.get_array()[..., 3] > 0).sum()) for layer in (rays, saturated)] == [1, 0]
    assert ax.get_ylim()[0] < ax.get_ylim()[1]
    ax.figure.canvas.draw()
    (bar,) = [other for other in ax.figure.axes if other is not ax]
    labels = [label.get_window_extent() for label in bar.get_yticklabels()]
    assert len(labels) == 6
    assert not any(a.overlaps(b) for a, b in itertools.pairwise(labels))
    assert one.plot(ax, colorbar=False) is ax
    with pytest.raises(FrameError, match="no celestial WCS"):
        one.plot(sky=True)
    plt.close("all")
