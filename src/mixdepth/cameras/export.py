"""Write the cameras in use as other programs read them, for the original images, and say what a format cannot hold."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from mixdepth.cameras.camera import Camera
from mixdepth.cameras.formats.colmap_files import write_colmap
from mixdepth.cameras.formats.llff import write_poses_bounds
from mixdepth.cameras.formats.transforms import write_transforms
from mixdepth.cameras.lens import Lens
from mixdepth.cameras.model import Model
from mixdepth.results import Export

GRID = 33  # points along each side of the image, corners included, at which losses are measured


def export_cameras(
    lenses: Mapping[str, Mapping[str, Lens]],
    c2w: Mapping[str, Mapping[str, np.ndarray]],
    bounds: Mapping[str, Mapping[str, tuple[float, float]]],
    images: Mapping[str, Mapping[str, str]],
    folder: Path,
    points: Model | None = None,
) -> list[str]:
    """Write poses_bounds.npy, transforms.json and colmap/ (binary and text) below ``folder``.

    Args:
        lenses, c2w, bounds: by group ("cameras", "photos") and name: lens of the original image, [4, 4] OpenCV camera
            to world, (near, far) in world units.
        images: by group and name, what COLMAP's model and transforms.json call the image.
        points: points and tracks by the same names, original pixels.

    Returns:
        a line for each format that says how many pixels are lost at most, at which camera.
    """
    export = Export(Path(folder))
    every = {
        image: (lenses[group][name], c2w[group][name]) for group in images for name, image in images[group].items()
    }
    nearest = {image: lens.colmaps for image, (lens, _) in every.items()}
    write_colmap(export.colmap[0].parent, {image: (nearest[image][0], every[image][1]) for image in every}, points)
    write_transforms(export.transforms, every)
    group = "cameras" if lenses["cameras"] else "photos"  # LLFF's rows have no names: one kind of image only
    cameras = {
        name: Camera(lens.width, lens.height, *lens.focal, *lens.principal_point, c2w[group][name])
        for name, lens in lenses[group].items()
    }
    write_poses_bounds(export.poses_bounds, cameras, bounds[group])
    return [
        _llff_line(lenses[group]),
        _colmap_line({image: off for image, (_, off) in nearest.items() if off}),
        _transforms_line({image: lens for image, (lens, _) in every.items()}),
    ]


def llff_loss(lens: Lens) -> dict[str, float]:
    """How far LLFF's camera (one focal length, principal point in the middle, no distortion) puts what a pixel sees
    from that pixel: the largest distance over the image, in pixels, in all and for each cause alone."""
    (fx, fy), principal = lens.focal, np.array(lens.principal_point)
    middle, focal = np.array([lens.width, lens.height]) / 2, (fx + fy) / 2
    uv = np.stack(np.meshgrid(np.linspace(0, lens.width, GRID), np.linspace(0, lens.height, GRID)), -1).reshape(-1, 2)
    xy = lens.undistort(uv)
    pinhole = xy * (fx, fy) + principal
    shifts = {
        "all": xy * focal + middle - uv,
        "principal point": np.broadcast_to(middle - principal, uv.shape),
        "fx and fy": xy * (focal - fx, focal - fy),
        "distortion": pinhole - uv,
    }
    return {cause: float(np.nanmax(np.linalg.norm(shift, axis=1))) for cause, shift in shifts.items()}


def _llff_line(lenses: Mapping[str, Lens]) -> str:
    losses = {name: llff_loss(lens) for name, lens in lenses.items()}
    worst = max(sorted(losses), key=lambda name: losses[name]["all"])
    total, *parts = losses[worst].items()
    if not total[1] > 1e-6:
        return "poses_bounds.npy: exact"
    causes = ", ".join(f"{cause} {pixels:.2g}" for cause, pixels in parts)
    return (
        f"poses_bounds.npy: off by up to {total[1]:.3g} pixels (camera {worst}: {causes}), because LLFF has one focal "
        "length, a principal point in the middle and no distortion"
    )


def _colmap_line(losses: Mapping[str, float]) -> str:
    if not losses:
        return "colmap: exact"
    worst = max(sorted(losses), key=lambda name: losses[name])
    return f"colmap: off by up to {losses[worst]:.2g} pixels ({worst}), because COLMAP has no k4 of r^8"


def _transforms_line(lenses: Mapping[str, Lens]) -> str:
    """nerfstudio reads one kind of lens per file, and of the polynomials OPENCV_FISHEYE's and Brown's up to r^8."""
    if len({lens.is_fisheye for lens in lenses.values()}) > 1:
        fisheye = sorted(name for name, lens in lenses.items() if lens.is_fisheye)
        return (
            f"transforms.json: exact; nerfstudio takes the fisheye lenses of {', '.join(fisheye)} for perspective ones"
        )
    if rational := sorted(
        name for name, lens in lenses.items() if lens.model == "FULL_OPENCV" and any(lens.params[-3:])
    ):
        return (
            "transforms.json: exact; nerfstudio takes k4 for that of r^8 and leaves out k5 and k6 of "
            f"{', '.join(rational)}"
        )
    return "transforms.json: exact"
