"""SIFT features of images (Lowe 2004), by COLMAP's implementation.

Detection, and after it matching and mapping, happens at the *detection size*: small images are enlarged by a whole
factor first, because SIFT finds little on them and because COLMAP's thresholds are meant for images of about this size.
"""

import contextlib
import functools
import math
import multiprocessing
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

# Pillow first: with pycolmap imported before it, a later PNG write aborts the process (pycolmap 4.2.1, Pillow 13.0.0).
from PIL import Image  # isort: skip
import numpy as np
import pycolmap

from mixdepth.errors import DamagedFile
from mixdepth.files.images import pixel_ratio, read_image
from mixdepth.progress import Progress

LOWER_PEAK, MORE_FEATURES = 1 / 3, 2  # factors of `thorough`
SQUARE = 1e-3  # how far from 1 the ratio of square pixels may be, by rounding
LARGEST_SIDE = 3200  # pixels; larger images are shrunk for detection (COLMAP's own default for SIFT)


@dataclass(frozen=True)
class Features:
    """SIFT features of one image, at its detection size."""

    size: tuple[int, int]  # (width, height) of the original, upright, pixels
    detection_size: tuple[int, int]  # (width, height) that SIFT saw
    keypoints: np.ndarray  # [N, 4] float32: x, y (detection pixels, centres at +0.5), scale, orientation
    descriptors: np.ndarray  # [N, 128] uint8

    @property
    def xy(self) -> np.ndarray:
        """[N, 2] float64 detection pixels."""
        return self.keypoints[:, :2].astype(np.float64)

    @property
    def uv(self) -> np.ndarray:
        """[N, 2] float64 pixels of the original."""
        return self.xy * np.divide(self.size, self.detection_size)

    def subset(self, keep: np.ndarray) -> "Features":
        """Those key points where ``keep`` [N] is true."""
        return replace(self, keypoints=self.keypoints[keep], descriptors=self.descriptors[keep])


def detect(
    images: Mapping[str, Path], options: Mapping, masks: Mapping[str, Path] | None = None, threads: int = 1
) -> dict[str, Features]:
    """The features of every image.

    Args:
        images: image name to file; turned upright as its EXIF orientation says.
        options: the scene's ``colmap`` section: max_features, peak_threshold, upscale_to; and largest_side, pixels, to
            which larger images are shrunk (LARGEST_SIDE).
        masks: image name to an image of the same size that is not 0 where things move; key points there are dropped.
        threads: processes to use; the features are the same for any number.

    Raises:
        UserError: an image or a mask is missing, unreadable or of a wrong size.
    """
    progress = Progress("colmap features", len(images))
    names = sorted(images)
    jobs = [(Path(images[name]), (masks or {}).get(name)) for name in names]
    find = functools.partial(_detect, dict(options))
    found = {}
    with contextlib.ExitStack() as opened:
        results: Iterator[Features] = map(find, jobs)
        if threads > 1 and len(names) > 1:
            # Spawned, not forked: torch and BLAS may have threads by now. (pycolmap does not let Python's threads run.)
            pool = ProcessPoolExecutor(min(threads, len(names)), multiprocessing.get_context("spawn"))
            results = opened.enter_context(pool).map(find, jobs)
        for name, features in zip(names, results, strict=True):
            found[name] = features
            progress.update(features=len(features.keypoints))
    return found


def thorough(options: Mapping) -> dict:
    """The ``colmap`` section ``options`` for images that show too little: a lower threshold and more features."""
    peak, count = options["peak_threshold"] * LOWER_PEAK, options["max_features"] * MORE_FEATURES
    return {**options, "peak_threshold": peak, "max_features": count}


def _detect(options: Mapping, job: tuple[Path, Path | None]) -> Features:
    path, mask = job
    image = Image.fromarray(read_image(path)).convert("L")
    largest = options.get("largest_side", LARGEST_SIDE)
    size = _detection_size(*image.size, options["upscale_to"], largest, pixel_ratio(path))
    pixels = image if size == image.size else image.resize(size, Image.Resampling.BICUBIC)
    settings = pycolmap.FeatureExtractionOptions()
    settings.num_threads = 1
    settings.use_gpu = False
    settings.sift.max_num_features = options["max_features"]
    settings.sift.peak_threshold = options["peak_threshold"]
    extractor = pycolmap.FeatureExtractor.create(settings, pycolmap.Device.cpu)
    keypoints, descriptors = extractor.extract_from_uint8_array(np.asarray(pixels))
    features = Features(image.size, size, pycolmap.keypoints_to_matrix(keypoints), descriptors.data)
    return features if mask is None else features.subset(~moving_at(features, Path(mask)))


def moving_at(features: Features, mask: Path) -> np.ndarray:
    """Which key points lie on pixels that are not 0 in ``mask``, [N] bool.

    Raises:
        UserError: it is missing, unreadable or of another size.
    """
    moving = read_image(mask)[..., 0] > 0
    width, height = features.size
    if moving.shape != (height, width):
        raise DamagedFile(
            f"{mask}: {moving.shape[1]}x{moving.shape[0]} pixels, its image {width}x{height}. "
            "Delete the folder it is in and run the same command again."
        )
    column, row = np.clip(features.uv.astype(int), 0, [width - 1, height - 1]).T
    return moving[row, column]


def _detection_size(width: int, height: int, upscale_to: int, largest_side: int, ratio: float = 1.0) -> tuple[int, int]:
    """The size for detection; pixels that are ``ratio`` times as wide as high become square: COLMAP's cameras have one
    focal length."""
    if abs(ratio - 1) > SQUARE:
        width, height = (round(width * ratio), height) if ratio > 1 else (width, round(height / ratio))
    if max(width, height) > largest_side:
        shrink = largest_side / max(width, height)
        return round(width * shrink), round(height * shrink)
    factor = max(1, math.ceil(upscale_to / width))  # whole, so that no pixel centre has to be rounded
    return width * factor, height * factor
