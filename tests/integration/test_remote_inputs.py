"""Inputs in object stores and on web servers: the same results, each byte fetched once."""

from __future__ import annotations

import json
import os
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from stores import BUCKET, S3, Web, web_server
from toy_runs import digests, report_of, sky, statuses, unfinished, write_batch, write_fits

import astroclean
from astroclean.errors import ConfigurationError, FitsReadError, NoInputError
from astroclean.io.remote.urls import check_url
from astroclean.runner.plan.inputs import find_inputs

if TYPE_CHECKING:
    from collections.abc import Iterator

    from astroclean.report.model import RunReport

CONFIG: dict[str, Any] = {
    "schema": 1,
    "instrument": {"name": "generic-ccd"},
    "stage": [{"plugin": "toy-bright"}, {"plugin": "toy-fill"}, {"plugin": "toy-peaks"}],
    "products": {"report": True},
}


@pytest.fixture
def web(toys: Path, tmp_path: Path) -> Iterator[Web]:
    (tmp_path / "www").mkdir()
    with web_server(tmp_path / "www") as server:
        yield server


@pytest.fixture
def raw(tmp_path: Path, s3: S3) -> Path:
    write_batch(tmp_path / "raw")
    s3.put_folder("raw", tmp_path / "raw")
    s3.counted.forget()
    return tmp_path / "raw"


def run(inputs: Any, output: Path, **options: Any) -> RunReport:
    return astroclean.run(CONFIG, inputs, output=output, **options)


def left_behind() -> list[Path]:
    """Return copies that are still in the folders for temporary files."""
    return list(Path(tempfile.gettempdir()).glob("astroclean-*/**/copy"))


@pytest.mark.slow
@pytest.mark.parametrize("jobs", [0, 2])
def test_a_bucket_gives_what_a_folder_gives_and_each_byte_is_fetched_once(
    raw: Path, s3: S3, tmp_path: Path, jobs: int
) -> None:
    run(raw, tmp_path / "local")
    report = run(f"s3://{BUCKET}/raw/*.fits", tmp_path / "out", jobs=jobs)
    assert report.exit_code == 0
    assert digests(tmp_path / "out") == digests(tmp_path / "local")
    for file in raw.glob("*.fits"):
        assert s3.counted.sent[f"raw/{file.name}"] == file.stat().st_size
    assert [file.input for file in report.files] == sorted(
        f"s3://{BUCKET}/raw/{file.name}" for file in raw.glob("*.fits")
    )
    assert not unfinished(tmp_path / "out")
    told = (tmp_path / "out/run.json").read_text() + (tmp_path / "out/report.html").read_text()
    assert "scratch" not in told
    assert "secret-of-tests" not in told
    assert "user-of-tests" not in told


@pytest.mark.slow
@pytest.mark.parametrize("jobs", [0, 2])
def test_what_is_up_to_date_is_not_fetched_again(
    raw: Path, s3: S3, tmp_path: Path, jobs: int
) -> None:
    run(f"s3://{BUCKET}/raw/", tmp_path / "out")
    s3.counted.forget()
    report = run(f"s3://{BUCKET}/raw/", tmp_path / "out", jobs=jobs)
    assert {file.status for file in report.files} == {"up to date"}
    assert not s3.counted.fetched()
    # One object that is another: it alone is fetched.
    s3.put("raw/x1.fits", write_fits(tmp_path / "other.fits", sky(77)))
    s3.counted.forget()
    report = run(f"s3://{BUCKET}/raw/", tmp_path / "out", jobs=jobs)
    assert s3.counted.fetched() == {"raw/x1.fits"}
    assert statuses(tmp_path / "out")["x1.fits"] == "done"
    run(tmp_path / "other.fits", tmp_path / "alone")
    assert digests(tmp_path / "out")["x1_clean.fits"] in digests(tmp_path / "alone").values()


@pytest.mark.slow
def test_an_object_that_was_put_again_unchanged_is_fetched_but_not_processed(
    raw: Path, s3: S3, tmp_path: Path
) -> None:
    url = f"s3://{BUCKET}/raw/x0.fits"
    run(url, tmp_path / "out")
    time.sleep(1.1)  # S3 keeps seconds
    s3.put("raw/x0.fits", raw / "x0.fits")
    assert [f.status for f in run(url, tmp_path / "out").files] == ["up to date"]
    s3.counted.forget()
    assert [f.status for f in run(url, tmp_path / "out").files] == ["up to date"]
    assert not s3.counted.fetched()


