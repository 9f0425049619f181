"""Every reader of files from outside, and of the files between two stages: how to break its files, and what a right
result is."""

import functools
import json
import random
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from broken import damaged, npy, spoilt_array, spoilt_json, spoilt_npz, spoilt_safetensors, spoilt_text, spoilt_yaml
from PIL import Image

from mixdepth.cameras.camera import Camera, load_cameras, save_cameras
from mixdepth.cameras.formats.colmap_files import read_colmap, write_colmap
from mixdepth.cameras.formats.llff import read_poses_bounds, write_poses_bounds
from mixdepth.cameras.formats.transforms import write_transforms
from mixdepth.cameras.given import read_given
from mixdepth.cameras.lens import Lens, load_lenses, save_lenses
from mixdepth.cameras.space import Space
from mixdepth.evaluation.truth import load_truth
from mixdepth.fields.storage import load_model, save_model
from mixdepth.files.images import image_size, read_image
from mixdepth.files.io import read_json, read_npz
from mixdepth.files.shapes import CAPTURE
from mixdepth.frames.decode import read_frames
from mixdepth.frames.probe import probe_capture
from mixdepth.frames.store import FrameStore
from mixdepth.rendering.renders import open_renders
from mixdepth.scene.config import load_config
from mixdepth.scene.scene import Scene
from mixdepth.scene.schema import read_yaml

NAMES = ("cam00", "cam01", "cam02")
SIZE = (64, 48)  # width, height
SIZES = {"cameras": dict.fromkeys(NAMES, SIZE), "photos": {}}


@dataclass(frozen=True)
class Parser:
    """A reader.

    Attributes:
        write: puts a broken input below a folder.
        read: reads it; raises UserError, or AssertionError where a result is not one that may be used.
    """

    name: str
    write: Callable[[Path, random.Random], None]
    read: Callable[[Path], object]


# Sound files


def camera(number: int) -> Camera:
    angle = 0.2 * number
    c2w = np.eye(4)
    c2w[:3, :3] = [[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]]
    c2w[:3, 3] = [number, 0.5, 0.25 * number]
    return Camera(*SIZE, 60.0, 60.0, 32.0, 24.0, c2w)


def lens(number: int = 0) -> Lens:
    return Lens("OPENCV", *SIZE, (60.0, 61.0, 32.0, 24.0, 0.01 * number, 0.001, 0.0, 0.002))


CAMERAS = {name: camera(number) for number, name in enumerate(NAMES)}
POSED = {f"cameras/{name}.png": (lens(number), camera(number).c2w) for number, name in enumerate(NAMES)}


def written(write: Callable[[Path], object], *names: str) -> dict[str, bytes]:
    """The files that ``write`` makes in a folder, by name."""
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder))
        return {name: (Path(folder) / name).read_bytes() for name in names}


@functools.cache
def sound(kind: str) -> Any:
    """A sound file, or what it holds, made once."""
    return globals()[f"_sound_{kind}"]()


def _sound_llff() -> np.ndarray:
    import io

    data = written(
        lambda folder: write_poses_bounds(folder / "p.npy", CAMERAS, dict.fromkeys(NAMES, (1.0, 9.0))), "p.npy"
    )
    return np.load(io.BytesIO(data["p.npy"]), allow_pickle=False)


def _sound_colmap() -> dict[str, bytes]:
    names = [f"{stem}.{suffix}" for stem in ("cameras", "images", "points3D") for suffix in ("bin", "txt")]
    return written(lambda folder: write_colmap(folder, POSED), *names)


def _sound_transforms() -> dict:
    return json.loads(written(lambda folder: write_transforms(folder / "t.json", POSED), "t.json")["t.json"])


def _sound_panoptic() -> dict:
    w2c = [camera(number).w2c.tolist() for number in range(3)]
    k = [[60.0, 0, 32.0], [0, 60.0, 24.0], [0, 0, 1.0]]
    return {
        "w": 64,
        "h": 48,
        "k": [[k] * 3] * 2,
        "w2c": [w2c] * 2,
        "cam_id": [[0, 1, 2]] * 2,
        "fn": [["a.jpg"] * 3] * 2,
    }


