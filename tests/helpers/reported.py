"""A scene with all that the report shows, written without a pipeline, and the page as tests read it."""

from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
from PIL import Image
from torch.utils.tensorboard import SummaryWriter

from helpers.policies import check_policy
from helpers.stages import work
from mixdepth.cameras.camera import Camera, save_cameras
from mixdepth.cameras.lens import Lens, save_lenses
from mixdepth.evaluation.tasks import evaluate_variant
from mixdepth.exports.side_by_side import write_scene_video
from mixdepth.files.io import write_json
from mixdepth.record.provenance import write_provenance
from mixdepth.report.comparison import write_comparison
from mixdepth.report.page import write_report
from mixdepth.results import Results
from mixdepth.scene.scene import Scene

H, W, T = 18, 24, 4
CAMERAS = ("cam00", "cam01", "cam02")


def write_scene(tmp_path: Path) -> Scene:
    """A scene with the results of two variants, without a truth in use. Its settings hold text that looks like HTML."""
    rng = np.random.default_rng(0)
    folder = tmp_path / "results"
    poses = np.tile(np.eye(4), (3, 1, 1))
    poses[:, :3, 3] = np.eye(3)
    save_cameras(
        folder / "cameras.json", {n: Camera(W, H, 20, 20, W / 2, H / 2, p) for n, p in zip(CAMERAS, poses, strict=True)}
    )
    lens = Lens("PINHOLE", W, H, (20.0, 20.0, W / 2, H / 2))
    save_lenses(folder / "lenses.json", {"cameras": dict.fromkeys(CAMERAS, lens), "photos": {}})
    frames = rng.integers(0, 200, (T, H, W, 3)).astype(np.uint8)
    store = folder / "frames" / "cam00"
    store.mkdir(parents=True)
    np.save(store / "rgb.npy", frames)
    np.save(store / "median.npy", np.median(frames, axis=0).astype(np.uint8))
    np.save(store / "std.npy", (rng.random((H, W)) * 0.04).astype(np.float32))
    for other in CAMERAS[1:]:
        (folder / "frames" / other).mkdir()
        np.save(folder / "frames" / other / "rgb.npy", frames[::-1])
    depth = rng.uniform(2, 4, (T, H, W)).astype(np.float32)
    for variant, error in (("none", 40), ("colmap", 10)):
        renders = folder / variant / "renders" / "cam00"
        renders.mkdir(parents=True)
        np.save(renders / "rgb.npy", frames + np.uint8(error))
        np.save(renders / "depth.npy", depth * np.float32(1 + error / 100))
    moving = np.zeros((3, T, H, W), bool)
    moving[:, 2, :5] = True
    np.savez(tmp_path / "truth.npz", depth=np.stack([depth] * 3), moving=moving, c2w_opencv=poses)
    entry = {"path": "x", "width": W, "height": H, "frames": T, "fps": 30.0}
    capture = {"cameras": dict.fromkeys(CAMERAS, entry), "photos": {}, "fps": 30.0, "notes": ["cam02 is <b>odd</b>."]}
    capture["unused"] = {"x/videos/<i>.lrv": "a camera's small copy of a video"}
    write_json(folder / "capture.json", capture)
    return Scene(
        name="tiny",
        data=tmp_path,
        cameras=dict.fromkeys(CAMERAS, "x"),
        photos={},
        train_cameras=["cam01", "cam02"],
        test_cameras=["cam00"],
        train_photos=[],
        test_photos=[],
        variants=["none", "colmap"],
        video_variant="colmap",
        video_camera="cam00",
        options={
            "truth": None,
            "lpips": {"alex": None, "vgg": None},
            "frames": {"start": 0, "count": None, "step": 1},
            "poses": {"source": "llff", "path": "<script>alert(1)</script>"},
        },
    )


def with_truth(scene: Scene) -> Scene:
    return replace(scene, options={**scene.options, "truth": "truth.npz"})


