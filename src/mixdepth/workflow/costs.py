"""What a scene costs, rule by rule, from its size: memory, time and disk. Plain arithmetic, no file is read here.

The standard library only, as the doctor runs where nothing is installed.

Every figure of a rule is a sum of parts that grow with the scene (:func:`drivers`). Measured on two cores of a server
(docs/benchmarks.md has the machine) and held against the measurements by benchmarks/costs.py: demo, arc8 and
basketball (4 to 10 megapixels of video in all) and the demo enlarged to 5 x 96 frames of 1280x960 (590 megapixels);
memory and what comes before the first step of a training also with 20 x 300 frames of 1352x1014 (8,225 megapixels).
Extrapolated are times of larger scenes, COLMAP with more than 30 images, other grids than the defaults', several
segments, and all of what runs on a GPU: no GPU was at hand, so its times are those of two cores divided by
``GPU_FACTOR``, which is a guess.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from mixdepth.scene.quality import expected_moving, expected_seen, sized_dynamic, sized_static
from mixdepth.scene.scene import Scene
from mixdepth.scene.sizes import photo_scale, segment_count
from mixdepth.variants import TABLE, needs_static
from mixdepth.workflow import stages

HEADROOM = 1.5  # of the predicted memory is asked for
SNAKEMAKE_MB = 400  # the Snakemakes that are in every job of a cluster beside the rule, two or three of 130 MB
MOST_GROWTH = 4  # times as much memory as for the first try
STEP_MB = 250  # requests are rounded up to it
SLOWER = 4  # times as long as predicted may a job take before a cluster ends it: other machines, busy file systems
STEP_MINUTES = 10
GPU_FACTOR = 5  # a guess
RESUMES = stages.TRAININGS  # go on after a time limit, so that a retry needs no longer one
COMPUTE = tuple(name for name, one in stages.STAGES.items() if one.compute)  # in the settings' threads, or on the GPU
TOGETHER = 8  # segments that rendering holds in memory at once (mixdepth/rendering/tasks.py)
PATH_FRAMES = 120  # of a camera path at least; slow motion has several times as many as the capture


class Size(NamedTuple):
    """What the costs of a scene follow from; the defaults are those of the configuration."""

    cameras: int = 20  # that train or are held out
    held_out: int = 1
    frames: int = 300  # of each, that are used
    width: int = 2704  # as filmed, pixels
    height: int = 2028
    scale: float = 1.0
    photos: int = 0
    photo_width: int = 0  # as taken
    photo_height: int = 0
    photo_scale: float = 1.0
    colmap: bool = True  # whether COLMAP finds the cameras
    variants: int = 2
    static: bool = False  # whether a variant learns from the static model
    quality: str = "standard"
    static_section: Mapping[str, Any] = {}  # what the configuration says of the static model's training
    dynamic_section: Mapping[str, Any] = {}  # and of the variants'
    segments: int | None = None  # that a variant is trained in; as expected unless given

    @property
    def threads(self) -> int:
        return max(
            section.get("threads", DEFAULTS["threads"]) for section in (self.static_section, self.dynamic_section)
        )

    @property
    def cuda(self) -> bool:
        return self.dynamic_section.get("device") == "cuda"


Table = Mapping[str, Mapping[str, float]]  # by rule, how much each of the drivers adds


class Cost(NamedTuple):
    """Of one job."""

    memory_mb: float
    seconds: float
    bytes: float


# The schema's, where no configuration is read.
DEFAULTS: Mapping[str, Any] = {"rays": 768, "frames_per_step": 32, "threads": 2}
UNKNOWN = Size(scale=0.5)  # where the size of a scene is not known yet: a large capture


def size_of(scene: Scene, capture: Mapping[str, Any]) -> Size:
    """The size of a configured scene.

    Args:
        scene: the scene.
        capture: what capture.json holds.
    """
    config = scene.config
    cameras = [capture["cameras"][name] for name in scene.used_cameras]
    photos = list(capture["photos"].values())
    largest = max(cameras, key=_pixels) if cameras else {"width": 0, "height": 0}
    photo = max(photos, key=_pixels) if photos else {"width": 0, "height": 0}
    wanted = config.frames
    there = min([-(-(c["frames"] - wanted.start) // wanted.step) for c in cameras] or [0])
    return Size(
        cameras=len(cameras),
        held_out=len(scene.test_cameras),
        frames=max(0, min(there, wanted.count or there)),
        width=largest["width"],
        height=largest["height"],
        scale=config.scale,
        photos=len(photos),
        photo_width=photo["width"],
        photo_height=photo["height"],
        photo_scale=config.photo_scale or photo_scale(_side(cameras), _side(photos), config.scale),
        colmap=not scene.poses_given,
        variants=len(scene.variants),
        static=not cameras or needs_static(scene.variants),
        quality=config.quality,
        static_section=config.static.as_mapping(),
        dynamic_section=config.dynamic.as_mapping(),
    )


def _pixels(image: Mapping[str, int]) -> int:
    return image["width"] * image["height"]


def _side(images: Sequence[Mapping[str, int]]) -> int:
    return max((max(image["width"], image["height"]) for image in images), default=0)


class Sizes(NamedTuple):
    """What is trained, with what `quality` is expected to come to (mixdepth/scene/quality.py)."""

    static: Mapping[str, Any]
    own: Mapping[str, Any]  # a variant's own static branch
    dynamic: Mapping[str, Any]
    segments: int


def sizes(size: Size) -> Sizes:
    """The sizes of a scene's training, before anything is known of what its images show."""
    scaled = size.width * size.scale, size.height * size.scale
    videos = expected_seen(size.cameras, *scaled)
    photos = expected_seen(size.photos, size.photo_width * size.photo_scale, size.photo_height * size.photo_scale)
    moving = expected_moving(size.cameras, *scaled, size.frames)
    static = sized_static(size.static_section, size.quality, photos if size.photos else videos)
    dynamic = sized_dynamic(size.dynamic_section, size.quality, videos, moving)
    count = size.segments or segment_count(size.frames, dynamic["segment"])
    return Sizes({**DEFAULTS, **static}, {**DEFAULTS, **dynamic["static"]}, {**DEFAULTS, **dynamic}, count)