def _sound_toml() -> str:
    table = """[{name}]
name = "{name}"
size = [64.0, 48.0]
matrix = [[60.0, 0.0, 31.5], [0.0, 60.0, 23.5], [0.0, 0.0, 1.0]]
distortions = [0.01, 0.0, 0.0, 0.0]
rotation = [0.1, 0.2, 0.3]
translation = [1.0, 2.0, 3.0]
fisheye = false
"""
    return "\n".join(table.format(name=name) for name in NAMES)


def _sound_metashape() -> str:
    cameras = "".join(
        f'<camera label="{name}" sensor_id="0"><transform>1 0 0 {n} 0 1 0 0 0 0 1 0 0 0 0 1</transform></camera>'
        for n, name in enumerate(NAMES)
    )
    terms = "<f>60</f><cx>1</cx><b1>2</b1><k1>0.01</k1><k4>0.001</k4><p1>0.002</p1>"
    sensor = f'<sensor id="0"><calibration><resolution width="64" height="48"/>{terms}</calibration></sensor>'
    return f"<document><chunk><sensors>{sensor}</sensors><cameras>{cameras}</cameras></chunk></document>"


def _sound_realitycapture() -> str:
    rows = [f"{name}.jpg,1,2,3,10,80,{n},28,0.01,0.02,-0.1,0.05,0,0.001,0.001,0" for n, name in enumerate(NAMES)]
    return "\n".join(["#name,x,y,alt,heading,pitch,roll,f,px,py,k1,k2,k3,k4,t1,t2", *rows, ""])


def _sound_easymocap() -> dict[str, str]:
    def matrix(key: str, rows: int, data: list[float]) -> str:
        return f"{key}: !!opencv-matrix\n  rows: {rows}\n  cols: {len(data) // rows}\n  dt: d\n  data: {data}\n"

    head = "%YAML:1.0\n---\nnames:\n" + "".join(f'  - "{name}"\n' for name in NAMES)
    inside = [matrix(f"K_{name}", 3, [60.0, 0, 31.5, 0, 60.0, 23.5, 0, 0, 1]) for name in NAMES]
    inside += [matrix(f"dist_{name}", 1, [0.01, 0, 0, 0, 0]) for name in NAMES]
    outside = [matrix(f"R_{name}", 3, [0.1, 0.2, 0.3]) + matrix(f"T_{name}", 3, [1.0, 2, 3]) for name in NAMES]
    return {"intri.yml": head + "".join(inside), "extri.yml": head + "".join(outside)}


def _sound_pinf() -> dict[str, np.ndarray]:
    numbers = {"focal": 50.0, "aperture": 40.0, "width": SIZE[0], "height": SIZE[1], "near": 1.0, "far": 9.0}
    return {"cam_transform": np.diag([1.0, -1, -1, 1]), **{key: np.array([value]) for key, value in numbers.items()}}


def _sound_config() -> dict:
    return {
        "scenes": {
            "x": {
                "data": "data",
                "cameras": {name: f"videos/{name}.mp4" for name in NAMES},
                "photo_files": ["photo01.jpg"],
                "test_cameras": ["cam00"],
                "frames": {"start": 0, "count": 4, "step": 1, "offsets": {"cam01": 2, "cam02": "0.25 s"}},
                "poses": {"source": "llff"},
                "static": {"steps": 10},
                "variant_options": {"colmap": {"steps": 5}},
                "preset": "tiny",
                "quality": "high",
                "scale": 0.5,
            }
        }
    }


def _sound_video() -> list[bytes]:
    import av

    videos = []
    for suffix, codec in (("mp4", "libx264"), ("mkv", "libx264"), ("mp4", "mpeg4")):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / f"v.{suffix}"
            with av.open(str(path), "w") as container:
                stream = container.add_stream(codec, rate=30)
                stream.width, stream.height, stream.pix_fmt = *SIZE, "yuv420p"
                for number in range(6):
                    pixels = np.random.default_rng(number).integers(0, 255, (*SIZE[::-1], 3), np.uint8)
                    container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
                container.mux(stream.encode())
            videos.append(path.read_bytes())
    return videos