def score(scene: Scene) -> Path:
    folder = scene.data / "results"
    for variant in scene.variants:
        work(evaluate_variant, "evaluate", scene, folder, variant, variant=variant)
    return folder


class Page(HTMLParser):
    """Collects what the tests ask about and checks that elements are closed in order."""

    VOID = ("meta", "img", "link", "br", "input")

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.sections: list[str] = []
        self.links: list[str] = []
        self.images: list[dict] = []
        self.tags: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list) -> None:
        values = dict(attrs)
        self.tags.append(tag)
        self.sections += [values["id"]] if "id" in values else []
        self.links += [values[key] for key in ("href", "src", "poster") if key in values]
        self.images += [values] if tag == "img" else []
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def write_everything(scene: Scene) -> Path:
    """The report of a scene with all there may be, and everything that it shows."""
    folder = score(scene)
    results = Results(folder)
    work(write_scene_video, "video", scene, folder)
    work(write_comparison, "comparison", scene, folder)
    write_provenance(scene, results, recorded=[], output=results.provenance)
    Image.new("RGB", (20, 10)).save(folder / "contact_sheet.jpg")
    (folder / "colmap_depth").mkdir(exist_ok=True)
    points = {"uv": np.ones((37, 2)), "z": np.full(37, 2.0), "sigma": np.full(37, 0.1)}
    np.savez(folder / "colmap_depth" / "cam01.npz", **points)
    for name in ("none/static", "none/dynamic", "static"):
        write_curves(folder / "runs" / name / "tensorboard")
    write_verification(folder, "trusted")
    write_report(scene, results, results.report)
    return results.report


def write_curves(folder: Path) -> None:
    """What a training of 60 steps leaves for TensorBoard."""
    with SummaryWriter(str(folder)) as writer:
        for step in range(0, 60, 20):
            writer.add_scalar("loss", 0.1 / (step + 1), step)
            writer.add_scalar("psnr_moving" if "dynamic" in str(folder) else "psnr", 20 + step / 10, step)


def read(path: Path) -> Page:
    page = Page()
    page.feed(path.read_text())
    check_policy(path.read_text())
    return page


def report(scene: Scene) -> Page:
    return read(write_everything(scene))


def scores(psnr: float, depth: float | None = None) -> dict:
    errors = None if depth is None else {"median": depth}
    settings = {"test_cameras": ["cam00"]}
    return {"psnr": psnr, "psnr_moving": None, "depth": errors, "settings": settings}


def write_verification(folder: Path, verdict: str) -> None:
    report = {
        "source": "colmap",
        "verdict": verdict,
        "score": 0.31,
        "reason": "photos/<i>x</i>.jpg contradicts its pose.",
        "images": {"photos/<i>x</i>.jpg": {"score": 0.31, "reason": "3 of its 9 image pairs agree with its pose"}},
        "checks": [
            {"name": "joint", "value": 0.1, "limit": 0.15, "passed": False, "meaning": "share that agrees"},
            {"name": "prediction", "value": None, "limit": 0.003, "passed": True, "meaning": "distance"},
        ],
        "ladder": {
            "used": "configured",
            "rungs": [
                {
                    "name": "configured",
                    "registered": 4,
                    "of": 5,
                    "points": 90,
                    "error_px": 0.5,
                    "trusted": False,
                    "reason": "r",
                }
            ],
            "left_out": ["photos/y.jpg"],
        },
    }
    write_json(folder / "cameras_report.json", report)
    write_json(folder / "world.json", {"reason": "up as configured", "scale": 1.0})
    row = {"offset_frames": None, "confidence": 0.02, "method": "none", "configured": 0.0, "agrees": None}
    sync = {
        "reference": "cam00",
        "cameras": {"cam01": row, "cam02": {**row, "offset_frames": 6.9}},
        "notes": ["Out of step: cam02"],
    }
    write_json(folder / "sync.json", sync)
