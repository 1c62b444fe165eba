"""Write scenes: the frame as a telescope gives it, and its truth in a file beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from astropy.io import fits

from astroclean import __version__
from astroclean.core.flags.planes import plane_cards
from astroclean.io.fits.encode import encode_hdu
from astroclean.io.fits.images import own_primary
from astroclean.io.products.catalogs import CATALOGUE, stamps_hdu, table_hdu
from astroclean.io.products.layers import layer_images
from astroclean.io.products.names import OWNER_KEYWORD, WRITER_KEYWORD
from astroclean.io.scratch.atomic import atomic_file

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from astroclean.core.image.frame import Frame
    from astroclean.core.image.layer import Layer
    from astroclean.core.sources.sources import Sources
    from astroclean.simulate.scene import Scene

__all__ = ["scene_paths", "write_scene"]

_CARDS = {
    "gain": ("GAIN", "[electron/adu] gain"),
    "read_noise": ("RDNOISE", "[electron] read noise"),
    "saturation": ("SATURATE", "full well, in the unit of the image"),
    "exposure": ("EXPTIME", "[s] exposure time"),
    "pixel_scale": ("PIXSCALE", "[arcsec] pixel"),
    "psf_fwhm": ("SEEING", "[arcsec] FWHM of the PSF"),
    "filter": ("FILTER", "band"),
}
_LARGEST = 65535


def scene_paths(scene: Scene, folder: Path, *, name: str) -> tuple[Path, ...]:
    """Return the files of a scene, as :func:`write_scene` writes them."""
    names = [f"{name}_{band}" if band else name for band in scene.by_band]
    files = [f"{one}{end}.fits" for one in names for end in ("", "_truth")]
    return tuple(folder / file for file in (*files, *([f"{name}_truth.fits"] * bool(scene.bands))))


def write_scene(scene: Scene, folder: Path, *, name: str, seed: int) -> tuple[Path, ...]:
    """Write a scene as two files a band, each whole or not at all.

    Parameters
    ----------
    scene : Scene
        What to write.
    folder : Path
        An existing folder.
    name : str
        Stem of the file names.
    seed : int
        Entered in the headers.

    Returns
    -------
    tuple of Path
        ``<name>.fits``: the image in the primary HDU, ``ERR`` where there is an uncertainty.
        ``<name>_truth.fits``: of ``TRUTH`` (bits of the mask planes), ``IGNORED`` (1 where
        the truth is not known), ``CLEAN``, ``BACKGROUND``, ``SHARP``, ``FINE`` with ``FINE_PSF``,
        ``SEGMENTATION``, ``PSF``, ``SOURCES`` and ``STAMPS`` those that the scene has;
        ``GIVEN_PSF`` and ``GIVEN_SOURCES`` are what stages are told, where that is wrong. It
        carries the card of astroclean's own files, so that no run takes it for an input.
        Of several bands, ``<name>_<band>.fits`` and ``<name>_<band>_truth.fits`` for each, in
        order, and last ``<name>_truth.fits`` with the joint catalogue and the stamps of all bands.
    """
    paths = scene_paths(scene, folder, name=name)
    for index, one in enumerate(scene.by_band.values()):
        frame_path, truth_path = paths[2 * index : 2 * index + 2]
        _write_truth(one, truth_path, seed)
        with atomic_file(frame_path) as target:
            target.write(encode_hdu(_primary(one, seed), primary=True))
            if one.frame.uncertainty is not None:
                header = _unit_card(one.frame)
                error = np.asarray(one.frame.uncertainty.array, dtype=np.float32)
                target.write(encode_hdu(fits.ImageHDU(error, header, name="ERR")))
    if scene.bands:
        _write_truth(scene, paths[-1], seed)
    return paths


def _write_truth(scene: Scene, path: Path, seed: int) -> None:
    with atomic_file(path) as target:
        target.write(own_primary())
        for hdu in _truth_hdus(scene, seed):
            target.write(encode_hdu(hdu))


def _unit_card(frame: Frame) -> fits.Header:
    header = fits.Header()
    header["BUNIT"] = str(frame.unit)  # electrons are no unit of the FITS standard
    return header


def _primary(scene: Scene, seed: int) -> fits.PrimaryHDU:
    header = _unit_card(scene.frame)
    header["TELESCOP"], header["INSTRUME"] = "simulated", "astroclean.simulate"
    header["OBJECT"] = scene.frame.frame_id
    detector = scene.frame.detector
    for field, (keyword, comment) in _CARDS.items():
        value = getattr(detector, field)
        if value is not None:
            header[keyword] = (value, comment)
    header["SIMSEED"] = (seed, "seed of the simulation")
    if scene.frame.wcs is not None:
        header.update(scene.frame.wcs.to_header(relax=True))
    return fits.PrimaryHDU(_as_stored(scene.frame), header)


def _as_stored(frame: Frame) -> NDArray[np.generic]:
    """Return unsigned integers where the pixels are such, as cameras write, else float32."""
    data: NDArray[np.generic] = frame.data
    if str(frame.unit) == "adu" and np.array_equal(data, np.clip(np.rint(data), 0, _LARGEST)):
        return np.asarray(data, dtype=np.uint16)
    return data


def _truth_hdus(scene: Scene, seed: int) -> list[fits.ImageHDU | fits.BinTableHDU]:
    hdus: list[fits.ImageHDU | fits.BinTableHDU] = []
    if scene.planes is not None:
        hdus.append(fits.ImageHDU(scene.planes.astype(np.uint32), plane_cards(), name="TRUTH"))
    if scene.ignored is not None:
        hdus.append(fits.ImageHDU(scene.ignored.astype(np.uint8), name="IGNORED"))
    for name in ("clean", "background", "sharp"):
        image = getattr(scene, name)
        if image is not None:
            header = _unit_card(scene.frame)
            data = np.asarray(image, dtype=np.float32)
            hdus.append(fits.ImageHDU(data, header, name=name.upper()))
    for name, layer in (("TARGET", scene.target), ("FINE", scene.fine)):
        hdus += _layer_hdus(name, layer)
    if not scene.bands:
        hdus += _psf_hdus(scene)
    if scene.sources is not None:
        hdus += _source_hdus(scene.sources)
    if scene.catalogue is not None:
        hdus.append(table_hdu(scene.catalogue.table, "GIVEN_SOURCES"))
    for hdu in hdus:
        hdu.header["SIMSEED"] = (seed, "seed of the simulation")
    _note(hdus, scene)
    return hdus


def _psf_hdus(scene: Scene) -> list[fits.ImageHDU]:
    told = {"PSF": scene.true_psf, "GIVEN_PSF": scene.frame.psf if scene.psf else None}
    header = fits.Header()
    header["OVERSAMP"] = (1, "pixels of the PSF along one of the frame")
    return [
        fits.ImageHDU(psf.stamps[0], header.copy(), name=name)
        for name, psf in told.items()
        if psf is not None
    ]


def _layer_hdus(name: str, layer: Layer | None) -> list[fits.ImageHDU]:
    if layer is None:
        return []
    common = fits.Header()
    for keyword, value in (("EXTVER", 1), (OWNER_KEYWORD, "FRAME"), (WRITER_KEYWORD, __version__)):
        common[keyword] = value
    images = layer_images(name, [layer], common)
    return [fits.ImageHDU(np.asarray(i.planes[0]), i.header, name=i.name) for i in images]


def _source_hdus(sources: Sources) -> list[fits.ImageHDU | fits.BinTableHDU]:
    hdus: list[fits.ImageHDU | fits.BinTableHDU] = []
    if sources.segmentation is not None:
        hdus.append(fits.ImageHDU(sources.segmentation, name="SEGMENTATION"))
    hdus.append(table_hdu(sources.table, CATALOGUE))
    if sources.stamps:
        hdus.append(stamps_hdu([("", sources)]))
    return hdus


def _note(hdus: list[fits.ImageHDU | fits.BinTableHDU], scene: Scene) -> None:
    """Write what was drawn into the first HDU as HISTORY-like cards that keep their names."""
    if not hdus:
        return
    for name, value in sorted(scene.notes.items()):
        text = value if isinstance(value, str) else f"{float(value):.7g}"
        hdus[0].header.add_comment(f"{name} = {text}")
