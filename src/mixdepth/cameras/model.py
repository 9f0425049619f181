"""A COLMAP model as arrays, for everything that does not need pycolmap itself."""

from dataclasses import dataclass, replace

import numpy as np

from mixdepth.cameras.lens import Lens

STRAY = 1.25  # how far beyond the range of the well-seen points a point of two views may lie, as a factor


@dataclass(frozen=True)
class Model:
    """Images by their COLMAP name, points numbered 0 .. P - 1, and K observations of points in images."""

    lenses: dict[str, Lens]
    c2w: dict[str, np.ndarray]  # [4, 4] float64, OpenCV
    points: np.ndarray  # [P, 3] world units
    error: np.ndarray  # [P] mean reprojection error, original pixels
    track_point: np.ndarray  # [K] point of each observation
    track_image: np.ndarray  # [K] index into sorted(lenses) of each observation
    track_uv: np.ndarray  # [K, 2] where it was observed, original pixels

    @property
    def views(self) -> np.ndarray:
        """Number of images that observe each point, [P]."""
        pairs = np.unique(np.stack([self.track_point, self.track_image]), axis=1)
        return np.bincount(pairs[0], minlength=len(self.points))

    @property
    def track_depth(self) -> np.ndarray:
        """z-depth of each observed point in its image's camera, [K] world units."""
        poses = np.array([self.c2w[name] for name in sorted(self.c2w)]).reshape(-1, 4, 4)
        offset = self.points[self.track_point] - poses[self.track_image, :3, 3]
        return np.sum(offset * poses[self.track_image, :3, 2], axis=1)

    def subset(self, keep: np.ndarray) -> "Model":
        """The model with only the points where ``keep`` [P] is true."""
        number = np.cumsum(keep) - 1
        seen = keep[self.track_point]
        return replace(
            self,
            points=self.points[keep],
            error=self.error[keep],
            track_point=number[self.track_point[seen]],
            track_image=self.track_image[seen],
            track_uv=self.track_uv[seen],
        )

    def without_strays(self) -> "Model":
        """The model without points of two views that lie far before or behind what is seen from three and more.

        Any two matched key points that lie on each other's epipolar line make a point with a small reprojection error,
        so a chance match goes unnoticed until a third view contradicts it; then it is mostly far off (fern: the nearest
        such point is at a fifth of the scene's near).
        """
        views, depth = self.views, self.track_depth
        keep = np.ones(len(self.points), bool)
        for image in range(len(self.lenses)):
            here = self.track_image == image
            well_seen = depth[here & (views[self.track_point] >= 3)]
            if len(well_seen):
                outside = (depth < well_seen.min() / STRAY) | (depth > well_seen.max() * STRAY)
                keep[self.track_point[here & outside & (views[self.track_point] < 3)]] = False
        return self.subset(keep)