@pytest.mark.slow
def test_lists_hdus_parents_and_twins(raw: Path, s3: S3, tmp_path: Path) -> None:
    s3.put("other/x0.fits", raw / "x1.fits")
    lines = [f"s3://{BUCKET}/raw/x0.fits", f"s3://{BUCKET}/raw/mosaic.fits[SCI,2]"]
    (tmp_path / "list.txt").write_text("\n".join([*lines, f"s3://{BUCKET}/other/x0.fits"]))
    given = f"@{tmp_path}/list.txt"
    report = run(given, tmp_path / "twins")
    failed = {file.input: file.error or "" for file in report.files if file.status == "failed"}
    assert set(failed) == {lines[0], f"s3://{BUCKET}/other/x0.fits"}
    assert "products.name={parent}_{stem}_clean" in failed[lines[0]]
    report = run(given, tmp_path / "out", settings=["products.name={parent}_{stem}_clean"])
    assert report.exit_code == 0
    assert set(digests(tmp_path / "out")) >= {
        "raw_x0_clean.fits",
        "other_x0_clean.fits",
        "raw_mosaic_clean.fits",
    }
    assert [len(f.frames) for f in report.files if "mosaic" in f.input] == [1]
    # The result of another object of this name is not overwritten.
    run(lines[0], tmp_path / "one")
    (other,) = run(f"s3://{BUCKET}/other/x0.fits", tmp_path / "one").files
    assert "is the result of s3://sky/raw/x0.fits" in (other.error or "")


def test_objects_that_cannot_be_had_fail_alone(raw: Path, s3: S3, tmp_path: Path) -> None:
    report = run(
        [f"s3://{BUCKET}/raw/x0.fits", f"s3://{BUCKET}/raw/none.fits", "s3://no-bucket/x.fits"],
        tmp_path / "out",
    )
    told = {file.input: file.error for file in report.files}
    assert told.pop(f"s3://{BUCKET}/raw/x0.fits") is None
    for url, error in told.items():
        assert error is not None
        assert error.startswith(f"{url}: there is no such object or bucket")
    with pytest.raises(NoInputError, match="no object matches"):
        run(f"s3://{BUCKET}/nothing/*.fits", tmp_path / "none")


@pytest.mark.slow
def test_an_object_is_inspected_read_and_checked(
    raw: Path, s3: S3, tmp_path: Path, cli: Any
) -> None:
    url = f"s3://{BUCKET}/raw/mosaic.fits[SCI,2]"
    frame = astroclean.Frame.read(url, instrument="generic-ccd")
    local = astroclean.Frame.read(f"{raw}/mosaic.fits[SCI,2]", instrument="generic-ccd")
    np.testing.assert_array_equal(frame.data, local.data)
    assert not left_behind()
    cli.environment |= s3.environment
    assert url in cli("inspect", url).out
    (tmp_path / "p.toml").write_text(
        'schema = 1\ninstrument = "generic-ccd"\n[[stage]]\nplugin = "toy-bright"\n'
    )
    assert cli("check", "p.toml", url).status == 0
    ended = cli("run", "p.toml", url, "-o", "out", "-q")
    assert (ended.status, ended.err) == (0, "")


def test_a_url_with_a_secret_is_refused_and_not_written_down(toys: Path, tmp_path: Path) -> None:
    for url in (
        "https://me:hidden@host/x.fits",
        "https://host/x.fits?X-Amz-Signature=hidden",
        "https://host/x.fits?a=1&token=hidden[SCI,1]",
        "s3://me:hidden@bucket/x.fits",
    ):
        with pytest.raises(ConfigurationError, match="is refused") as caught:
            run(url, tmp_path / "out")
        assert "hidden" not in str(caught.value)
    assert "hidden" not in "".join(
        file.read_text("utf-8", "replace") for file in tmp_path.rglob("*.json")
    )
    with pytest.raises(ConfigurationError, match="the scheme 'ftp' is not known"):
        run("ftp://host/x.fits", tmp_path / "out")


