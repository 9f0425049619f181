"""The estimate of how far cameras are out of step: what it finds, and that it keeps quiet where it cannot know."""

import runpy
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import av
import imageio_ffmpeg
import numpy as np
import pytest
from PIL import Image

from helpers.checkout import REPOSITORY
from helpers.stages import work
from mixdepth.cameras.camera import Camera, save_cameras
from mixdepth.cameras.formats.panoptic import read_panoptic
from mixdepth.cameras.lens import Lens, save_lenses
from mixdepth.errors import UserError
from mixdepth.files.io import read_json
from mixdepth.frames import tasks
from mixdepth.frames.decode import read_frames
from mixdepth.frames.encode import write_video
from mixdepth.frames.sync import signals
from mixdepth.frames.sync.sync import TRUSTED, estimate_offsets, write_sync
from mixdepth.results import Results
from mixdepth.scene.scene import Scene
from mixdepth.workflow.stages import Job

BENCHMARK = runpy.run_path(str(REPOSITORY / "benchmarks" / "sync.py"))
SHIFTS = {"cam00": -7.0, "cam02": 0.0, "cam04": 12.0}
RATE, HEARD = 25, 30  # frames a second of the silent and the sounding clips below


@pytest.fixture(scope="module")
def demo(tmp_path_factory) -> dict[str, Path]:
    """72 frames of three of the demo's cameras, out of step."""
    folder = tmp_path_factory.mktemp("demo")
    return BENCHMARK["demo_capture"](folder, BENCHMARK["lively_movers"], SHIFTS)


def errors(result: dict, truth: dict[str, float], least: float = 0.0) -> list[float]:
    """Errors in frames, to the reference, of the estimates of at least some confidence."""
    reference = result["reference"]
    return [
        abs(camera["offset_frames"] - (truth[name] - truth[reference]))
        for name, camera in result["cameras"].items()
        if name != reference and camera["offset_frames"] is not None and camera["confidence"] >= least
    ]


def drift(frames: int, offset: float, seed: int = 0, size: tuple[int, int] = (96, 64)) -> np.ndarray:
    """[T, H, W, 3]: a square on a still ground, moving by an irregular path that only the seed decides."""
    width, height = size
    rng = np.random.default_rng(seed)
    periods, phases = rng.uniform(13, 60, (2, 4)), rng.uniform(0, 6.3, (2, 4))
    t = np.arange(frames)[:, None, None] - offset
    x, y = np.sin(2 * np.pi * t / periods + phases).mean(axis=2).T * [[0.7 * width], [0.7 * height]]
    columns, rows = np.arange(width) - width / 2, np.arange(height) - height / 2
    inside = np.clip(height / 6 - np.abs(rows[:, None] - y[:, None, None]), 0, 1)
    inside = inside * np.clip(height / 6 - np.abs(columns - x[:, None, None]), 0, 1)
    return np.repeat((60 + 120 * inside).astype(np.uint8)[..., None], 3, axis=3)


def test_three_views_of_the_demo_are_placed_within_half_a_frame(demo):
    result = estimate_offsets(demo, None, {})
    assert result["fps"] == BENCHMARK["RATE"]
    assert max(errors(result, SHIFTS, TRUSTED)) < 0.5
    assert len(errors(result, SHIFTS, TRUSTED)) == 2
    assert {camera["method"] for camera in result["cameras"].values()} == {"motion"}
    camera = result["cameras"]["cam04"]
    assert camera["offset_seconds"] == pytest.approx(camera["offset_frames"] / 12, abs=0.001)


def test_notes_give_the_lines_for_the_configuration_and_are_content_with_them(demo, tmp_path):
    result = write_sync(tmp_path / "sync.json", demo, 12.0, {})
    assert read_json(tmp_path / "sync.json") == result
    (note,) = result["notes"]
    assert "Nothing was changed" in note
    lines = note.partition("offsets: {")[2].rstrip("}")
    configured = {name: float(value) for name, value in (line.split(": ") for line in lines.split(", "))}
    assert configured["cam04"] - configured["cam00"] == pytest.approx(19, abs=0.5)
    again = estimate_offsets(demo, 12.0, {name: value + 100 for name, value in configured.items()})
    assert all(camera["agrees"] for camera in again["cameras"].values())
    assert "In step" in again["notes"][0]