def _cells(static: Mapping[str, Any]) -> float:
    """Numbers in the planes of a static field, relative to 256 cells with 8 and 16 components."""
    return (static["resolution"] / 256) ** 2 * (static["density_components"] + static["colour_components"]) / 24


def drivers(size: Size) -> dict[str, float]:
    """What costs grow with, by name. Pixels are in megapixels, of videos as scaled unless they are called filmed."""
    frame = size.width * size.height * size.scale**2 / 1e6
    filmed = size.width * size.height / 1e6
    photo = size.photo_width * size.photo_height / 1e6
    images = size.cameras + size.photos
    trained = sizes(size)
    dynamic = trained.dynamic
    return {
        "job": 1,
        "frame": frame,
        "filmed": filmed,
        "cameras": size.cameras,
        "moments": size.frames,
        "video": size.frames * frame,  # of one camera
        "filmed_video": size.frames * filmed,
        "path": max(size.frames, PATH_FRAMES) * frame,
        "frames": size.cameras * frame,  # one of every camera
        "photos": size.photos * photo * size.photo_scale**2,
        "photo": photo,  # as taken
        "scored_photo": 0 if size.cameras else photo * size.photo_scale**2,  # scenes of photos hold some of them out
        "images": images,  # that COLMAP sees
        "image": max(filmed, photo),
        "image_pixels": size.cameras * filmed + size.photos * photo,
        "pairs": images * (images - 1) / 2,
        # Thousands of steps of the default size.
        "static_steps": trained.static["steps"] / 1000 * trained.static["batch_samples"] / 8192,
        "own_steps": trained.own["steps"] / 1000 * trained.own["batch_samples"] / 8192,
        # Of all cells of the planes at once, whatever the step saw.
        "static_updates": trained.static["steps"] / 1000 * _cells(trained.static),
        "own_updates": trained.own["steps"] / 1000 * _cells(trained.own),
        # Most of a step does not depend on how much it sees (1.5 to 1.7 times for six times as much).
        "steps": dynamic["steps"] / 1000 * (0.55 + 0.45 * dynamic["rays"] * dynamic["frames_per_step"] / 24576),
        # Cells of the planes, relative to the default grids.
        "static_grid": _cells(trained.static),
        "own_grid": _cells(trained.own),
        "grid": (dynamic["resolution"] / 192) ** 2,
        "grids": trained.segments * (dynamic["resolution"] / 192) ** 2,
        "rendered_grids": min(trained.segments, TOGETHER) * (dynamic["resolution"] / 192) ** 2,
        "held_out": size.held_out,
        "held_out_video": size.held_out * size.frames * frame,
        "variants_frame": size.variants * frame,
        "all_filmed": size.cameras * size.frames * filmed,
        "everything": size.cameras * size.frames * frame,  # all frame stores, which provenance reads
    }