def test_no_permission_is_told(raw: Path, s3: S3, web: Web, tmp_path: Path) -> None:
    def forbids(handler: Any) -> bool:
        handler.send_error(403)
        return True

    web.answers["/x.fits"] = forbids
    with pytest.raises(FitsReadError, match="no permission"):
        astroclean.Frame.read(f"{web.url}/x.fits")


def test_a_web_server_gives_what_a_folder_gives(web: Web, tmp_path: Path) -> None:
    write_batch(tmp_path / "raw")
    for file in (tmp_path / "raw").iterdir():
        (web.folder / file.name).write_bytes(file.read_bytes())
    urls = [f"{web.url}/{file.name}" for file in sorted(web.folder.iterdir())]
    run(tmp_path / "raw", tmp_path / "local")
    assert run(urls, tmp_path / "out").exit_code == 0
    assert digests(tmp_path / "out") == digests(tmp_path / "local")
    assert sum(text.startswith("GET") for text in web.requests) == len(urls)


def test_a_web_server_that_tells_times_is_not_asked_for_bytes_again(
    web: Web, tmp_path: Path
) -> None:
    file = write_fits(web.folder / "x.fits", sky(1))
    # Changed within the second in which it is fetched, or later: of that nothing is certain.
    os.utime(file, (time.time() + 60, time.time() + 60))
    run(f"{web.url}/x.fits", tmp_path / "out")
    run(f"{web.url}/x.fits", tmp_path / "out")
    assert web.requests.count("GET /x.fits") == 2
    os.utime(file, (1e9, 1e9))
    run(f"{web.url}/x.fits", tmp_path / "out")
    web.requests.clear()
    assert [f.status for f in run(f"{web.url}/x.fits", tmp_path / "out").files] == ["up to date"]
    assert web.requests == ["HEAD /x.fits"]


def test_redirects_pages_and_names_of_a_web_server(web: Web, tmp_path: Path) -> None:
    write_fits(web.folder / "a b.fits", sky(1))
    (web.folder / "page.fits").write_text("<html>Please log in</html>")

    def redirects(handler: Any) -> bool:
        handler.send_response(302)
        handler.send_header("Location", "/a%20b.fits?signature=hidden")
        handler.send_header("Content-Length", "0")
        handler.end_headers()
        return True

    web.answers["/short.fits"] = redirects
    urls = [f"{web.url}/{name}" for name in ("a%20b.fits", "short.fits", "page.fits", "d/")]
    report = run(urls, tmp_path / "out")
    errors = {file.input: file.error for file in report.files}
    assert errors[urls[0]] is None
    assert errors[urls[1]] is None
    assert "not FITS" in (errors[urls[2]] or "") or "FITS" in (errors[urls[2]] or "")
    assert (errors[urls[2]] or "").startswith(urls[2])
    assert "does not list its folders" in (errors[urls[3]] or "")
    assert {"a b_clean.fits", "short_clean.fits"} <= set(digests(tmp_path / "out"))
    assert "hidden" not in json.dumps(report_of(tmp_path / "out"))


