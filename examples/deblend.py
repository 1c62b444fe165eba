"""Deblend two galaxies; look at models and shares, and take one of the two away."""

import numpy as np

from astroclean import Frame, Psf, load_stage

psf = Psf.gaussian(fwhm_pixels=3.0)
everything = (slice(0, 80), slice(0, 80))
light = sum(
    Psf.gaussian(fwhm_pixels=width).drawn_at(x, y, flux, box=everything).data
    for x, y, width, flux in ((36.3, 40.2, 4.5, 1200), (42.0, 42.6, 3.4, 700))
)
noise = np.random.default_rng(1).normal(size=(80, 80))
frame = Frame(light + noise, unit="electron", psf=psf)

result = load_stage("pais").run(frame)
sources = result.frame.sources
for row in sources.table:
    print(f"{row['id']}: x {row['x']:.2f}, y {row['y']:.2f}, flux {row['flux']:.0f}")

# Shares and what is unassigned are the frame; its sky is in what is unassigned.
total = result.layers["UNASSIGNED"].data.astype(float)
for stamp in sources.stamps:
    on_image, of_box = stamp.overlap(frame.shape)
    total[on_image] += stamp.share[of_box]
print(f"largest difference from the frame: {np.abs(total - frame.data).max():.1e}")

# The frame less the models of all but the brightest: what it would be without its neighbors.
brightest = int(sources.table["id"][np.argmax(sources.table["flux"])])
alone = frame.data.copy()
for stamp in sources.stamps:
    if stamp.id != brightest:
        on_image, of_box = stamp.overlap(frame.shape)
        alone[on_image] -= stamp.data[of_box]
print(f"light in the frame {frame.data.sum():.0f}, of the brightest alone {alone.sum():.0f}")
