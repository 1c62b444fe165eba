"""Translate a DQ image of HST ACS to flags, look at them, and write them as JWST would."""

import numpy as np

from astroclean.core.flags.conventions import load_convention
from astroclean.core.flags.planes import count_planes

dq = np.zeros((100, 100), dtype=np.int16)
dq[10:12, 20:40] = 4096  # cosmic ray
dq[50, :] = 4  # bad column
dq[70:75, 70:75] = 256 | 4096  # saturated, and taken for a cosmic ray

flags = load_convention("hst-acs").to_planes(dq)
for name, pixels in count_planes(flags).items():
    print(f"{name}: {pixels} pixels")

jwst = load_convention("jwst")
values = jwst.from_planes(flags)
for value in np.unique(values[values > 0]):
    names = [row.name for row, _ in jwst.explain(int(value)) if row is not None]
    print(f"{value}: {', '.join(names)}")