def _breaks(times: int, content: bytes) -> Any:
    """Return an answer that ends in the middle, some times."""
    left = [times]

    def answer(handler: Any) -> bool:
        if handler.command != "GET" or not left[0]:
            return False
        left[0] -= 1
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(content)))
        handler.end_headers()
        handler.wfile.write(content[: len(content) // 2])
        handler.close_connection = True
        return True

    return answer


@pytest.mark.parametrize("times", [2, 3])
def test_a_lost_connection_is_tried_again_and_then_fails_its_file_alone(
    web: Web, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, times: int
) -> None:
    monkeypatch.setattr("astroclean.io.remote.failures._PAUSES", (0.0, 0.0))
    file = write_fits(web.folder / "x.fits", sky(1))
    write_fits(web.folder / "y.fits", sky(2))
    web.answers["/x.fits"] = _breaks(times, file.read_bytes())
    report = run([f"{web.url}/x.fits", f"{web.url}/y.fits"], tmp_path / "out")
    x, y = report.files
    assert y.status == "done"
    if times == 2:
        assert x.status == "done"
    else:
        assert "cannot be fetched, tried 3 times" in (x.error or "")
        assert f"{web.url}/x.fits" in (x.error or "")
    assert not unfinished(tmp_path / "out")


def test_what_was_changed_between_two_readings_is_refused(
    web: Web, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where workers share no scratch folder, each fetches again: it must be what was planned."""
    from astroclean.runner.plan import at_hand

    write_fits(web.folder / "x.fits", sky(1))
    real, fetched = at_hand.staged, []

    def elsewhere(url: Path, folder: Path) -> Any:
        fetched.append(url)
        if len(fetched) > 2:  # for its headers, for the plan, for its pixels
            write_fits(web.folder / "x.fits", sky(2))
        return real(url, folder / str(len(fetched)))

    monkeypatch.setattr(at_hand, "staged", elsewhere)
    (record,) = run(f"{web.url}/x.fits", tmp_path / "out", jobs=0).files
    assert "was changed while the run lasted" in (record.error or "")
    assert not list((tmp_path / "out").glob("*.fits"))


def test_paths_need_no_fsspec(toys: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    for name in ("fsspec", "s3fs", "aiohttp"):
        monkeypatch.setitem(sys.modules, name, None)
    write_fits(tmp_path / "x.fits", sky(1))
    assert run(tmp_path / "x.fits", tmp_path / "out", jobs=0).exit_code == 0
    with pytest.raises(ConfigurationError, match=r"pip install 'astroclean\[cloud\]'"):
        run("s3://bucket/x.fits", tmp_path / "out", jobs=0)


@pytest.fixture
def tree(s3: S3, tmp_path: Path) -> str:
    """Return the URL of folders in folders."""
    file = write_fits(tmp_path / "x.fits", sky(1))
    for key in (
        *("top.fits", "one/b.fits", "one/deep/a.fits", "two/[c] #1.fits", "two/notes.txt"),
        *(".hidden/h.fits", "out/.astroclean/folder.json", "out/o.fits", "out/more/p.fits"),
    ):
        s3.put(f"raw/{key}", file)
    return f"s3://{BUCKET}/raw/"


def found_in(url: str, *, recursive: bool) -> tuple[list[str], list[str]]:
    inputs = find_inputs((url,), base=Path(), recursive=recursive)
    return [text.removeprefix(f"s3://{BUCKET}/raw/") for text in inputs.files], inputs.notes


def test_folders_in_folders_of_a_store_are_searched_as_those_of_a_disk(tree: str) -> None:
    searched, notes = found_in(tree, recursive=True)
    assert searched == ["top.fits", "one/b.fits", "one/deep/a.fits", "two/[c] #1.fits"]
    assert notes == [f"{tree}out: an output folder of astroclean, not searched"]
    assert found_in(tree, recursive=False) == (["top.fits"], [])
    assert found_in(f"{tree}o*/", recursive=False)[0] == ["one/b.fits", "out/o.fits"]
    assert found_in(f"{tree}one*", recursive=True)[0] == ["one/b.fits", "one/deep/a.fits"]
    with pytest.raises(NoInputError, match="no FITS file in this folder or below it"):
        found_in(f"s3://{BUCKET}/none/", recursive=True)


def test_a_name_with_signs_of_a_glob_is_that_of_the_object_where_there_is_one(tree: str) -> None:
    assert found_in(f"{tree}two/[c] #1.fits", recursive=False)[0] == ["two/[c] #1.fits"]
    assert found_in(f"{tree}two/[c] #1.fits[0]", recursive=False)[0] == ["two/[c] #1.fits[0]"]
    assert found_in(f"{tree}[t]op.fits", recursive=False)[0] == ["top.fits"]


@pytest.mark.parametrize("folder", ["raw", "raw/one", ""])
def test_a_folder_of_a_store_without_its_slash_says_how_it_ends(tree: str, folder: str) -> None:
    url = f"s3://{BUCKET}/{folder}".rstrip("/")
    with pytest.raises(NoInputError, match=f"{url}: is a folder of the store.*Give {url}/[.]"):
        find_inputs((url,), base=Path())


def test_the_scheme_of_a_url_may_be_in_capitals(tree: str, s3: S3) -> None:
    report = run(f"S3://{BUCKET}/raw/top.fits", f"S3://{BUCKET}/to")  # type: ignore[arg-type]
    assert [file.input for file in report.files] == [f"{tree}top.fits"]
    assert "to/top_clean.fits" in s3.keys("to/")
    with pytest.raises(ConfigurationError, match="password"):
        check_url(f"S3://me:secret@{BUCKET}/x.fits")