def test_arc8_as_folders_of_images(shared_data, tmp_path):
    source = {path.name: path for path in sorted((shared_data / "arc8" / "frames").iterdir())}
    shifts = (-2, 0, 5)
    cut = BENCHMARK["cut_capture"](tmp_path, source, shifts, 24)
    truth = dict(zip(cut, np.resize(shifts, 8), strict=True))
    result = estimate_offsets(cut, None, {})
    assert len(errors(result, truth)) == 7
    assert max(errors(result, truth)) < 0.5
    assert len(errors(result, truth, TRUSTED)) >= 5
    assert result["fps"] is None
    assert result["cameras"]["cam03"]["offset_seconds"] is None


def test_people_seen_from_all_around_are_not_placed_with_false_confidence(shared_data, tmp_path):
    ims = shared_data / "panoptic_basketball" / "ims"
    cut = BENCHMARK["cut_capture"](tmp_path, {c: ims / c for c in ("2", "9", "16", "21", "28")}, (-7, 0, 12), 75)
    truth = dict(zip(cut, np.resize((-7.0, 0.0, 12.0), 5), strict=True))
    assert max(errors(estimate_offsets(cut, 30.0, {}), truth, TRUSTED), default=0) < 0.5
    given = read_panoptic(shared_data / "panoptic_basketball")
    poses = {name: (given[f"cam{int(name):02d}"].known_lens, given[f"cam{int(name):02d}"].pose) for name in cut}
    known = errors(estimate_offsets(cut, 30.0, {}, poses), truth, TRUSTED)  # 56 frames: not enough for all
    assert len(known) >= 3
    assert max(known) < 0.5


def test_rates_and_orientations_mix(tmp_path):
    write_video(drift(120, 0), tmp_path / "a.mp4", RATE)
    # The same event at twice the rate, two slow frames late, stored lying on its side with a tag that rights it.
    fast = np.stack([drift(1, -(t / 2 + 2))[0] for t in range(220)])
    write_video(np.rot90(fast, 1, axes=(1, 2)), tmp_path / "side.mp4", 2 * RATE)
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-loglevel", "error", "-display_rotation:v:0", "-90"]
    subprocess.run([*command, "-i", tmp_path / "side.mp4", "-c", "copy", tmp_path / "b.mp4"], check=True)
    result = estimate_offsets({"a": tmp_path / "a.mp4", "b": tmp_path / "b.mp4"}, None, {})
    assert result["fps"] == RATE
    assert errors(result, {"a": 0.0, "b": -2.0}, TRUSTED)[0] < 0.5


@pytest.mark.parametrize("kind", ["still", "periodic", "unrelated"])
def test_no_estimate_where_nothing_can_be_known(kind, tmp_path):
    rng = np.random.default_rng(5)
    paths = {}
    for number, name in enumerate(("cam00", "cam01", "cam02")):
        clip = drift(90, 0, seed=number if kind == "unrelated" else 0)
        if kind == "still":
            clip[:] = clip[:1]
        if kind == "periodic":
            phase = 2 * np.pi * (np.arange(90) - 4 * number) / 15
            clip = np.stack([np.roll(clip[0], round(20 * np.sin(p)), axis=0) for p in phase])
        noise = rng.normal(0, 2, clip.shape)
        paths[name] = tmp_path / f"{name}.mp4"
        write_video(np.clip(clip + noise, 0, 255).astype(np.uint8), paths[name], RATE)
    result = estimate_offsets(paths, None, {})
    assert max(camera["confidence"] for camera in result["cameras"].values()) < TRUSTED
    assert all(camera["method"] == "none" for camera in result["cameras"].values()) or kind == "unrelated"
    assert "No estimate" in result["notes"][0] or "guess" in result["notes"][0]


