"""The plan of the results: the name of every file below ``results/<scene>/``. What is in each is told by
docs/architecture.md.

``Results("results/kitchen")`` names one scene's files; ``Results("results/{scene}")`` gives Snakemake its patterns, for
which a camera or a variant may be a wildcard as well ("{camera}"). Standard library only.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

# COLMAP's own names of the files of a model, since 3.12.
MODEL_FILES = ("cameras.bin", "frames.bin", "images.bin", "points3D.bin", "rigs.bin")
STATIC = "static"  # the static model's folder, beside those of the variants
ABLATION = "ablation"  # below results/: the report of the ablation, and the scenes that it derives


class File:
    """The name of a file or folder as an attribute of its owner: a Path below one of the owner's folders."""

    def __init__(self, *names: str, below: str = "folder"):
        self.names, self.below = names, below

    def __get__(self, owner: object, _: type | None = None) -> Path:
        return getattr(owner, self.below).joinpath(*self.names)


@dataclass(frozen=True)
class Folder:
    """A folder whose files have names."""

    folder: Path


class Store(Folder):
    """The frames of one camera."""

    rgb = File("rgb.npy")
    median = File("median.npy")
    std = File("std.npy")
    # Of a camera that trains: what moves, what stands behind it, the exposure; the colours of what moves, by pixel.
    motion, moving = File("motion.npz"), File("moving.npy")

    @property
    def files(self) -> list[Path]:
        return [self.rgb, self.median, self.std]


class Reference(Folder):
    """The images of one video camera for COLMAP."""

    plate = File("plate.png")  # what stands still
    moving = File("moving.png")  # the mask of what moves
    unsure = File("unsure.png")  # the mask of what the plate shows for less than half of the time

    def frame(self, index: int) -> Path:
        return self.folder / f"frame_{index:04d}.png"

    def moment(self, index: int) -> Path:
        return self.folder / f"moment_{index:04d}.png"

    @property
    def frames(self) -> list[Path]:
        """The frames that COLMAP may choose from, sorted."""
        return sorted(self.folder.glob("frame_*.png"))

    @property
    def moments(self) -> dict[int, Path]:
        """All frames that are there by their number, ascending: those to choose from, and more for points."""
        found = [*self.frames, *self.folder.glob("moment_*.png")]
        return dict(sorted((int(path.stem.rpartition("_")[2]), path) for path in found))

    def moving_at(self, index: int) -> Path:
        """The mask of what moves at one of the moments."""
        return self.folder / f"moving_{index:04d}.png"


class Renders(Folder):
    """What a variant shows from one camera, or along a camera path."""

    rgb = File("rgb.npy")
    depth = File("depth.npy")
    cameras = File("cameras.json")  # of a path: the camera of every frame
    path = File("path.json")  # of a path: its frame rate and settings


class Export(Folder):
    """The cameras of the original images, as other programs read them."""

    poses_bounds = File("poses_bounds.npy")
    transforms = File("transforms.json")

    @property
    def colmap(self) -> list[Path]:
        stems, forms = ("cameras", "images", "points3D"), ("bin", "txt")
        return [self.folder / "colmap" / f"{stem}.{form}" for stem in stems for form in forms]


