"""From the original image with its lens's distortion to the pinhole image of a camera."""

import numpy as np

from mixdepth.cameras.camera import Camera
from mixdepth.cameras.lens import Lens

# Pixels that are remapped at once: the temporaries stay in the processor's cache.
BLOCK = 1 << 14


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
            self.corners, self.weights = _remap_table(camera, lens)

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """The pinhole image, [camera.height, camera.width, 3] uint8.

        Args:
            image: [h, w, 3] uint8, the original image at any scale; larger than the camera's image it is reduced first.
                What lies outside it repeats its border.
        """
        if (image.shape[1], image.shape[0]) != self.size:
            from mixdepth.frames.decode import resize  # Pillow only where it is needed

            image = resize(image, self.size)
        if self.identity:
            return image
        width, height = self.size
        source = np.ascontiguousarray(image).reshape(-1, 3)
        result = np.empty((height * width, 3), np.uint8)
        for start in range(0, len(result), BLOCK):
            block = slice(start, start + BLOCK)
            mixed = np.float32(0.5)  # to round, not to cut
            for corner, weight in zip(self.corners, self.weights, strict=True):
                mixed = mixed + source.take(corner[block], axis=0) * weight[block, None]
            result[block] = mixed
        return result.reshape(height, width, 3)


def undistort(image: np.ndarray, camera: Camera, lens: Lens) -> np.ndarray:
    """The pinhole image [camera.height, camera.width, 3] uint8 of ``camera``; see :class:`Undistorter`."""
    return Undistorter(camera, lens)(image)


def _scale(camera: Camera, lens: Lens) -> np.ndarray:
    """Factors (x, y) from original pixels to the camera's pixels, [2]."""
    return np.array([camera.width / lens.width, camera.height / lens.height])


def _same_view(camera: Camera, lens: Lens) -> bool:
    """True where scaling alone gives the camera's image: no distortion, intrinsics equal to a thousandth of a pixel."""
    original = np.array([lens.focal, lens.principal_point]) * _scale(camera, lens)
    return lens.is_pinhole and np.allclose(
        original, [[camera.fx, camera.fy], [camera.cx, camera.cy]], rtol=0, atol=1e-3
    )


def _remap_table(camera: Camera, lens: Lens) -> tuple[np.ndarray, np.ndarray]:
    """For each pixel of the result: its four source pixels [4, H*W] int32 (flat index) and weights [4, H*W] float32."""
    width, height = camera.width, camera.height
    y, x = np.mgrid[:height, :width].reshape(2, -1) + 0.5
    normalised = np.stack([(x - camera.cx) / camera.fx, (y - camera.cy) / camera.fy], axis=1)
    # Source position with the centre of the first pixel at 0, for the gather.
    source = lens.distort(normalised) * _scale(camera, lens) - 0.5
    source = np.clip(source, 0, [width - 1, height - 1])
    corner = np.floor(source).astype(np.int32)
    wx, wy = (source - corner).T.astype(np.float32)
    x0, y0 = corner.T
    x1, y1 = np.minimum(x0 + 1, width - 1), np.minimum(y0 + 1, height - 1)
    corners = np.stack([y0 * width + x0, y0 * width + x1, y1 * width + x0, y1 * width + x1])
    weights = np.stack([(1 - wx) * (1 - wy), wx * (1 - wy), (1 - wx) * wy, wx * wy])
    return corners, weights
