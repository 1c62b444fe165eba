"""The published weights answer as in the authors' package; without it, the import says so."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from astroclean_maximask.network.published import (
    import_published,
    published_maximask,
    published_maxitrack,
)
from astroclean_maximask.train.samples import normalized
from astropy.io import fits

from astroclean.errors import PluginError
from astroclean.inference.cards.card import load_card
from astroclean.inference.cards.weights import digest_of

if TYPE_CHECKING:
    from pathlib import Path

SIDE = 400


@pytest.fixture(scope="module")
def pixels(data_folder: Path) -> Any:
    """A real patch of sky as the networks see it."""
    image = fits.getdata(data_folder / "kpno09m_a671_r_1200s.fits.fz", 1)
    values = normalized(image[:1024, :1024], box=128)[100 : 100 + SIDE, 200 : 200 + SIDE]
    return np.ascontiguousarray(values)[np.newaxis, ..., np.newaxis]


@pytest.mark.slow
def test_maximask_answers_as_upstream(upstream: Path, pixels: Any) -> None:
    tf = pytest.importorskip("tensorflow")
    theirs = tf.saved_model.load(str(upstream / "maximask" / "model"))
    zeros = np.zeros(14, dtype=np.float32)
    expected = theirs([pixels, np.arange(14, dtype=np.int32), zeros, zeros, zeros], False)
    found = published_maximask()(pixels, training=False)
    np.testing.assert_allclose(np.asarray(found), np.asarray(expected), atol=1e-4)


@pytest.mark.slow
def test_maxitrack_answers_as_upstream(upstream: Path, pixels: Any) -> None:
    tf = pytest.importorskip("tensorflow")
    theirs = tf.saved_model.load(str(upstream / "maxitrack" / "model"))
    expected = np.asarray(theirs(pixels, False))
    found = np.asarray(published_maxitrack()(pixels, training=False))
    np.testing.assert_allclose(found, expected, atol=1e-4)


@pytest.mark.slow
def test_the_import_writes_what_the_cards_describe(upstream: Path, tmp_path: Path) -> None:
    import astroclean_maximask

    assert upstream
    cards = next(iter(astroclean_maximask.__path__)) + "/cards"
    for path in import_published(tmp_path):
        card = load_card(type(path)(cards) / f"{path.stem}.card.toml")
        assert digest_of(path) == card.weights.sha256


def test_without_the_package_the_import_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(
        "astroclean_maximask.network.published._DISTRIBUTION", "no-such-distribution"
    )
    with pytest.raises(PluginError, match=r"MaxiMask==1\.4\.1|no-such-distribution==1\.4\.1"):
        import_published(tmp_path)
