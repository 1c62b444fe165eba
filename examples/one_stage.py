"""Find cosmic rays in an array, and compare with the truth of the simulation."""

import numpy as np

from astroclean import MaskPlane, load_stage
from astroclean.simulate.exposure import GAIN, READ_NOISE, simulate_exposure

exposure = simulate_exposure(seed=5, shape=(256, 256))

stage = load_stage("lacosmic", gain=GAIN, read_noise=READ_NOISE)
result = stage.run(exposure.data)

found = result.frame.where(MaskPlane.COSMIC_RAY)
true = (exposure.truth & MaskPlane.COSMIC_RAY) != 0
print(f"pixels found: {np.count_nonzero(found)}")
print(f"of the true pixels, found: {np.mean(found[true]):.0%}")
for name, value in result.metrics.items():
    print(f"  {name}: {value:g}")
