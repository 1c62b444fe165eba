"""The published weights answer as in the authors' package; without it, the import says so."""

from __future__ import annotations

import importlib.util
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from astroclean_deepcr.published import NETWORKS, import_published
from astropy.io import fits

from astroclean.core.image.frame import Frame
from astroclean.errors import PluginError
from astroclean.inference.cards.card import load_card
from astroclean.inference.cards.verify import verify_network
from astroclean.inference.cards.weights import digest_of
from astroclean.registry.load import load_stage

if TYPE_CHECKING:
    from pathlib import Path


def installed(folder: Path, monkeypatch: pytest.MonkeyPatch, *, version: str = "0.3.1") -> Path:
    """Put a package of the authors' name before all others; return its folder of weights."""
    told = folder / f"deepcr-{version}.dist-info"
    told.mkdir()
    (told / "METADATA").write_text(f"Metadata-Version: 2.1\nName: deepCR\nVersion: {version}\n")
    weights = folder / "learned_models" / "mask"
    weights.mkdir(parents=True)
    monkeypatch.syspath_prepend(folder)
    return weights


def test_the_import_converts_what_is_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small_state: Any
) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    weights = installed(tmp_path, monkeypatch)
    for name in NETWORKS.values():
        kind = "weight" if name == "WFC3-UVIS" else "batch"
        state = {k: torch.from_numpy(v) for k, v in small_state(normalization=kind).items()}
        torch.save(state, weights / f"{name}.pth")
    written = import_published(tmp_path)
    assert [path.name for path in written] == [
        "deepcr-acs-wfc.onnx",
        "deepcr-wfc3-uvis.onnx",
        "deepcr-decam.onnx",
    ]
    assert all(path.stat().st_size > 1000 for path in written)


class Trap:
    """What a pickle may hold: a call."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return (type(self.path).touch, (self.path,))


def test_code_in_a_file_of_weights_is_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    weights, sprung = installed(tmp_path, monkeypatch), tmp_path / "sprung"
    torch.save({"module.inc.conv.conv.0.weight": Trap(sprung)}, weights / "ACS-WFC.pth")
    with pytest.raises(PluginError, match=r"ACS-WFC\.pth"):
        import_published(tmp_path)
    assert not sprung.exists()


def test_without_the_package_the_import_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("astroclean_deepcr.published._DISTRIBUTION", "no-such-distribution")
    with pytest.raises(PluginError, match=r"pip install no-such-distribution==0\.3\.1"):
        import_published(tmp_path)


def test_another_version_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installed(tmp_path, monkeypatch, version="0.2.0")
    with pytest.raises(PluginError, match=r"version 0\.2\.0.*deepCR==0\.3\.1"):
        import_published(tmp_path)


@pytest.mark.parametrize("library", ["torch", "onnx"])
def test_without_a_library_the_import_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, library: str
) -> None:
    installed(tmp_path, monkeypatch)
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == library else found(name)
    )
    with pytest.raises(PluginError, match=rf"{library} is needed.*astroclean-deepcr\[import\]"):
        import_published(tmp_path)


@pytest.fixture(scope="module")
def imported(upstream: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the published weights."""
    pytest.importorskip("torch", reason="PyTorch is not installed")
    assert upstream
    folder = tmp_path_factory.mktemp("published")
    import_published(folder)
    return folder


def test_the_import_writes_what_the_cards_describe(
    imported: Path, cards: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ASTROCLEAN_WEIGHTS", str(imported))
    for name in NETWORKS:
        card = load_card(cards / f"deepcr-{name}.card.toml")
        assert digest_of(imported / card.weights.file) == card.weights.sha256
        findings = list(verify_network(card))
        assert not [finding for finding in findings if finding.passed is False]
        assert "openvino f32" in {finding.check for finding in findings if finding.passed}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("weights", "file", "hdu", "unit"),
    [
        ("acs-wfc", "hst_stis_m33_pair_top_flt.fits.gz", 1, "electron"),
        ("wfc3-uvis", "hst_stis_m33_pair_top_flt.fits.gz", 1, "electron"),
        ("decam", "decam_dq_cutouts_a.fits.gz", 10, "adu"),
    ],
)
def test_probabilities_are_those_of_upstream(
    imported: Path,
    data_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    weights: str,
    file: str,
    hdu: int,
    unit: str,
) -> None:
    monkeypatch.setenv("ASTROCLEAN_WEIGHTS", str(imported))
    image = fits.getdata(data_folder / file, hdu)
    # Upstream pads to multiples of 4 in front, which moves its pooling; such a frame it leaves.
    ny, nx = (min(side, 512) // 4 * 4 for side in image.shape)
    image = np.ascontiguousarray(image[:ny, :nx], dtype=np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = pytest.importorskip("deepCR", exc_type=ImportError).deepCR(mask=NETWORKS[weights])
        expected = theirs.clean(image, binary=False, segment=False)
    assert 1e-4 < (expected > 0.5).mean() < 0.1
    stage = load_stage("deepcr", weights=weights, probabilities=True, tile=128)
    found = stage.run(Frame(image, unit=unit)).products["PROB_CR"]
    np.testing.assert_allclose(found, expected, atol=1e-5)
