"""What other tools read of masks: the DQ with new bits, masks with their dictionary, labels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table
from astropy.wcs import WCS
from toy_runs import hdu_names, run, sky, write_fits

from astroclean.core.flags.convention_cards import convention_cards, convention_of_cards
from astroclean.core.flags.conventions import known_conventions, load_convention
from astroclean.core.flags.planes import REJECTING, MaskPlane
from astroclean.core.sources.sources import Sources
from astroclean.errors import ConfigurationError, FitsReadError
from astroclean.io.frames.instruments import load_instrument
from astroclean.io.frames.quality import meaning_from_headers

if TYPE_CHECKING:
    from pathlib import Path

    from astroclean.core.flags.conventions import Convention

UPDATE = {"dq": "update"}
STIS = {"TELESCOP": "HST", "INSTRUME": "STIS"}
pytestmark = pytest.mark.usefixtures("toys")


def with_dq(path: Path, dq: Any, *, packed: bool = False, **cards: Any) -> Path:
    science = fits.ImageHDU(sky(), fits.Header({"BUNIT": "adu"}), name="SCI", ver=1)
    make = fits.CompImageHDU if packed else fits.ImageHDU
    quality = make(dq, name="DQ")
    quality.ver = 1
    hdus = [fits.PrimaryHDU(header=fits.Header(cards)), science, quality]
    hdus.append(fits.ImageHDU(np.zeros(3), name="OTHER"))
    fits.HDUList(hdus).writeto(path, overwrite=True)
    return path


def old_dq(kind: str = "i2") -> Any:
    dq = np.zeros(sky().shape, kind)
    dq[3, 4], dq[5, 6] = 16, 8192 | 4
    dq[np.nonzero(sky() > 1000)[0][0], np.nonzero(sky() > 1000)[1][0]] = 512
    return dq


class TestUpdatedDq:
    @pytest.mark.parametrize(("kind", "packed"), [("i2", False), ("u2", False), ("i4", True)])
    def test_it_gains_what_was_found_and_loses_nothing(
        self, kind: str, packed: bool, tmp_path: Path
    ) -> None:
        old, hits = old_dq(kind), sky() > 1000
        with_dq(tmp_path / "x.fits", old, packed=packed, **STIS)
        report = run(tmp_path, "toy-bright", instrument={"name": "auto"}, products=UPDATE)
        assert report.exit_code == 0, report.files[0].error
        with fits.open(tmp_path / "out" / "x_clean.fits") as hdus:
            new, header = np.array(hdus["DQ"].data), hdus["DQ"].header
        np.testing.assert_array_equal(new, old | np.where(hits, 8192, 0).astype(kind))
        assert "COSMIC_RAY" in str(header["HISTORY"])
        again = run(tmp_path, "toy-bright", instrument={"name": "auto"}, products=UPDATE)
        assert again.files[0].status == "up to date"

    def test_it_stays_to_the_byte_where_nothing_is_new(self, tmp_path: Path) -> None:
        path = with_dq(tmp_path / "x.fits", old_dq(), **STIS)
        stage = {"plugin": "toy-bright", "options": {"level": 1e6}}
        run(tmp_path, stage, instrument={"name": "auto"}, products=UPDATE)
        assert path.read_bytes() in (tmp_path / "out" / "x_clean.fits").read_bytes()

    def test_without_the_key_it_stays(self, tmp_path: Path) -> None:
        with_dq(tmp_path / "x.fits", old_dq(), **STIS)
        run(tmp_path, "toy-bright", instrument={"name": "auto"})
        found = fits.getdata(tmp_path / "out" / "x_clean.fits", "DQ")
        np.testing.assert_array_equal(found, old_dq())

    def test_jwst_says_do_not_use_and_why(self, tmp_path: Path) -> None:
        dq = np.zeros(sky().shape, "u4")
        dq[2, 2] = 4  # a jump that was left out of the fit: the pixel is good
        with_dq(tmp_path / "x.fits", dq, TELESCOP="JWST", INSTRUME="NIRCAM")
        run(tmp_path, "toy-bright", instrument={"name": "auto"}, products=UPDATE)
        found = fits.getdata(tmp_path / "out" / "x_clean.fits", "DQ")
        np.testing.assert_array_equal(found[sky() > 1000], 5)
        assert found[2, 2] == 4

    def test_what_came_from_the_dq_is_not_said_to_be_lost(self, tmp_path: Path) -> None:
        dq = np.zeros(sky().shape, "u4")
        dq[2, 2] = 1 << 17  # of JWST, read as SUSPECT, which has no bit that is written
        with_dq(tmp_path / "x.fits", dq, TELESCOP="JWST", INSTRUME="NIRCAM")
        report = run(tmp_path, "toy-bright", instrument={"name": "auto"}, products=UPDATE)
        (frame,) = report.files[0].frames
        assert frame.flagged_before == {"SUSPECT": 1}
        assert not any("has no bit" in note for note in report.files[0].notes)

    @pytest.mark.parametrize(
        ("dq", "instrument", "words"),
        [
            ("i2", {}, ["needs to know what each bit", "[instrument] dq"]),
            ("i2", {"dq": "decam"}, ["one code a pixel", "mask_as"]),
            ("i2", {"bad_bits": "4"}, ["needs to know what each bit", "bad_bits"]),
            ("f4", {"dq": "hst-stis"}, ["no whole numbers", "BITPIX = -32"]),
            (None, {}, ["no DQ", "[products] dq"]),
        ],
    )
    def test_what_it_cannot_mean_is_refused_by_name(
        self, dq: str | None, instrument: dict[str, str], words: list[str], tmp_path: Path
    ) -> None:
        if dq is None:
            write_fits(tmp_path / "x.fits", sky())
        else:
            with_dq(tmp_path / "x.fits", old_dq(dq))
        report = run(tmp_path, "toy-bright", instrument=instrument, products=UPDATE)
        assert report.exit_code == 1
        assert not list((tmp_path / "out").glob("x_*"))
        error = str(report.files[0].error)
        assert all(word in error for word in words), error

    def test_it_needs_the_file(self, tmp_path: Path) -> None:
        write_fits(tmp_path / "x.fits", sky())
        with pytest.raises(ConfigurationError, match=r"products.*dq.*science = false"):
            run(tmp_path, "toy-bright", products={**UPDATE, "science": False})


@pytest.mark.parametrize("convention", known_conventions(), ids=lambda c: str(c.name))
def test_cards_tell_all_of_a_convention_that_reading_needs(convention: Convention) -> None:
    header, other = convention_cards(convention), convention.name
    if convention.encoding == "codes":
        assert not header
        return
    told = convention_of_cards(header, other)
    assert told is not None
    told_rows = [(r.value, r.name, r.sets) for r in told.values]
    assert told_rows == [(r.value, r.name, r.sets) for r in convention.values]


@pytest.mark.parametrize("name", ["astroclean", "jwst", "decam"])
def test_a_mask_tells_what_its_values_mean(name: str, tmp_path: Path) -> None:
    write_fits(tmp_path / "x.fits", sky())
    run(tmp_path, "toy-bright", products={"mask_as": name, "science": False, "keep": []})
    convention = load_convention(name)
    path = tmp_path / "out" / "x_mask.fits"
    table = Table.read(path, "DQ_DEF")
    rows = {int(r["VALUE"]): (r["NAME"], r["DESCRIPTION"]) for r in table}
    assert rows.keys() == {row.value for row in convention.values}
    assert all(rows[row.value][0] == row.name for row in convention.values)
    bits = table["BIT"].tolist()
    coded = convention.encoding == "codes"
    assert bits == [-1 if coded else v.bit_length() - 1 for v in table["VALUE"].tolist()]
    mask, header = fits.getdata(path, "MASK", header=True)
    told = meaning_from_headers(header, header, load_instrument("generic-ccd"), {})
    assert told is not None
    planes = told.convention.to_planes(mask)
    wanted = convention.to_planes(np.array([[0]])) | convention.to_planes(mask)
    np.testing.assert_array_equal(planes, wanted)
    if convention.from_planes(np.array([[1]], dtype=np.uint32), reject=REJECTING) != 0:
        assert ((planes & np.uint32(REJECTING)) != 0).any()


def test_a_mask_in_a_convention_of_ones_own_can_be_read_without_its_file(tmp_path: Path) -> None:
    ours = tmp_path / "ours.toml"
    ours.write_text(
        'name = "ours"\ntitle = "Ours"\nsource = "note 12"\n'
        '[[value]]\nvalue = 2\nname = "strike"\nmeaning = "hit"\nplanes = ["COSMIC_RAY"]\n'
        '[[value]]\nvalue = 4\nname = "star"\n',
        "utf-8",
    )
    write_fits(tmp_path / "x.fits", sky())
    report = run(tmp_path, "toy-bright", products={"mask_as": str(ours)})
    assert report.exit_code == 0
    ours.unlink()
    mask, header = fits.getdata(tmp_path / "out" / "x_mask.fits", "MASK", header=True)
    told = meaning_from_headers(header, header, load_instrument("generic-ccd"), {})
    assert told is not None
    assert [row.name for row in told.convention.values] == ["strike", "star"]
    planes = told.convention.to_planes(mask)
    np.testing.assert_array_equal(planes == MaskPlane.COSMIC_RAY, sky() > 1000)


class TestSegmentation:
    def test_its_labels_are_the_ids_and_it_has_the_wcs(self, tmp_path: Path) -> None:
        wcs = WCS(naxis=2)
        wcs.wcs.ctype, wcs.wcs.crval, wcs.wcs.crpix = ["RA---TAN", "DEC--TAN"], [150, 2], [9, 9]
        wcs.wcs.cdelt = [-1e-4, 1e-4]
        write_fits(tmp_path / "x.fits", sky(1), sky(2), **dict(wcs.to_header()))
        run(tmp_path, "toy-lights", products={"segmentation": True})
        out = tmp_path / "out"
        assert hdu_names(out / "x_segmentation.fits") == ["PRIMARY", "SEGMENTATION", "SEGMENTATION"]
        assert "SEGMENTATION" not in hdu_names(out / "x_clean.fits")
        for number in (1, 2):
            labels, header = fits.getdata(
                out / "x_segmentation.fits", ("SEGMENTATION", number), header=True
            )
            assert labels.dtype == np.dtype(">i4")
            assert header["ACSCI"] == f"SCI,{number}"
            sources = Sources.read(
                out / "x_sources.ecsv",
                hdu=f"[SCI,{number}]",
                segmentation=out / "x_segmentation.fits",
            )
            ids = set(sources.table["id"].tolist())
            assert ids == set(np.unique(labels)) - {0}
            np.testing.assert_allclose(WCS(header).wcs.crval, [150, 2])
            row = sources.table[0]
            assert labels[round(float(row["y"])), round(float(row["x"]))] == row["id"]

    def test_that_of_other_sources_than_the_catalogue_has_is_left_out(self, tmp_path: Path) -> None:
        write_fits(tmp_path / "x.fits", sky())
        Table({"id": [70], "x": [9.0], "y": [8.0]}).write(tmp_path / "mine.ecsv")
        given = {"plugin": "catalog", "options": {"file": str(tmp_path / "mine.ecsv")}}
        products = {"keep": ["sources", "segmentation"], "segmentation": True}
        report = run(tmp_path, "toy-lights", given, products=products)
        out = tmp_path / "out"
        assert Table.read(out / "x_sources.ecsv")["id"].tolist() == [70]
        assert "SEGMENTATION" not in hdu_names(out / "x_clean.fits")
        assert not (out / "x_segmentation.fits").exists()
        missing = "no x_segmentation.fits, no layer SEGMENTATION: nothing tells"
        assert any(missing in note for note in report.files[0].notes)
        # What came of it by an older version is not taken for one.
        own = run(tmp_path, "toy-lights", products=products)
        assert not [note for note in own.files[0].notes if "SEGMENTATION" in note]
        Table({"id": [70], "x": [9.0], "y": [8.0]}).write(tmp_path / "mine.fits")
        with pytest.raises(FitsReadError, match="labels are not ids"):
            Sources.read(tmp_path / "mine.fits", segmentation=out / "x_clean.fits")

    def test_without_a_deblender_it_is_refused(self, tmp_path: Path) -> None:
        write_fits(tmp_path / "x.fits", sky())
        with pytest.raises(ConfigurationError, match=r"products\.segmentation.*deblend"):
            run(tmp_path, "toy-bright", products={"segmentation": True})
