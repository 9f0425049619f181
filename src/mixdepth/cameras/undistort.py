"""From the original image with its lens's distortion to the pinhole image of a camera. numpy only."""

from collections.abc import Iterator

import numpy as np

from mixdepth.cameras.camera import Camera
from mixdepth.cameras.lens import Lens

# Pixels that are remapped at once: the temporaries stay in the processor's cache.
BLOCK = 1 << 14
# Weights are whole numbers of 1 / 256: sums of products with 8-bit colours just fit 16 bits.
ONE = 256
ROUND = ONE // 2 * 0x0001_0001_0001_0001  # half of ONE for each of four numbers of 16 bits: to round, not to cut
# Intrinsics that agree to this many pixels are equal, and sources this far outside the image are at its border.
TOLERANCE = 1e-3


class Undistorter:
    """A bilinear remap, worked out once per camera and applied to each frame.

    Args:
        camera: the pinhole camera to see through; its size is that of the result.
        lens: the lens of the original image, in original pixels.
    """

    def __init__(self, camera: Camera, lens: Lens):
        self.size = (camera.width, camera.height)
        self.identity = _same_view(camera, lens)
        if not self.identity:
            self.corner, self.weights = _remap_table(camera, lens)
            # A pixel is one number of 64 bits, 16 for each colour (and 16 unused): it is gathered and weighted at once.
            # A row and a pixel more than the image has, so that every pixel has a right and a lower neighbour.
            self.source = np.zeros((len(self.corner) + camera.width + 1, 4), np.uint16)

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """The pinhole image, [camera.height, camera.width, 3] uint8.

        Args:
            image: [h, w, 3] uint8, the original image at any scale; larger than the camera's image it is reduced first.
                What lies outside it repeats its border.
        """
        if (image.shape[1], image.shape[0]) != self.size:
            from mixdepth.files.images import resize  # Pillow only where it is needed

            image = resize(image, self.size)
        if self.identity:
            return image
        width, height = self.size
        for channel in range(3):
            self.source[: height * width, channel] = image[..., channel].reshape(-1)
        result = np.empty((height * width, 3), np.uint8)
        for start in range(0, len(result), BLOCK):
            block = slice(start, start + BLOCK)
            colours = self._mix(block).view(np.uint16).reshape(-1, 4)
            colours >>= 8
            for channel in range(3):
                result[block, channel] = colours[:, channel]
        return result.reshape(height, width, 3)

    def _mix(self, block: slice) -> np.ndarray:
        """ONE times the weighted means of the four source pixels of the pixels of ``block``, [N] uint64."""
        pixels = self.source.view(np.uint64)[:, 0]
        corner, weights = self.corner[block], self.weights[:, block].astype(np.uint64)
        mixed, gathered = np.full((2, len(corner)), ROUND, np.uint64)
        for offset, weight in zip((0, 1, self.size[0], self.size[0] + 1), weights, strict=True):
            # The mode changes nothing, as all indices are in range, but without it numpy copies the result once more.
            pixels[offset:].take(corner, out=gathered, mode="clip")
            gathered *= weight
            mixed += gathered
        return mixed


def undistort(image: np.ndarray, camera: Camera, lens: Lens) -> np.ndarray:
    """The pinhole image [camera.height, camera.width, 3] uint8 of ``camera``; see :class:`Undistorter`."""
    return Undistorter(camera, lens)(image)


def valid_pixels(camera: Camera, lens: Lens) -> np.ndarray:
    """Which pixels of the undistorted image show the scene, [camera.height, camera.width] bool.

    The others repeat the border of the original image: their source lies outside it (of the four pixels that they are
    interpolated from, in the scaled original, one does not exist), or beyond the lens's
    :attr:`~mixdepth.cameras.lens.Lens.largest_radius`.
    """
    valid = np.ones(camera.height * camera.width, bool)
    if not _same_view(camera, lens):
        last = np.array([camera.width - 1, camera.height - 1])
        for block, source, in_range in _sources(camera, lens):
            inside = (source >= -TOLERANCE) & (source <= last + TOLERANCE)
            valid[block] = inside.all(axis=1) & in_range
    return valid.reshape(camera.height, camera.width)


def _scale(camera: Camera, lens: Lens) -> np.ndarray:
    """Factors (x, y) from original pixels to the camera's pixels, [2]."""
    return np.array([camera.width / lens.width, camera.height / lens.height])


def _same_view(camera: Camera, lens: Lens) -> bool:
    """True where scaling alone gives the camera's image: no distortion, and equal intrinsics."""
    original = np.array([lens.focal, lens.principal_point]) * _scale(camera, lens)
    return lens.is_pinhole and np.allclose(
        original, [[camera.fx, camera.fy], [camera.cx, camera.cy]], rtol=0, atol=TOLERANCE
    )


def _sources(camera: Camera, lens: Lens) -> Iterator[tuple[slice, np.ndarray, np.ndarray]]:
    """Where the pixels of the undistorted image come from, block by block.

    Yields:
        The block of pixels (row by row); their sources [N, 2] in the original image scaled to the camera's size, with
        the centre of its first pixel at 0; and whether the lens's model holds there, [N] bool. Where it does not, the
        source is that of the last ray in the same direction where it does.
    """
    scale, limit = _scale(camera, lens), lens.largest_radius
    pixels = camera.width * camera.height
    for start in range(0, pixels, BLOCK):
        index = np.arange(start, min(start + BLOCK, pixels))
        x, y = index % camera.width + 0.5, index // camera.width + 0.5
        rays = np.stack([(x - camera.cx) / camera.fx, (y - camera.cy) / camera.fy], axis=1)
        radius = np.linalg.norm(rays, axis=1)
        in_range = radius <= limit
        rays[~in_range] *= (limit / radius[~in_range])[:, None]
        yield slice(start, start + BLOCK), lens.distort(rays) * scale - 0.5, in_range


def _remap_table(camera: Camera, lens: Lens) -> tuple[np.ndarray, np.ndarray]:
    """For each pixel of the result: the upper left of its four source pixels, [H*W] flat index; and the weights of the
    upper left, upper right, lower left and lower right, [4, H*W] uint16, of which ONE is the whole."""
    width, height = camera.width, camera.height
    corners, weights = np.empty(height * width, np.intp), np.empty((4, height * width), np.uint16)
    for block, source, _ in _sources(camera, lens):
        source = np.clip(source, 0, [width - 1, height - 1])
        corner = np.floor(source).astype(np.intp)
        corners[block] = corner[:, 1] * width + corner[:, 0]
        # Rounded so that the four sum to ONE and none is negative.
        wx, wy = np.round((source - corner) * ONE).astype(np.int64).T
        both = np.round(wx * wy / ONE).astype(np.int64)
        weights[:, block] = [ONE - wx - wy + both, wx - both, wy - both, both]
    return corners, weights
