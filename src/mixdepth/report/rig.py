"""The cameras and the sparse points, for the report's picture of the rig that can be turned."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from mixdepth.cameras.camera import Camera, load_cameras
from mixdepth.files.io import read_npz
from mixdepth.report.geometry import depth_parts
from mixdepth.results import Results, photo_depth_file
from mixdepth.scene.scene import Scene

MAX_POINTS = 5000
MAX_STILL_POINTS = 900  # of the picture that does not turn
YAW, PITCH = -0.6, 0.42  # radians: from behind the cameras, a little to the side and from above
DISTANCE = 4.0  # of the viewer from the middle; the rig's radius is 1
FRUSTUM = 0.12  # largest size of a drawn camera
UNKNOWN = (128, 128, 128)
ROLES = {
    "train": "video camera that trains",
    "test": "held-out video camera",
    "other": "video camera that is not used",
    "photo": "photo that trains",
    "test-photo": "held-out photo",
}


def rig(scene: Scene, results: Results) -> dict[str, Any] | None:
    """Cameras and points, centred and scaled so that they fill a ball of radius 1; z is up, the cameras look along y.

    Keys: ``cameras`` [{name, role, at}] with ``at`` [5, 3]: centre, and the corners of the image plane from the top
    left clockwise; ``points`` {at [N, 3], colours [N] "rrggbb"}; ``roles`` {role: meaning} of those that occur;
    ``view`` {yaw, pitch, distance}; ``still``: the same as a drawing. None where there are no cameras.
    """
    if not results.cameras.is_file():
        return None
    videos = load_cameras(results.cameras)
    photos = load_cameras(results.photos) if results.photos.is_file() else {}
    every = [*videos.values(), *photos.values()]
    if not every:
        return None
    points, colours = _sparse_points(scene, results, videos, photos)
    axes, middle, radius = _fitted(every, points, *_frame(every, points))
    size = _frustum_size(np.array([camera.centre for camera in every]), radius)

    def ours(world: np.ndarray) -> list[list[float]]:
        return np.round((world - middle) @ axes.T / radius, 4).tolist()

    cameras = [
        {"name": name, "role": _role(scene, name, group), "at": ours(_corners(camera, size))}
        for group, members in (("video", videos), ("photo", photos))
        for name, camera in sorted(members.items())
    ]
    found = {
        "cameras": cameras,
        "points": {"at": ours(points), "colours": [f"{r:02x}{g:02x}{b:02x}" for r, g, b in colours.tolist()]},
        "roles": {role: text for role, text in ROLES.items() if role in {camera["role"] for camera in cameras}},
        "view": {"yaw": YAW, "pitch": PITCH, "distance": DISTANCE},
    }
    return {**found, "still": _still(found)}


def _role(scene: Scene, name: str, group: str) -> str:
    if group == "photo":
        return "test-photo" if name in scene.test_photos else "photo"
    return "train" if name in scene.train_cameras else "test" if name in scene.test_cameras else "other"


def _sparse_points(
    scene: Scene, results: Results, videos: Mapping[str, Camera], photos: Mapping[str, Camera]
) -> tuple[np.ndarray, np.ndarray]:
    """Up to MAX_POINTS points [N, 3], world units, and their colours [N, 3] uint8, from the sparse depth of all images.

    COLMAP's own points have no colours here; those of the images where they are seen take their place.
    """
    parts = []
    for name, part in depth_parts(results.colmap_depth, [name for name in scene.train_cameras if name in videos]):
        median = results.store(name).median
        image = np.load(median, allow_pickle=False) if median.is_file() else None
        parts.append(_seen(videos[name], part, image))
    if (path := photo_depth_file(results.colmap_depth)).is_file():
        part, images = read_npz(path), read_npz(results.static_set) if results.static_set.is_file() else {}
        for index, name in enumerate(part["names"].tolist()):
            if name in photos:
                mine = {key: part[key][part["image"] == index] for key in ("uv", "z")}
                parts.append(_seen(photos[name], mine, images.get(name)))
    points = np.concatenate([np.zeros((0, 3)), *(part[0] for part in parts)])
    colours = np.concatenate([np.zeros((0, 3), np.uint8), *(part[1] for part in parts)])
    # A point is there once for each image that sees it; so a part of them still shows nearly all.
    picked = np.sort(np.random.default_rng(0).permutation(len(points))[:MAX_POINTS])
    return points[picked], colours[picked]


def _seen(camera: Camera, part: Mapping[str, np.ndarray], image: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """Points [N, 3] and colours [N, 3] of one image's sparse depth."""
    colours = np.full((len(part["z"]), 3), UNKNOWN, np.uint8)
    if image is not None and image.shape[:2] == (camera.height, camera.width):
        x, y = np.clip(part["uv"].astype(int), 0, (camera.width - 1, camera.height - 1)).T
        colours = image[y, x]
    return camera.unproject(part["uv"], part["z"]), colours