@pytest.mark.parametrize("light", ["flash", "three flashes", "lamp on", "lamp on and off", "flash amid motion"])
@pytest.mark.parametrize("share", [1.0, 0.7])
def test_a_flash_or_a_lamp_that_all_cameras_record_tells(light, share, tmp_path):
    rng = np.random.default_rng(3)
    truth = {"cam00": 0.0, "cam01": 5.0, "cam02": -3.0, "cam03": 2.0}
    lit = {"three flashes": [31, 44, 70], "lamp on": range(40, 999), "lamp on and off": range(40, 52)}.get(light, [40])
    paths = {}
    for number, (name, offset) in enumerate(truth.items()):
        # What moves is another thing in every view.
        clip = drift(90, 0, seed=number) if "motion" in light else np.full((90, 64, 96, 3), 60 + 9 * number, np.uint8)
        pictures = clip + rng.normal(0, 2, clip.shape)
        for frame in lit:
            if 0 <= frame + offset < 90:
                pictures[int(frame + offset), :, : int(share * 96)] += 65
        paths[name] = tmp_path / f"{name}.mp4"
        write_video(np.clip(pictures, 0, 255).astype(np.uint8), paths[name], RATE)
    result = estimate_offsets(paths, None, {})
    assert len(errors(result, truth, TRUSTED)) == 3
    assert max(errors(result, truth, TRUSTED)) < 0.5


@pytest.mark.parametrize("kind", ["flicker", "exposure", "one camera"])
def test_light_that_each_camera_has_for_itself_is_no_evidence(kind, tmp_path):
    rng = np.random.default_rng(4)
    paths = {}
    for number, name in enumerate(("cam00", "cam01", "cam02")):
        gain = {"flicker": rng.uniform(0.8, 1.2, 90), "exposure": np.linspace(0.7, 1.3, 90)}.get(kind, np.ones(90))
        if kind == "one camera" and number == 1:
            gain = np.where(np.arange(90) == 33, 1.6, 1.0)
        pictures = np.full((90, 64, 96, 3), 90) * gain[:, None, None, None] + rng.normal(0, 2, (90, 64, 96, 3))
        paths[name] = tmp_path / f"{name}.mp4"
        write_video(np.clip(pictures, 0, 255).astype(np.uint8), paths[name], RATE)
    result = estimate_offsets(paths, None, {})
    assert max(camera["confidence"] for camera in result["cameras"].values()) < TRUSTED