# Rule -> driver -> MB, seconds, bytes of one job. Memory is without the frames and renders that a job maps into it: the
# system takes those back where it needs the room.
MEMORY: Table = {
    "probe": {"job": 100, "filmed": 30},
    "sync": {"job": 90, "filmed": 30},
    "reference": {"job": 95, "filmed": 55},
    "frame_store": {"job": 70, "filmed": 25, "frame": 110},
    "motion": {"job": 110, "frame": 160},
    "movement": {"job": 60, "frame": 60, "frames": 4},
    "contact_sheet": {"job": 80, "frames": 18},
    "structure_from_motion": {"job": 210, "image": 190, "images": 1.5},
    "cameras": {"job": 150},
    "triangulate": {"job": 180, "image": 210, "images": 1.5},
    "verify_held_out": {"job": 180, "image": 210, "images": 1.5},
    "held_out_points": {"job": 180, "image": 210, "images": 1.5},
    "colmap_depth": {"job": 130},
    "space": {"job": 60},
    "export": {"job": 130},
    "static_set": {"job": 90, "photo": 30, "photos": 4},
    "static_test_set": {"job": 90, "photo": 30, "photos": 4},
    "train_static": {"job": 650, "static_grid": 60, "photos": 10},
    "static_depth": {"job": 460, "frames": 150},
    "static_metrics": {"job": 320, "scored_photo": 900},
    # What is kept of every moving pixel: a quarter of all moved where this was measured.
    "train_dynamic": {"job": 840, "own_grid": 60, "grid": 60, "frames": 175},
    "train_branch": {"job": 840, "own_grid": 60, "frames": 60},
    "train_segment": {"job": 840, "own_grid": 30, "grid": 60, "frames": 175},
    # A dynamic branch at 192 cells: 14 MB of planes, 7 of its region, and what reading it takes.
    "render": {"job": 630, "frame": 15, "rendered_grids": 25},
    "evaluate": {"job": 600, "frame": 700},
    "render_path": {"job": 580, "frame": 60},
    "video": {"job": 90, "frame": 60},
    "path_video": {"job": 330, "frame": 70},
    "export_renders": {"job": 100, "frame": 70},
    "comparison": {"job": 130, "variants_frame": 60},
    "report_html": {"job": 420, "variants_frame": 60},
    "provenance": {"job": 60},
    "viewer": {"job": 110, "frame": 60},
    "demo_capture": {"job": 190},
    "ablation_report": {"job": 420},
}
SECONDS: Table = {
    "probe": {"job": 2, "filmed_video": 0.005},
    "sync": {"job": 1, "all_filmed": 0.015},
    "reference": {"job": 1, "filmed": 1, "filmed_video": 0.02},
    "frame_store": {"job": 1, "filmed_video": 0.008, "video": 0.05},
    "motion": {"job": 1, "frame": 8, "video": 0.1},
    "movement": {"job": 1, "frames": 0.1},
    "contact_sheet": {"job": 1, "frames": 0.5},
    "structure_from_motion": {"job": 3, "image_pixels": 2, "pairs": 0.08},
    "cameras": {"job": 1},
    "triangulate": {"job": 2, "image_pixels": 1.6, "pairs": 0.04},
    "verify_held_out": {"job": 2, "image_pixels": 1.6, "pairs": 0.04},
    "held_out_points": {"job": 2, "image_pixels": 1.6, "pairs": 0.04},
    "colmap_depth": {"job": 1, "image_pixels": 0.25},
    "space": {"job": 1},
    "export": {"job": 1},
    "static_set": {"job": 1, "photos": 0.3},
    "static_test_set": {"job": 1, "photos": 0.3},
    "train_static": {"job": 4, "static_steps": 18, "static_updates": 4.2},
    "static_depth": {"job": 3, "frames": 14},
    "static_metrics": {"job": 3, "frames": 0.2, "scored_photo": 60},
    "train_dynamic": {"job": 5, "own_steps": 16, "own_updates": 4.2, "steps": 90, "frames": 3},
    "train_branch": {"job": 5, "own_steps": 16, "own_updates": 4.2, "frames": 0.5},
    "train_segment": {"job": 5, "steps": 90, "frames": 3},
    # What stands still is rendered once.
    "render": {"job": 3, "frame": 12, "video": 0.7},
    "evaluate": {"job": 4, "held_out_video": 4},
    "render_path": {"job": 3, "path": 10},
    "video": {"job": 1, "video": 0.1},
    "path_video": {"job": 2, "path": 0.4},
    "export_renders": {"job": 2, "video": 0.6},
    "comparison": {"job": 2, "variants_frame": 1},
    "report_html": {"job": 3, "variants_frame": 1},
    "provenance": {"job": 1, "everything": 0.005},
    "viewer": {"job": 2, "video": 0.3},
    "demo_capture": {"job": 16},
    "ablation_report": {"job": 15},
}
BYTES: Table = {
    "probe": {"images": 300},
    "sync": {"images": 500},
    "reference": {"filmed": 4 * 1.7e6},
    "frame_store": {"video": 3e6, "frame": 7e6},
    # A quarter to a third of the pixels move at some time, and their colours lie there once more.
    "motion": {"frame": 11e6, "video": 0.9e6},
    "contact_sheet": {"cameras": 4e4},
    "structure_from_motion": {"images": 7e4},
    "cameras": {"images": 2e3},
    "triangulate": {"images": 9e4},
    "held_out_points": {"held_out": 2e4},
    "colmap_depth": {"images": 2e4},
    "export": {"images": 2e5},
    "static_set": {"photos": 3e6},
    "static_test_set": {"photos": 3e6},
    "train_static": {"static_grid": 19.3e6},
    "static_depth": {"frames": 6.5e6},
    "train_dynamic": {"own_grid": 19.3e6, "grids": 18.7e6},
    "train_branch": {"own_grid": 19.3e6},
    "train_segment": {"grid": 18.7e6},
    "render": {"video": 7e6},
    "render_path": {"path": 7e6},
    "video": {"moments": 1.4e4, "video": 1e4},
    "path_video": {"path": 2e5},
    "export_renders": {"video": 10e6},
    "comparison": {"variants_frame": 14e6},
    "report_html": {"job": 3e6},
    "viewer": {"job": 3e6},
}

