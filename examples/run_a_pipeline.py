"""Clean simulated exposures with a pipeline, and read the record of the run."""

from pathlib import Path

import astroclean
from astroclean.simulate.exposure import write_exposure

raw = Path("raw")
raw.mkdir(exist_ok=True)
for seed in (1, 2):
    write_exposure(raw / f"night{seed}.fits", seed=seed, shape=(200, 200))

pipeline = {
    "schema": 1,
    "stage": [
        {"plugin": "saturation"},
        {"plugin": "lacosmic", "options": {"sigclip": 5.0}},
        {"plugin": "interpolate"},
        {"plugin": "sep"},
    ],
}
report = astroclean.run(pipeline, raw, output="cleaned")

for file in report.files:
    (frame,) = file.frames
    hits = frame.flagged_after.get("COSMIC_RAY", 0)
    print(f"{Path(file.input).name}: {file.status}, {hits} pixels hit, {frame.sources} sources")
    for stage in frame.stages:
        print(f"  {stage.name}: {stage.outcome} in {stage.seconds:.2f} s")
print(f"exit code {report.exit_code}; see cleaned/report.html")