def sounding(path: Path, sound: np.ndarray, pictures: np.ndarray | None = None, codec: str = "aac") -> Path:
    """A clip with sound (mono, 16 kHz) and pictures that tell nothing, or the given ones."""
    seconds = len(sound) / 16000
    pictures = np.full((int(seconds * HEARD), 32, 48, 3), 90, np.uint8) if pictures is None else pictures
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=HEARD)
        video.height, video.width, video.pix_fmt = *pictures.shape[1:3], "yuv420p"
        audio = container.add_stream(codec, rate=16000, layout="mono")
        for picture in pictures:
            container.mux(video.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(video.encode())
        for start in range(0, len(sound) - 1023, 1024):
            block = np.round(np.clip(sound[start : start + 1024], -1, 1) * 32767).astype(np.int16)[None]
            frame = av.AudioFrame.from_ndarray(block, format="s16", layout="mono")
            frame.sample_rate, frame.pts = 16000, start
            container.mux(audio.encode(frame))
        container.mux(audio.encode())
    return path


def room_sound(kind: str, seconds: float, seed: int = 0) -> np.ndarray:
    """Claps, tones that start and stop, or noise that swells, at 16 kHz."""
    rng = np.random.default_rng(seed)
    t = np.arange(int(seconds * 16000)) / 16000
    sound = np.zeros_like(t)
    for start in rng.uniform(0, seconds, int(seconds * 1.5)):
        since = np.maximum(t - start, 0)
        if kind == "claps":
            sound += (t > start) * np.exp(-since / 0.03) * rng.normal(0, 0.4, len(t))
        elif kind == "tones":
            sound += 0.2 * (since > 0) * (since < 0.4) * np.sin(2 * np.pi * rng.uniform(200, 2000) * t)
    return sound if kind != "noise" else rng.normal(0, 0.2, len(t)) * (0.3 + np.abs(np.sin(t * t / 7)))


@pytest.mark.parametrize(
    ("kind", "codec", "suffix"), [("claps", "aac", "mp4"), ("tones", "libopus", "mkv"), ("noise", "aac", "mp4")]
)
def test_sound_places_cameras_to_a_fraction_of_a_frame(kind, codec, suffix, tmp_path):
    rng = np.random.default_rng(1)
    whole = room_sound(kind, 16)
    delays = {"cam00": 0.0, "cam01": 0.345, "cam02": 1.21}  # seconds that the recording started later
    paths = {}
    for name, delay in delays.items():
        part = whole[int(delay * 16000) :][: 12 * 16000] * rng.uniform(0.3, 1) + rng.normal(0, 0.003, 12 * 16000)
        paths[name] = sounding(tmp_path / f"{name}.{suffix}", part, codec=codec)
    result = estimate_offsets(paths, None, {})
    assert {camera["method"] for camera in result["cameras"].values()} == {"audio"}
    assert max(errors(result, {name: -delay * HEARD for name, delay in delays.items()}, TRUSTED)) < 0.35
    assert len(errors(result, delays, TRUSTED)) == 2


def test_sound_that_nothing_shares_is_no_evidence(tmp_path):
    paths = {f"cam{n:02d}": sounding(tmp_path / f"{n}.mp4", room_sound("claps", 8, seed=n)) for n in range(3)}
    result = estimate_offsets(paths, None, {})
    assert max(camera["confidence"] for camera in result["cameras"].values()) < TRUSTED


def test_a_silent_camera_is_tied_by_motion_to_those_with_sound(tmp_path):
    whole = room_sound("claps", 16)
    truth = {"cam00": 0.0, "cam01": -9.0, "cam02": 5.0}
    paths = {}
    for number, (name, offset) in enumerate(truth.items()):
        clip = drift(240, offset, size=(96 + 16 * number, 64))
        start = int((10 - offset) / HEARD * 16000)
        paths[name] = tmp_path / f"{name}.mp4"
        if name == "cam02":
            write_video(clip, paths[name], HEARD)
        else:
            sounding(paths[name], whole[start : start + 8 * 16000], clip)
    result = estimate_offsets(paths, None, {})
    assert [result["cameras"][name]["method"] for name in truth] == ["audio", "audio", "motion"]
    assert len(errors(result, truth, TRUSTED)) == 2
    assert max(errors(result, truth, TRUSTED)) < 0.5


def test_only_the_beginning_of_a_long_video_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr(signals, "MAX_FRAMES", 60)
    monkeypatch.setattr("mixdepth.frames.sync.sync.MAX_FRAMES", 60)
    for name, offset in (("a", 0), ("b", 3)):
        write_video(drift(90, offset), tmp_path / f"{name}.mp4", RATE)
    assert signals.seen_signals(tmp_path / "a.mp4", 25.0)[0].values.shape[2] == 59
    result = estimate_offsets({"a": tmp_path / "a.mp4", "b": tmp_path / "b.mp4"}, None, {})
    assert any("first 60 frames of a, b" in note for note in result["notes"])


def test_videos_without_a_rate_are_compared_frame_by_frame(tmp_path, monkeypatch):
    monkeypatch.setattr("mixdepth.frames.sync.sync.read_rate", lambda path: None)  # as of headers that say none
    for name, offset in (("a", 0), ("b", 5)):
        write_video(drift(120, offset), tmp_path / f"{name}.mp4", RATE)
    result = estimate_offsets({"a": tmp_path / "a.mp4", "b": tmp_path / "b.mp4"}, None, {})
    assert result["fps"] is None
    assert len(errors(result, {"a": 0.0, "b": 5.0}, TRUSTED)) == 1
    assert errors(result, {"a": 0.0, "b": 5.0})[0] < 0.5
    assert result["cameras"]["a"]["offset_seconds"] is result["cameras"]["b"]["offset_seconds"] is None


def test_unreadable_input_is_named(tmp_path):
    write_video(drift(20, 0), tmp_path / "a.mp4", RATE)
    (tmp_path / "b.mp4").write_bytes(b"")
    with pytest.raises(UserError, match=r"b\.mp4"):
        estimate_offsets({"a": tmp_path / "a.mp4", "b": tmp_path / "b.mp4"}, None, {})
    (tmp_path / "c").mkdir()
    Image.new("RGB", (40, 30)).save(tmp_path / "c" / "1.png")
    one = estimate_offsets({"a": tmp_path / "a.mp4", "c": tmp_path / "c"}, None, {})  # a single image tells nothing
    assert one["cameras"]["c"]["method"] == "none"


RING = ("cam00", "cam01", "cam02", "cam03", "cam04")
AT_ONCE = {"cam00": 0.0, "cam01": -7.0, "cam02": 3.5, "cam03": 6.0, "cam04": 0.5}


def ring_poses() -> dict[str, tuple[Lens, np.ndarray]]:
    """Five cameras around a stage, 72 degrees apart at two heights, that look at its middle; one lens is distorted."""
    poses = {}
    for number, name in enumerate(RING):
        angle = 2 * np.pi * number / 5
        centre = np.array([5 * np.sin(angle), 1 + number % 2, 5 * np.cos(angle)])
        z = -centre / np.linalg.norm(centre)
        x = np.cross([0, -1.0, 0], z)
        x /= np.linalg.norm(x)
        c2w = np.eye(4)
        c2w[:3] = np.stack([x, np.cross(z, x), z, centre], axis=1)
        radial = -0.2 if name == "cam03" else 0.0
        poses[name] = Lens("RADIAL", 960, 720, (800.0, 480.0, 360.0, radial, 0.0)), c2w
    return poses


def wandering(t: float) -> np.ndarray:
    """Four balls [4, 3] on paths that do not repeat."""
    rng = np.random.default_rng(8)
    periods, phases = rng.uniform(25, 90, (2, 4, 3)), rng.uniform(0, 6.3, (2, 4, 3))
    return np.sin(2 * np.pi * t / periods + phases).mean(axis=0) * [2, 1.2, 2]


def turning(t: float) -> np.ndarray:
    """Eight balls on a wheel, that look the same after every fourth frame."""
    angle = 2 * np.pi * (np.arange(8) + t / 4) / 8
    return np.stack([np.sin(angle), np.zeros(8), np.cos(angle)], axis=1)


def filmed(
    folder: Path, movers: Callable[[float], np.ndarray], offsets: Mapping[str, float], noise: float = 2.0
) -> dict[str, Path]:
    """80 frames of bright balls before a dark ground, as each camera of the ring sees them, 96x72."""
    rng, paths = np.random.default_rng(1), {}
    folder.mkdir(exist_ok=True)
    grid = np.stack(np.meshgrid(np.arange(96) + 0.5, np.arange(72) + 0.5), axis=-1).reshape(-1, 2)
    for name, (lens, c2w) in ring_poses().items():
        rays = np.concatenate([lens.undistort(10 * grid), np.ones((len(grid), 1))], axis=1) @ c2w[:3, :3].T
        rays /= np.linalg.norm(rays, axis=1, keepdims=True)
        pictures = np.full((80, 72, 96), 60.0) + rng.normal(0, noise, (80, 72, 96))
        for frame in range(80):
            balls = movers(frame - offsets[name]) - c2w[:3, 3]
            near = np.sqrt(np.maximum((balls**2).sum(axis=1) - (rays @ balls.T) ** 2, 0)).min(axis=1)
            pictures[frame] += 120 * np.clip((0.25 - near) / 0.05, 0, 1).reshape(72, 96)
        pictures = np.repeat(pictures.clip(0, 255).astype(np.uint8)[..., None], 3, axis=3)
        paths[name] = folder / f"{name}.mp4"
        write_video(pictures, paths[name], RATE)
    return paths


@pytest.fixture(scope="module")
def ring(tmp_path_factory) -> dict[str, Path]:
    """The ring's videos, all out of step."""
    return filmed(tmp_path_factory.mktemp("ring"), wandering, AT_ONCE)


def test_known_cameras_all_around_are_placed_by_geometry(ring):
    assert len(errors(estimate_offsets(ring, None, {}), AT_ONCE, TRUSTED)) < 4  # rows do not tell
    result = estimate_offsets(ring, None, {}, ring_poses())
    assert len(errors(result, AT_ONCE, TRUSTED)) == 4
    assert max(errors(result, AT_ONCE, TRUSTED)) < 0.25
    assert {camera["method"] for camera in result["cameras"].values()} == {"geometry"}


@pytest.mark.parametrize("kind", ["still", "periodic", "unrelated", "alone"])
def test_geometry_keeps_quiet_where_motion_cannot_tell(kind, tmp_path):
    movers = {"still": lambda t: wandering(0), "periodic": turning}.get(kind, wandering)
    offsets = {name: 1000.0 * number for number, name in enumerate(RING)} if kind == "unrelated" else AT_ONCE
    poses = ring_poses() if kind != "alone" else {"cam01": ring_poses()["cam01"]}
    result = estimate_offsets(filmed(tmp_path, movers, offsets), None, {}, poses)
    assert max(camera["confidence"] for camera in result["cameras"].values()) < TRUSTED
    assert {camera["method"] for camera in result["cameras"].values()} == {"none"} or kind == "unrelated"


def test_sound_and_geometry_that_contradict_each_other_are_told(ring, tmp_path):
    whole = sum(room_sound("claps", 16, seed) for seed in range(3))
    paths = {}
    for name, offset in AT_ONCE.items():
        late = offset + 6 * (name == "cam02")
        start = int((10 - late) / HEARD * 16000)
        pictures = np.stack(list(read_frames(ring[name], range(80))))
        paths[name] = sounding(tmp_path / f"{name}.mp4", whole[start : start + int(80 / HEARD * 16000)], pictures)
    assert {camera["method"] for camera in estimate_offsets(paths, None, {})["cameras"].values()} == {"audio"}
    result = estimate_offsets(paths, None, {}, ring_poses())
    (note,) = [note for note in result["notes"] if "differ" in note]
    assert note.startswith("cam02: ")
    assert float(note.partition("differ by ")[2].split()[0]) == pytest.approx(6, abs=0.5)
    others = {name: camera for name, camera in result["cameras"].items() if name != "cam02"}
    assert max(errors({**result, "cameras": others}, AT_ONCE, TRUSTED)) < 0.5


def test_the_stage_asks_given_cameras_and_does_not_wait_for_colmap(ring, tmp_path):
    frames = {"start": 0, "count": None, "step": 1, "fps": None, "offsets": {}}
    train = {"cameras": {name: str(path) for name, path in ring.items()}, "train_cameras": list(RING)}
    empty = {"photos": {}, "test_cameras": [], "train_photos": [], "test_photos": [], "variants": []}
    video = {"video_variant": "none", "video_camera": "cam00"}
    poses = {"source": "panoptic", "path": None, "trust": False, "intrinsics": None, "allow_missing": False}
    scene = Scene(name="x", data=tmp_path, **train, **empty, **video, options={"frames": frames, "poses": poses})
    save_lenses(tmp_path / "lenses.json", {"cameras": {n: lens for n, (lens, _) in ring_poses().items()}, "photos": {}})
    cameras = {name: Camera(96, 72, 80, 80, 48, 36, c2w) for name, (_, c2w) in ring_poses().items()}
    save_cameras(tmp_path / "cameras.json", cameras)
    work(tasks.sync, "sync", scene, tmp_path)
    result = read_json(tmp_path / "sync.json")
    assert len(errors(result, AT_ONCE, TRUSTED)) == 4
    assert max(errors(result, AT_ONCE, TRUSTED)) < 0.25

    found = replace(scene, options={"frames": frames, "poses": {**poses, "source": "colmap"}})
    assert not Job.of("sync").read(Results(tmp_path), found)
    work(tasks.sync, "sync", found, tmp_path)
    assert read_json(tmp_path / "sync.json") == estimate_offsets(ring, None, {})