# The same of train_dynamic where others train the segments of a variant, and it joins them.
JOINING: Sequence[Mapping[str, float]] = (
    {"job": 300},
    {"job": 4, "grids": 0.1},
    {"own_grid": 19.3e6, "grids": 18.7e6},
)


def cost(rule: str, size: Size) -> Cost:
    """What one job of a rule takes. Time on a GPU is a guess (``GPU_FACTOR``)."""
    values = drivers(size)
    joins = rule == "train_dynamic" and sizes(size).segments > 1
    rows = JOINING if joins else [table.get(rule, {}) for table in (MEMORY, SECONDS, BYTES)]
    memory, seconds, written = (sum(factor * values[name] for name, factor in row.items()) for row in rows)
    return Cost(memory, seconds / GPU_FACTOR if size.cuda and rule in COMPUTE else seconds, written)


def jobs(size: Size) -> dict[str, int]:
    """How many jobs of each rule lead to a scene's video, comparison and report."""
    found, several = Counter(job.stage.name for job in stages.jobs(_stand_in(size))), sizes(size).segments
    if found["train_dynamic"] and several > 1:
        found |= {"train_branch": size.variants, "train_segment": several * size.variants}
    return dict(found)


def training(size: Size) -> Cost:
    """Of one variant, in one job or in parts: the largest memory, and the seconds and bytes of all."""
    of_variants = {rule: count for rule, count in jobs(size).items() if rule in RESUMES and rule != "train_static"}
    parts = [(cost(rule, size), count // size.variants) for rule, count in of_variants.items()]
    memory = max(one.memory_mb for one, _ in parts)
    return Cost(memory, *(sum(getattr(one, key) * count for one, count in parts) for key in ("seconds", "bytes")))


def _stand_in(size: Size) -> Scene:
    """A scene of this size without any file: so many names of cameras, photos and variants. Where there are no videos
    some photos are held out."""
    cameras = [f"camera{index}" for index in range(size.cameras)]
    photos = [f"photo{index}" for index in range(size.photos)]
    variant = next(name for name, learns in TABLE.items() if learns.needs_static == size.static)
    return Scene(
        name="",
        data=Path(),
        cameras=dict.fromkeys(cameras, ""),
        photos=dict.fromkeys(photos, ""),
        train_cameras=cameras[size.held_out :],
        test_cameras=cameras[: size.held_out],
        train_photos=photos,
        test_photos=[] if cameras else photos[:1],
        variants=[variant] * size.variants,
        video_variant=variant,
        video_camera=cameras[0] if cameras else "",
        options={"poses": {"source": "colmap" if size.colmap else "model"}},
    )


def scene_cost(size: Size, cores: int) -> Cost:
    """Of a whole scene on one machine: the largest memory of jobs of one rule side by side, the time of
    all rules one after the other, all bytes that are written."""
    memory = seconds = written = 0.0
    for rule, count in jobs(size).items():
        one = cost(rule, size)
        threads = size.threads if rule in COMPUTE else 1
        together = min(count, max(1, cores // threads))
        memory = max(memory, one.memory_mb * together)
        seconds += one.seconds * -(-count // together)
        written += one.bytes * count
    return Cost(memory, seconds, written)


# What jobs ask a cluster for.


def memory_mb(rule: str, size: Size, attempt: int = 1) -> int:
    """MB for a job, with room. A retry asks for twice as much, up to four times: a training that takes many jobs must
    not ask for ever more."""
    wanted = HEADROOM * cost(rule, size).memory_mb + SNAKEMAKE_MB
    return STEP_MB * int(-(-wanted // STEP_MB)) * min(2 ** (attempt - 1), MOST_GROWTH)


def minutes(rule: str, size: Size, attempt: int = 1) -> int:
    """Minutes for a job, with room. A retry gets twice as many, but not a training: it goes on where it was."""
    wanted = SLOWER * cost(rule, size).seconds / 60
    longer = 1 if rule in RESUMES else 2 ** (attempt - 1)
    return STEP_MINUTES * max(1, int(-(-wanted // STEP_MINUTES))) * longer
