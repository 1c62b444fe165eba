"""What is no defect and looks like one: light of objects, shading, readout."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import label

from astroclean.core.flags.planes import REJECTING, MaskPlane
from astroclean.simulate.contaminants.trails import TrailRange, add_trails
from astroclean.simulate.contaminated import CHANCES, ContaminatedConfig, simulate_contaminated
from astroclean.simulate.lookalikes import LookalikeRange, draw_lookalikes
from astroclean.simulate.psfs import make_psf
from astroclean.simulate.sky_structure import SkyStructureRange, draw_readout, draw_shading

NOISE, SHAPE = 20.0, (160, 192)
PSF = make_psf("moffat", fwhm_pixels=3.0)


@pytest.mark.parametrize("kind", range(5), ids=["disc", "arc", "spiral", "ring", "halo"])
def test_lookalikes_are_light_with_the_peak_of_their_range(kind: int) -> None:
    shares = tuple(float(number == kind) for number in range(5))
    limits = LookalikeRange(count=(1.0, 1.0), peak=(50.0, 50.0), shares=shares)
    peaks = []
    for seed in range(12):
        rng = np.random.default_rng(seed)
        light = draw_lookalikes(rng, SHAPE, PSF, noise=NOISE, limits=limits)
        assert light.shape == SHAPE
        assert light.min() >= 0
        # Blurred by the PSF no pixel rises above the sum of a few that overlap.
        assert light.max() <= 6 * 50 * NOISE
        peaks.append(light.max() / NOISE)
    assert max(peaks) > 10


def test_lookalikes_are_bright_and_nothing_else() -> None:
    chances = dict.fromkeys(CHANCES, 0.0) | {"lookalikes": 1.0, "shading": 1.0, "readout": 1.0}
    config = ContaminatedConfig(chances=chances, lookalikes=LookalikeRange(peak=(100.0, 400.0)))
    bright = 0
    for seed in range(4):
        scene = simulate_contaminated(seed=seed, shape=(128, 128), config=config)
        assert scene.planes is not None
        saturated = np.uint32(REJECTING & ~MaskPlane.SATURATED)
        assert not (scene.planes & saturated).any()
        bright += int(((scene.planes & np.uint32(MaskPlane.BRIGHT)) != 0).sum())
    assert bright > 500


def test_shading_is_smooth_and_readout_is_in_rows_or_columns() -> None:
    limits = SkyStructureRange(slope=(10.0, 10.0))
    for seed in range(8):
        shading = draw_shading(np.random.default_rng(seed), SHAPE, limits)
        assert abs(float(np.median(shading))) < 1e-9
        assert np.abs(np.diff(shading, axis=0)).max() < 3
        offsets = draw_readout(np.random.default_rng(seed), (64, 64))
        rows = offsets - offsets[:, :1]
        columns = offsets - offsets[:1]
        # The same step in every row, or in every column.
        assert np.ptp(rows, axis=0).max() < 1e-9 or np.ptp(columns, axis=1).max() < 1e-9


def test_no_shading_makes_a_sky_darker_than_none() -> None:
    chances = dict.fromkeys(CHANCES, 0.0) | {"shading": 1.0}
    config = ContaminatedConfig(
        chances=chances, structure=SkyStructureRange(slope=(300.0, 300.0), corner=(300.0, 300.0))
    )
    scene = simulate_contaminated(seed=3, shape=(96, 96), config=config)
    assert scene.clean is not None
    assert float(scene.clean.min()) > float(scene.notes["bias"])


def test_trails_have_gaps_ends_and_widths() -> None:
    """Of many trails some are interrupted along their ridge, and some are wide."""
    gaps, widths = 0, []
    limits = TrailRange(count=(1, 1), peak=(30.0, 30.0))
    for seed in range(40):
        image = np.zeros((200, 200))
        rng = np.random.default_rng(seed)
        planes = add_trails(image, rng, noise=1.0, fwhm=3.0, limits=limits)
        widths.append(float(np.count_nonzero(planes)))
        gaps += int(label(planes != 0)[1] > 1)
    assert gaps >= 3
    assert max(widths) > 2.5 * np.median(widths)