def _sound_image() -> list[bytes]:
    import io

    pixels = np.random.default_rng(0).integers(0, 255, (*SIZE[::-1], 3), np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6
    images = []
    for kind, options in (
        ("PNG", {}),
        ("JPEG", {"exif": exif}),
        ("PNG", {"exif": exif}),
        ("JPEG", {"progressive": True}),
    ):
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, kind, **options)
        images.append(buffer.getvalue())
    for mode in ("L", "P", "LA", "1", "I;16"):
        buffer = io.BytesIO()
        grey = Image.fromarray(pixels[..., 0])
        (Image.fromarray(pixels[..., 0].astype(np.uint16)) if mode == "I;16" else grey.convert(mode)).save(
            buffer, "PNG"
        )
        images.append(buffer.getvalue())
    return images


def _sound_other_images() -> list[bytes]:
    import io

    images = []
    for kind in ("EPS", "EPS", "GIF", "TIFF", "BMP", "WEBP", "PPM", "TGA", "ICO"):
        buffer = io.BytesIO()
        Image.fromarray(np.random.default_rng(0).integers(0, 255, (*SIZE[::-1], 3), np.uint8)).save(buffer, kind)
        images.append(buffer.getvalue())
    return images


def _sound_truth() -> dict[str, np.ndarray]:
    depth = np.full((3, 4, 6, 8), 2.0, np.float32)
    return {"depth": depth, "moving": depth > 1, "c2w_opencv": np.stack([c.c2w for c in CAMERAS.values()])}


def _sound_sparse() -> dict[str, np.ndarray]:
    return {"uv": np.full((5, 2), 3.0), "z": np.full(5, 2.0), "sigma": np.full(5, 0.1)}


def _sound_model() -> bytes:
    import torch

    from mixdepth.fields.dynamic import DynamicField
    from mixdepth.fields.region import Region
    from mixdepth.fields.static import StaticField

    region = Region(torch.ones(4, 4, 4, dtype=torch.bool), -torch.ones(3), torch.ones(3), 5)
    modules = {"static": StaticField(6, 2, 2, 4, 3), "dynamic": DynamicField(region, 4, 2, 3, 4)}
    return written(lambda folder: save_model(folder / "m", {"samples": 8, "segments": [[0, 5]]}, **modules), "m")["m"]


def _sound_capture() -> dict:
    facts = {"path": "a.mp4", "width": 64, "height": 48, "frames": 6, "fps": 30.0, "variable": False, "seconds": 0.2}
    photo = {"path": "p.jpg", "width": 64, "height": 48}
    return {"cameras": dict.fromkeys(NAMES, facts), "photos": {"p": photo}, "fps": 30.0, "notes": []}


def _sound_cameras() -> dict:
    return json.loads(written(lambda folder: save_cameras(folder / "c.json", CAMERAS), "c.json")["c.json"])


def _sound_lenses() -> dict:
    lenses = {"cameras": dict.fromkeys(NAMES, lens()), "photos": {}}
    return json.loads(written(lambda folder: save_lenses(folder / "l.json", lenses), "l.json")["l.json"])


def _sound_space() -> dict:
    return {
        "kind": "bounded",
        "reason": "",
        "near": 0.5,
        "far": 9.0,
        "frame": np.eye(4).tolist(),
        "low": [-1.0] * 3,
        "high": [1.0] * 3,
        "reference_near": 0.5,
        "reference_far": 9.0,
    }


# Broken ones


def bytes_of(kind: str, name: str) -> Callable[[Path, random.Random], None]:
    """One of several sound files, damaged."""

    def write(folder: Path, rng: random.Random) -> None:
        (folder / name).write_bytes(damaged(rng.choice(sound(kind)), rng))

    return write


def write_other_image(folder: Path, rng: random.Random) -> None:
    """What is no JPEG and no PNG under such a name, damaged or not: PostScript, for which Pillow starts a program, and
    other kinds that it reads."""
    data = rng.choice(sound("other_images"))
    (folder / "image.png").write_bytes(damaged(data, rng) if rng.random() < 0.5 else data)


def one(name: str, spoil: Callable[[Any, random.Random], bytes], kind: str) -> Callable[[Path, random.Random], None]:
    """One file ``name``, which ``spoil`` makes of the sound ``kind``."""

    def write(folder: Path, rng: random.Random) -> None:
        (folder / name).write_bytes(spoil(sound(kind), rng))

    return write


