"""The settings of a scene with their types; their defaults and what they mean in full are in the schema.

Written by workflow/schemas/settings.py from config.schema.yaml beside it: change that, and run it.
"""

from dataclasses import dataclass
from typing import Literal

from mixdepth.scene.section import Section


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Frames(Section):
    """Which frames of the videos are used."""

    start: int
    """First frame, from 0."""
    count: int | None
    """Number of frames after `step`; null takes all."""
    step: int
    """Every how many frames one is taken."""
    fps: float | None
    offsets: dict[str, float | str]


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Poses(Section):
    """Where the cameras come from."""

    source: Literal[
        "colmap",
        "llff",
        "model",
        "transforms",
        "panoptic",
        "toml",
        "metashape",
        "realitycapture",
        "opencv",
        "easymocap",
        "pinf",
    ]
    path: str | None
    intrinsics: str | None
    allow_missing: bool
    trust: bool
    """Go on although the verification of the cameras flags them (results/<scene>/cameras_report.json)."""


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Baseline(Section):
    cameras: list[str]
    """Two cameras."""
    distance: float
    """Their distance, in the unit wanted; it becomes that of world units."""


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class World(Section):
    """The world's axes and unit."""

    up: Literal["cameras", "keep"] | list[float] | None
    baseline: Baseline | None


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Colmap(Section):
    """COLMAP's settings, for poses and for the sparse depth."""

    camera_model: Literal["SIMPLE_PINHOLE", "PINHOLE", "SIMPLE_RADIAL", "RADIAL", "OPENCV", "OPENCV_FISHEYE"]
    """Lens model where COLMAP finds the cameras."""
    share_intrinsics: Literal["size", "exif", "none"]
    reference_frames: int | list[int]
    ladder: bool
    max_features: int
    """Most SIFT features per image."""
    peak_threshold: float
    """SIFT's peak threshold; lower finds more features on plain surfaces."""
    upscale_to: int
    """Images narrower than this are enlarged for feature detection, pixels."""
    max_reprojection_error: float
    """Points above it are dropped from the depth, pixels."""
    min_angle: float
    """Points whose rays meet at less than this are dropped, degrees."""
    seed: int
    """Seed of COLMAP's random draws."""


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Lpips(Section):
    alex: str | None
    """Weights of AlexNet."""
    vgg: str | None
    """Weights of VGG-16."""


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class WantedAblation(Section):
    cameras: list[int | list[str]] | None
    variants: list[Literal["none", "colmap", "distilled", "inherited"]] | None
    """Which of the scene's variants. Null is all of them."""
    seeds: list[int]
    """Each in place of `static.seed` and `dynamic.seed`; the spread over them says what is chance."""


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class CameraPath(Section):
    kind: Literal["spiral", "move", "camera", "file"]
    cameras: list[str] | None
    file: str | None
    """kind file: the camera_path.json below `data`."""
    time: Literal["play", "loop", "pingpong", "freeze"]
    at: float | None
    speed: float
    """Factor on the speed of time; below 1 is slow motion, with mixtures of neighbouring frames in between."""
    seconds: float | None
    frames: int | None
    """The same in frames; counts before `seconds`."""
    fps: float | None
    """Frame rate, frames per second. Null: the file's, else that of the videos."""
    width: int | None
    """Width, pixels. Null follows from `height`, or is that of the first camera."""
    height: int | None
    """Height, pixels. Null follows from `width`, or is that of the first camera."""


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Exports(Section):
    """What exports of renders hold (results/<scene>/<variant>/exports/)."""

    points: int | None
    """Most points of a frame's point cloud (PLY); pixels are left out evenly. Null: one per pixel."""


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Static(Section):
    """Training of the static model (photos, or the videos' plates where there are none)."""

    steps: int
    """Optimiser steps."""
    resolution: int
    """Cells of the VM grids along every axis, at the end."""
    start_resolution: int
    """The same at the start (coarse to fine)."""
    density_components: int
    """VM components of the density, per orientation."""
    colour_components: int
    """VM components of the appearance, per orientation."""
    width: int
    """Width of the colour network."""
    view_dependence: bool
    """Whether colour depends on the direction of view."""
    tone: bool
    """Whether every image gets its own affine colour (exposure, white balance)."""
    samples: int
    """Samples per ray, at the end."""
    start_samples: int
    """The same at the start."""
    batch_samples: int
    grid_rate: float
    """Learning rate of the grids; falls tenfold."""
    network_rate: float
    """Learning rate of everything else; falls tenfold."""
    total_variation: float
    """Weight of the grids' total variation."""
    depth_loss: Literal["mse", "kl", "urf", "ranking"]
    """Depth loss (mixdepth/train/losses.py)."""
    depth_weight: float
    """Weight of the depth loss, where there is depth; 0 switches it off."""
    depth_sigma: float
    """Standard deviation of distilled depth as a share of the depth (COLMAP's has its own)."""
    guided_samples: int
    """Samples per ray around its depth, where there is depth, beside those of full coverage."""
    threads: int
    """CPU threads. Configuration, not what is free: sums differ with it in the last bits."""
    seed: int
    """Seed of every random draw."""
    device: Literal["cpu", "cuda", "auto"]
    amp: bool


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class DynamicOptions(Section):
    """What the trainer takes of Dynamic."""

    steps: int
    """Optimiser steps of the dynamic branch."""
    resolution: int
    """Cells of the dynamic VM grids along every axis, at the end."""
    start_resolution: int
    """The same at the start."""
    components: int
    """VM components of the dynamic density, and as many of its appearance."""
    codes: int
    """Length of the temporal codes."""
    width: int
    """Width of the colour network."""
    samples: int
    """Samples per ray, at the end."""
    start_samples: int
    """The same at the start."""
    rays: int
    """Rays that move, per step."""
    frames_per_step: int
    """Neighbouring frames that a ray is rendered at."""
    windows: int
    grid_rate: float
    """Learning rate of the grids; falls tenfold."""
    network_rate: float
    """Learning rate of everything else; falls tenfold."""
    total_variation: float
    """Weight of the grids' total variation."""
    hull_vote: float
    """Share of the cameras seeing a point that must see it move, for the motion hull."""
    sparsity: float
    """Weight of the penalty on what the dynamic branch renders."""
    surface_weight: float
    threads: int
    """CPU threads (see static)."""
    seed: int
    """Seed of every random draw."""
    device: Literal["cpu", "cuda", "auto"]
    """Where it is trained and rendered (see static)."""
    amp: bool
    """Mixed precision on a GPU (see static)."""


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Dynamic(DynamicOptions):
    """Training of the variants."""

    static: Static
    segment: int | None
    inherited_steps: int
    """Steps for which the inherited static branch learns on from the videos' plates and its own depth; 0 freezes it."""
    inherited_rate: float
    """Learning rates of these steps, relative to those of `static`."""


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Settings(Section):
    """The settings of one scene."""

    data: str
    """Folder of the capture, relative to where snakemake runs (or absolute)."""
    videos: str
    """Folder below `data` with one video file or one folder of frames per camera."""
    photos: str
    """Folder below `data` with still photos of the same place; none where it does not exist."""
    cameras: list[str] | dict[str, str] | None
    photo_files: list[str] | None
    """Names of the photos to use (with suffix). Null takes every image in `photos`."""
    exclude_photos: list[str]
    """Photos that nothing may read, by stem or name, e.g. those taken from a held-out camera's position."""
    test_cameras: list[str] | None
    """Held-out video cameras. Null holds out the first one (by name)."""
    train_cameras: list[str] | None
    """Video cameras that train. Null takes all that are not held out. Others are left alone."""
    test_photos_every: int | None
    frames: Frames
    """Which frames of the videos are used."""
    scale: float
    """Factor from the videos' size to the size that trains and is rendered."""
    photo_scale: float | None
    poses: Poses
    """Where the cameras come from."""
    world: World
    """The world's axes and unit."""
    colmap: Colmap
    """COLMAP's settings, for poses and for the sparse depth."""
    space: Literal["auto", "forward", "bounded", "unbounded"]
    """The space the model lives in; auto chooses from the cameras."""
    near: float | None
    """Nearest depth, world units; null takes it from the points."""
    far: float | None
    """Farthest depth, world units; null takes it from the points."""
    truth: str | None
    lpips: Lpips
    variants: list[Literal["none", "colmap", "distilled", "inherited"]] | None
    """What is trained and compared. Null is all four where there are photos, else none and colmap."""
    viewer_cameras: list[str] | None
    video_variant: Literal["none", "colmap", "distilled", "inherited"] | None
    video_camera: str | None
    """The camera that video.mp4 shows. Null is the first held-out one."""
    ablation: WantedAblation | None
    paths: dict[str, CameraPath]
    exports: Exports
    """What exports of renders hold (results/<scene>/<variant>/exports/)."""
    quality: Literal["draft", "standard", "high"]
    preset: str | None
    static: Static
    """Training of the static model (photos, or the videos' plates where there are none)."""
    dynamic: Dynamic
    """Training of the variants."""
    variant_options: dict[str, Dynamic]
    """Settings of `dynamic` that differ for one variant, e.g. {none: {steps: 900}}."""