def _frame(cameras: list[Camera], points: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """The axes [3, 3] (rows: right, the way the cameras look, up), the middle [3] and the radius of what is shown."""
    up = _unit(np.mean([-camera.c2w[:3, 1] for camera in cameras], axis=0), np.array([0.0, 0.0, 1.0]))
    ahead = np.mean([camera.c2w[:3, 2] for camera in cameras], axis=0)
    ahead = _unit(ahead - (ahead @ up) * up, cameras[0].c2w[:3, 2] - (cameras[0].c2w[:3, 2] @ up) * up)
    if np.linalg.norm(ahead) < 0.5:  # cameras that look straight down
        ahead = _unit(cameras[0].c2w[:3, 1] - (cameras[0].c2w[:3, 1] @ up) * up, np.eye(3)[np.abs(up).argmin()])
    axes = np.stack([np.cross(ahead, up), ahead, up])
    centres = np.array([camera.centre for camera in cameras])
    kept = np.percentile(points, [2, 98], axis=0) if len(points) else centres[:1]
    corners = np.concatenate([centres, kept]) @ axes.T
    low, high = corners.min(axis=0), corners.max(axis=0)
    return axes, (low + high) / 2 @ axes, max(float(np.linalg.norm(high - low)) / 2, 1e-9)


def _fitted(
    cameras: list[Camera], points: np.ndarray, axes: np.ndarray, middle: np.ndarray, radius: float
) -> tuple[np.ndarray, np.ndarray, float]:
    """The same axes with the middle and the radius with which the first view fills the drawing."""
    centres = np.array([camera.centre for camera in cameras])
    right = np.array([np.cos(YAW), -np.sin(YAW), 0.0])
    above = np.array([np.sin(YAW) * np.sin(PITCH), np.cos(YAW) * np.sin(PITCH), np.cos(PITCH)])
    for _ in range(12):  # what is nearer is larger, so this takes a few rounds
        seen = project((centres - middle) @ axes.T / radius)
        low, high = seen.min(axis=0) - FRUSTUM, seen.max(axis=0) + FRUSTUM
        if len(points):
            # A few stray points must not shrink the rest.
            near, far = np.percentile(project((points - middle) @ axes.T / radius), [1, 99], axis=0)
            low, high = np.minimum(low, near), np.maximum(high, far)
        x, y = (low + high) / 2
        middle = middle + radius * (x * right - y * above) @ axes
        radius *= float(max((high - low)[0] / 2.1, (high - low)[1] / 1.28, 1e-6))
    return axes, middle, radius


def _unit(vector: np.ndarray, otherwise: np.ndarray) -> np.ndarray:
    length = np.linalg.norm(vector)
    if length > 1e-6:
        return vector / length
    return otherwise / max(np.linalg.norm(otherwise), 1e-12)


def _frustum_size(centres: np.ndarray, radius: float) -> float:
    """Depth of the drawn image planes: neighbours should not cover each other."""
    apart = np.linalg.norm(centres[:, None] - centres[None], axis=-1)
    apart = apart[apart > 1e-9]
    nearest = float(np.percentile(apart, 10)) if len(apart) else radius
    return float(np.clip(0.5 * nearest, 0.06 * radius, FRUSTUM * radius))


def _corners(camera: Camera, size: float) -> np.ndarray:
    """Centre and image corners at the depth that makes the image's diagonal about as long as ``size``, [5, 3]."""
    w, h = camera.width, camera.height
    z = size * 1.2 / np.hypot(w / camera.fx, h / camera.fy)
    corners = camera.unproject(np.array([[0, 0], [w, 0], [w, h], [0, h]], float), np.full(4, z))
    return np.concatenate([camera.centre[None], corners])


def _still(found: Mapping[str, Any]) -> dict[str, Any]:
    """The drawing that is shown in print and without scripts: positions [x, y] in a picture of 1000 x 620."""

    def placed(at: list[list[float]]) -> list[list[float]]:
        return np.round(project(np.array(at).reshape(-1, 3)) * 430 + (500, 310), 1).tolist()

    points = found["points"]["at"]
    step = max(len(points) // MAX_STILL_POINTS, 1)
    cameras = [{**camera, "at": placed(camera["at"]), "label": ""} for camera in found["cameras"]]
    taken: list[tuple[float, float, float]] = []
    for camera in sorted(cameras, key=lambda camera: camera["role"] != "test"):
        if "photo" in camera["role"]:
            continue
        camera["label"] = camera["name"] + (" (held out)" if camera["role"] == "test" else "")
        (x, y), half = camera["at"][0], 4.5 * len(camera["label"])
        free = (
            y + away
            for away in (20, -14, 38, -32, 56)
            if all(abs(y + away - b) > 17 or abs(x - a) > half + c for a, b, c in taken)
        )
        camera["label_y"] = round(next(free, y + 20), 1)
        taken.append((x, camera["label_y"], half))
    return {"points": placed(points[::step]), "cameras": cameras}


def project(points: np.ndarray, yaw: float = YAW, pitch: float = PITCH) -> np.ndarray:
    """Where ``points`` [N, 3] are seen, [N, 2]: x to the right, y down; the script in the report does the same."""
    x = points[:, 0] * np.cos(yaw) - points[:, 1] * np.sin(yaw)
    y = points[:, 0] * np.sin(yaw) + points[:, 1] * np.cos(yaw)
    depth = y * np.cos(pitch) - points[:, 2] * np.sin(pitch)
    above = y * np.sin(pitch) + points[:, 2] * np.cos(pitch)
    nearer = DISTANCE / (DISTANCE + depth)
    return np.stack([x * nearer, -above * nearer], axis=1)
