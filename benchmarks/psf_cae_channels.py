"""Which inputs help the autoencoder of the paper: tables 1 and 2 of Sreejith et al. (2023) on ours.

    python benchmarks/psf_cae_channels.py --workers 2

The variant `paper` of `psf-cae` is trained for each subset of the three channels, from the same
first weights (but for those of the inputs), on the same stamps in the same order, for the same
number of steps, and scored on stamps with galaxies that no step saw. A row is told when it is done.
By default all seven take about an hour on two cores. So short a training ranks how fast subsets are
learned from; the paper trains for hours, at a tenth of the rate.
"""

from __future__ import annotations

import argparse
import itertools
import tempfile
import time
from pathlib import Path

import numpy as np
from astroclean_psf_cae.paper.channels import CHANNELS
from astroclean_psf_cae.paper.train import PaperTrainer
from machine import told_machine

from astroclean.training.trainer import make_recipe

COLUMNS = (
    "channels",
    "PSNR, mean",
    "median",
    "1-SSIM, mean",
    "median",
    "flux, mean %",
    "RMS %",
    "size, mean %",
    "RMS %",
    "abs(e), mean",
    "RMS",
    "no moments %",
    "loss",
    "minutes",
)
LAST = 20
"""Steps whose mean loss is told."""


def subsets() -> list[tuple[str, ...]]:
    """Return the subsets of the channels, all of them first."""
    return [
        chosen
        for count in range(len(CHANNELS), 0, -1)
        for chosen in itertools.combinations(CHANNELS, count)
    ]


def row_of(channels: tuple[str, ...], given: argparse.Namespace, folder: Path) -> str:
    """Train on a subset, and return its row."""
    trainer = PaperTrainer()
    settings = {
        "channels": channels,
        "steps": given.steps,
        "batch": given.batch,
        "rate": given.rate,
        "precision": given.precision,
        "scaling": given.scaling,
        "floor": given.floor,
        "seed": given.seed,
        "galaxies": given.galaxies,
        "first": given.samples,
        "keep": given.samples,
        "fresh": 0.0,
        "validation": given.validation,
        "workers": given.workers,
        **({} if given.sigma is None else {"sigma": given.sigma}),
    }
    begun = time.perf_counter()
    training = trainer.begin(make_recipe(trainer, None, settings), folder)
    losses = [training.step(number)["loss"] for number in range(1, given.steps + 1)]
    told = training.validate()
    training.close()
    minutes = (time.perf_counter() - begun) / 60
    parts = [
        "-".join(channels),
        f"{told['psnr']:.2f}",
        f"{told['psnr median']:.2f}",
        f"{told['dissimilarity']:.4f}",
        f"{told['dissimilarity median']:.4f}",
        *(
            f"{100 * told[f'{name} {kind}']:.1f}"
            for name in ("flux", "size")
            for kind in ("mean", "rms")
        ),
        *(f"{told[f'ellipticity {kind}']:.3f}" for kind in ("mean", "rms")),
        f"{100 * told['lost']:.1f}",
        f"{np.mean(losses[-LAST:]):.4f}",
        f"{minutes:.1f}",
    ]
    return "| " + " | ".join(parts) + " |"


def parsed() -> argparse.Namespace:
    """Return the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--steps", type=int, default=1000, help="of each subset")
    parser.add_argument("--batch", type=int, default=32, help="stamps in a step")
    parser.add_argument("--rate", type=float, default=1e-3, help="learning rate of the first step")
    parser.add_argument("--precision", default="bf16", choices=("f32", "bf16"))
    parser.add_argument("--scaling", default="channel", choices=("channel", "object"))
    parser.add_argument("--sigma", type=float, help="of the Gaussian, pixels; by default per PSF")
    parser.add_argument("--floor", type=float, default=1e-3, help="of the inverse")
    parser.add_argument("--samples", type=int, default=8000, help="stamps to learn from")
    parser.add_argument("--galaxies", type=int, default=40, help="of each family")
    parser.add_argument("--validation", type=int, default=600, help="stamps to score")
    parser.add_argument("--workers", type=int, default=1, help="processes that simulate")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--folder", type=Path, help="keeps the stamps for another run")
    parser.add_argument("--only", nargs="*", help="subsets such as psf-ipsf1; by default all")
    return parser.parse_args()


def main() -> None:
    """Print the table."""
    given = parsed()
    print(told_machine("numpy", "keras", "tensorflow-cpu", "torch"))
    told = " ".join(f"{key}={value}" for key, value in vars(given).items() if key != "folder")
    print(f"\n{told}\n")
    print("| " + " | ".join(COLUMNS) + " |")
    print("| --- " * len(COLUMNS) + "|", flush=True)
    with tempfile.TemporaryDirectory() as place:
        # Stamps of other settings must not be taken for these.
        names = ("seed", "galaxies", "samples", "validation", "sigma", "floor")
        made = "_".join(f"{name}-{getattr(given, name)}" for name in names)
        folder = (given.folder or Path(place)) / made
        for channels in subsets():
            if not given.only or "-".join(channels) in given.only:
                print(row_of(channels, given, folder), flush=True)


if __name__ == "__main__":
    main()