class Results:
    """The files of one scene, or patterns of them.

    A scene that an ablation derives has none of its own of what it shares with others.

    Args:
        folder: ``results/<scene>``; may hold wildcards.
        capture: folder of what depends on the capture alone; ``folder`` unless given.
        rig: folder of what depends on the training cameras as well; ``folder`` unless given.
        still: folder of what the static model learns from; ``rig`` unless given.
    """

    def __init__(
        self,
        folder: Path | str,
        capture: Path | str | None = None,
        rig: Path | str | None = None,
        still: Path | str | None = None,
    ):
        self.folder = Path(folder)
        self._capture = Path(capture or folder)
        self._rig = Path(rig or folder)
        self._still = Path(still or self._rig)

    def __repr__(self) -> str:
        return f"Results({str(self.folder)!r})"

    @property
    def folders(self) -> list[str]:
        """The arguments that make the same again."""
        return [str(folder) for folder in (self.folder, self._capture, self._rig, self._still)]

    # What the capture is.
    capture = File("capture.json", below="_capture")
    sync = File("sync.json", below="_capture")
    scene = File("scene.json")  # as the command line's `prepare` leaves it

    def reference(self, camera: str) -> Reference:
        return Reference(self._capture / "reference" / camera)

    def store(self, camera: str) -> Store:
        return Store(self._capture / "frames" / camera)

    # Where the cameras stand.
    sfm = File("sfm", below="_capture")  # folder of the model that COLMAP found
    sfm_report = File("sfm", "report.json", below="_capture")
    cameras = File("cameras.json", below="_capture")
    photos = File("photos.json", below="_capture")
    lenses = File("lenses.json", below="_capture")
    world = File("world.json", below="_capture")
    held_out_report = File("held_out_report.json", below="_capture")
    sparse = File("sparse", below="_rig")  # folder of the points that are triangulated with the cameras fixed
    sparse_plates = File("sparse_plates", below="_rig")  # the same of what stands still: plates in place of a moment
    cameras_report = File("cameras_report.json", below="_rig")
    bounds = File("bounds.json", below="_rig")
    poses_bounds = File("poses_bounds.npy", below="_rig")
    space = File("space.json", below="_rig")
    movement = File("movement.json", below="_rig")  # how much moves before the training cameras

    @property
    def sfm_model(self) -> list[Path]:
        return [self.sfm / name for name in MODEL_FILES]

    @property
    def sparse_model(self) -> list[Path]:
        return [self.sparse / name for name in MODEL_FILES]

    @property
    def plates_model(self) -> list[Path]:
        return [self.sparse_plates / name for name in MODEL_FILES]

    @property
    def export(self) -> Export:
        return Export(self.folder / "export")

    # Depth, each a folder with a file per camera (see `depth_file`): sparse, of all that trains, the photos in one (see
    # `photo_depth_file`); the static model's, of the training cameras; where the held-out cameras see COLMAP's points,
    # for scoring only.
    colmap_depth = File("colmap_depth", below="_rig")
    static_depth = File(STATIC, "depth")
    held_out_depth = File("held_out_depth", below="_capture")

    # Models, and what they show; the name is that of a variant, or STATIC.
    static_set = File(STATIC, "set.npz", below="_still")
    static_test_set = File(STATIC, "test_set.npz", below="_capture")

    def model(self, name: str) -> Path:
        return self.folder / name / "model.safetensors"

    def branch(self, variant: str) -> Path:
        """The static branch of a variant that is trained in segments."""
        return self.folder / variant / "segments" / "static.safetensors"

    def segment(self, variant: str, segment: int | str) -> Path:
        """The dynamic branch of one of them."""
        return self.folder / variant / "segments" / f"{segment}.safetensors"

    def metrics(self, name: str) -> Path:
        return self.folder / name / "metrics.json"

    def renders(self, variant: str, camera: str) -> Renders:
        return Renders(self.folder / variant / "renders" / camera)

    def path(self, variant: str, name: str) -> Renders:
        """Renders along a camera path."""
        return Renders(self.folder / variant / "paths" / name)

    def path_video(self, variant: str, name: str) -> Path:
        return self.folder / variant / "paths" / f"{name}.mp4"

    def exported(self, variant: str, source: str, name: str, kind: str) -> Path:
        """Folder of renders as other programs read them; ``source`` is "renders" or "paths"."""
        return self.folder / variant / "exports" / source / name / kind

    # What people look at.
    video = File("video.mp4")
    comparison = File("comparison.png")
    contact_sheet = File("contact_sheet.jpg")
    report = File("report.html")
    viewer = File("viewer.html")
    provenance = File("provenance.json")

    # Beside the results.

    def recorded(self, name: str) -> Path:
        """A camera path that was recorded in the live view."""
        return self.folder / "recorded" / f"{name}.json"

    def run(self, name: str) -> Path:
        """Folder of a training that goes on: checkpoints, and TensorBoard's files."""
        return self.folder / "runs" / name

    def log(self, *name: str) -> Path:
        return self.folder / "logs" / f"{'.'.join(name)}.log"

    def benchmark(self, *name: str) -> Path:
        return self.folder / "benchmarks" / f"{'.'.join(name)}.tsv"


class AblationResults(Folder):
    """The files of the report that compares the runs of an ablation, in ``results/ablation``."""

    report = File("report.html")
    latex = File("summary.tex")

    def table(self, name: str) -> Path:
        """scores, summary, differences or times."""
        return self.folder / f"{name}.csv"

    def figures(self, names: Iterable[str], form: str) -> list[Path]:
        """Files of figures, as "svg" or "pdf"."""
        return [self.folder / "figures" / f"{name}.{form}" for name in names]


def depth_file(folder: Path, name: str) -> Path:
    """The file of one camera in a folder of depth."""
    return folder / f"{name}.npz"


def photo_depth_file(folder: Path) -> Path:
    """The file of all photos in the folder of the sparse depth: in one of its own, which no camera's file can be."""
    return folder / "photos" / "points.npz"