def write_colmap_files(suffix: str) -> Callable[[Path, random.Random], None]:
    def write(folder: Path, rng: random.Random) -> None:
        spoilt = rng.choice((["cameras"], ["images"], ["cameras", "images"]))
        for stem in ("cameras", "images"):
            data = sound("colmap")[f"{stem}.{suffix}"]
            if stem in spoilt:
                data = damaged(data, rng) if suffix == "bin" else spoilt_text(data.decode(), rng)
            (folder / f"{stem}.{suffix}").write_bytes(data)

    return write


def write_panoptic(folder: Path, rng: random.Random) -> None:
    spoilt = rng.choice(("train", "test"))
    for part in ("train", "test"):
        meta = sound("panoptic")
        (folder / f"{part}_meta.json").write_bytes(
            spoilt_json(meta, rng) if part == spoilt else json.dumps(meta).encode()
        )


def write_arrays(**kinds: np.ndarray) -> Callable[[Path, random.Random], None]:
    def write(folder: Path, rng: random.Random) -> None:
        spoilt = rng.choice(sorted(kinds))
        for name, array in kinds.items():
            (folder / f"{name}.npy").write_bytes(spoilt_array(array, rng) if name == spoilt else npy(array))

    return write


def write_easymocap(folder: Path, rng: random.Random) -> None:
    files = sound("easymocap")
    spoilt = rng.choice(sorted(files))
    for name, text in files.items():
        (folder / name).write_bytes(spoilt_text(text, rng) if name == spoilt else text.encode())


def write_pinf(folder: Path, rng: random.Random) -> None:
    for name in NAMES:
        np.savez(folder / f"{name}.npz", **sound("pinf"))
    (folder / f"{rng.choice(NAMES)}.npz").write_bytes(spoilt_npz(sound("pinf"), rng))


def write_video(folder: Path, rng: random.Random) -> None:
    bytes_of("video", "cam00.mp4")(folder, rng)
    (folder / "cam01.mp4").write_bytes(sound("video")[0])


# Reading


def read_poses(source: str, name: str) -> Callable[[Path], None]:
    def read(folder: Path) -> None:
        given = read_given(source, folder / name, SIZES, {name: f"{name}.mp4" for name in NAMES}, {})
        for camera_name in NAMES:
            c2w = given.c2w["cameras"][camera_name]
            assert np.isfinite(c2w).all()
            assert np.abs(c2w[:3, :3].T @ c2w[:3, :3] - np.eye(3)).max() < 1e-2
            assert np.isfinite(given.lenses["cameras"][camera_name].params).all()

    return read


def read_llff(folder: Path) -> None:
    for posed in read_poses_bounds(folder / "poses_bounds.npy", NAMES).values():
        assert 0 < posed.bounds[0] < posed.bounds[1]
    read_poses("llff", "poses_bounds.npy")(folder)


def read_model(folder: Path) -> None:
    for name, posed in read_colmap(folder):
        assert name is not None
        assert np.isfinite(posed.c2w).all()
    read_poses("model", "")(folder)


def read_config(folder: Path) -> None:
    for name, scene in load_config(read_yaml(folder / "config.yaml")).items():
        results = (folder / "results").resolve()
        for file in [*(f"{name}/frames/{one}" for one in scene.cameras), *(f"{name}/export/{s}" for s in scene.photos)]:
            assert (results / file).resolve().is_relative_to(results / name), "a file outside the results folder"


def read_video(folder: Path) -> None:
    paths = {name: folder / f"{name}.mp4" for name in NAMES[:2]}
    selection = {"start": 0, "count": 4, "step": 1, "fps": None, "offsets": {}}
    probe_capture(paths, {}, selection)
    assert len(list(read_frames(paths["cam00"], range(4), SIZE))) == 4


def read_picture(folder: Path) -> None:
    width, height = image_size(folder / "image.png", whole=True)
    assert read_image(folder / "image.png").shape == (height, width, 3)


def read_truth(folder: Path) -> None:
    cameras = dict.fromkeys(NAMES, "")
    scene = Scene("x", folder, cameras, {}, [], [], [], [], [], "", "", {"truth": "truth.npz"})
    truth = load_truth(scene, ["cam00", "cam01"], video=True)
    for depth, moving in truth.frames("cam01", range(4), (6, 8)):
        assert depth.shape == moving.shape == (6, 8)
        assert depth.dtype.kind == "f"


