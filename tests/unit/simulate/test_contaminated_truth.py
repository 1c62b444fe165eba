"""What counts as true is what could be seen."""

from __future__ import annotations

import numpy as np

from astroclean.core.flags.planes import MaskPlane
from astroclean.simulate.contaminants.cosmic_rays import rims_of_hits
from astroclean.simulate.contaminated import (
    ContaminatedConfig,
    simulate_contaminated,
)
from astroclean.simulate.detector import CameraRange


def test_rims_are_the_neighbors_of_hits() -> None:
    planes = np.zeros((7, 7), dtype=np.uint32)
    planes[3, 3] = MaskPlane.COSMIC_RAY
    planes[3, 4] = MaskPlane.SATURATED
    rims = rims_of_hits(planes)
    assert rims.sum() == 8
    assert not rims[3, 3]
    scene = simulate_contaminated(seed=4, shape=(96, 96))
    assert scene.ignored is not None
    assert scene.planes is not None
    assert not (scene.ignored & ((scene.planes & MaskPlane.COSMIC_RAY) != 0)).any()


def test_no_pixel_is_dead_where_there_is_no_sky() -> None:
    always = {"dead_pixels": 1.0, "dead_lines": 1.0, "dead_clusters": 1.0}
    dead = np.uint32(MaskPlane.DEAD_PIXEL | MaskPlane.DEAD_LINE)
    for sky, expected in ((5.0, False), (3000.0, True)):
        config = ContaminatedConfig(chances=always, camera=CameraRange(sky=(sky, sky)))
        scene = simulate_contaminated(seed=3, shape=(96, 96), config=config)
        assert scene.planes is not None
        assert bool((scene.planes & dead).any()) == expected