def read_sparse(folder: Path) -> None:
    from mixdepth.train.tasks import camera_sparse

    assert camera_sparse(folder, ["sparse"]).z.dtype.is_floating_point


def read_fields(folder: Path) -> None:
    header, static, _ = load_model(folder / "model.safetensors")
    assert isinstance(header, dict)
    assert static is not None


def read_store(folder: Path) -> None:
    store = FrameStore.open(folder)
    assert store.rgb.dtype == np.uint8
    assert store.rgb.shape[1:3] == store.std.shape


def read_renders(folder: Path) -> None:
    rgb, depth = open_renders(folder)
    assert rgb.shape[:3] == depth.shape


def read_set(folder: Path) -> None:
    read_npz(folder / "set.npz")


def read_intermediate_capture(folder: Path) -> None:
    read_json(folder / "capture.json", CAPTURE)


def read_intermediate_cameras(folder: Path) -> None:
    for found in load_cameras(folder / "cameras.json").values():
        assert np.isfinite([found.fx, found.fy, found.cx, found.cy, *found.c2w.ravel()]).all()
        assert min(found.width, found.height, found.fx, found.fy) > 0


def read_intermediate_lenses(folder: Path) -> None:
    for group in ("cameras", "photos"):
        for found in load_lenses(folder / "lenses.json")[group].values():
            assert np.isfinite(found.params).all()


def read_intermediate_space(folder: Path) -> None:
    from mixdepth.rendering.rays import SpaceMap

    SpaceMap(Space.load(folder / "space.json"))


STORE = {
    "rgb": np.full((3, 4, 5, 3), 7, np.uint8),
    "median": np.full((4, 5, 3), 7, np.uint8),
    "std": np.full((4, 5), 0.1, np.float32),
}
RENDERS = {"rgb": np.full((3, 4, 5, 3), 7, np.uint8), "depth": np.full((3, 4, 5), 2.0, np.float32)}

PARSERS = (
    Parser("LLFF poses_bounds.npy", one("poses_bounds.npy", spoilt_array, "llff"), read_llff),
    Parser("COLMAP binary", write_colmap_files("bin"), read_model),
    Parser("COLMAP text", write_colmap_files("txt"), read_model),
    Parser(
        "transforms.json",
        one("transforms.json", spoilt_json, "transforms"),
        read_poses("transforms", "transforms.json"),
    ),
    Parser("PanopticSports meta", write_panoptic, read_poses("panoptic", "")),
    Parser("TOML calibration", one("calibration.toml", spoilt_text, "toml"), read_poses("toml", "calibration.toml")),
    Parser("Metashape XML", one("cameras.xml", spoilt_text, "metashape"), read_poses("metashape", "cameras.xml")),
    Parser("RealityCapture CSV", one("c.csv", spoilt_text, "realitycapture"), read_poses("realitycapture", "c.csv")),
    Parser("EasyMocap and OpenCV YAML", write_easymocap, read_poses("easymocap", "")),
    Parser("PINF camera npz", write_pinf, read_poses("pinf", "")),
    Parser("configuration YAML", one("config.yaml", spoilt_yaml, "config"), read_config),
    Parser("video (mp4, mkv)", write_video, read_video),
    Parser("image (PNG, JPEG)", bytes_of("image", "image.png"), read_picture),
    Parser("image of another kind (EPS, ...)", write_other_image, read_picture),
    Parser("truth.npz", one("truth.npz", spoilt_npz, "truth"), read_truth),
    Parser("sparse depth npz", one("sparse.npz", spoilt_npz, "sparse"), read_sparse),
    Parser("image set npz", one("set.npz", spoilt_npz, "truth"), read_set),
    Parser("model safetensors", one("model.safetensors", spoilt_safetensors, "model"), read_fields),
    Parser("frame store npy", write_arrays(**STORE), read_store),
    Parser("renders npy", write_arrays(**RENDERS), read_renders),
    Parser("capture.json", one("capture.json", spoilt_json, "capture"), read_intermediate_capture),
    Parser("cameras.json", one("cameras.json", spoilt_json, "cameras"), read_intermediate_cameras),
    Parser("lenses.json", one("lenses.json", spoilt_json, "lenses"), read_intermediate_lenses),
    Parser("space.json", one("space.json", spoilt_json, "space"), read_intermediate_space),
)
