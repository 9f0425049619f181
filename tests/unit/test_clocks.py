"""Videos whose headers or clocks lie, and folders whose files are numbered otherwise: every frame at its own moment."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from helpers.clips import H264, clip, ffmpeg_cli, grey, numbers
from helpers.fields import fields_clip
from mixdepth.errors import UserError
from mixdepth.frames.decode import frame_files, frame_numbers, read_frames
from mixdepth.frames.probe import probe_camera, probe_capture
from mixdepth.frames.sync.sync import estimate_offsets
from mixdepth.frames.timing import Timeline, read_rate, read_track

ALL = {"start": 0, "count": None, "step": 1, "fps": None, "offsets": {}}
VP8 = ("-c:v", "libvpx", "-deadline", "realtime", "-auto-alt-ref", "0", "-b:v", "500k")


def taken(videos: dict[str, Path], **options: object) -> dict[str, list[int]]:
    """The numbers on the frames that the timeline takes of each camera."""
    timeline = Timeline.of(videos, {**ALL, **options})
    return {name: numbers(read_frames(path, timeline.source_frames(name))) for name, path in videos.items()}


def both(shown: range, names: str = "ab") -> dict[str, list[int]]:
    """Two cameras that show the same numbers."""
    return {name: list(shown) for name in names}


# ----------------------------------------------------------------------------------- two packets for a picture


@pytest.mark.parametrize("suffix", [".mts", ".mp4", ".mkv"])
def test_field_coded_video_counts_pictures(tmp_path, suffix):
    videos = {"a": fields_clip(tmp_path / f"a{suffix}", 24), "b": clip(tmp_path / "b.mp4", 24, rate="25")}
    facts = probe_camera(videos["a"])
    assert (facts["frames"], facts["fps"], facts["seconds"], facts["variable"]) == (24, 25, 0.96, False)
    assert taken(videos) == both(range(24))
    assert taken(videos, start=2, step=5, count=4)["a"] == [2, 7, 12, 17]
    assert "a: it is interlaced: export" in probe_capture(videos, {}, ALL)["notes"][0]


# ------------------------------------------------------------------------------------------ rates of headers


def browser_clip(path: Path, times: np.ndarray) -> Path:
    """WebM as browsers record it: frames at ``times``, whole milliseconds, and no rate in the header."""
    pts = "+".join(f"{round(time)}*eq(N\\,{i})" for i, time in enumerate(times))
    clip(
        path,
        len(times),
        *VP8,
        "-vf",
        f"settb=1/1000,setpts='{pts}'",
        "-fps_mode",
        "passthrough",
        "-enc_time_base",
        "1/1000",
    )
    content = bytearray(path.read_bytes())
    # The element DefaultDuration (RFC 9559, 5.1.4.1.13) becomes a Void of the same length.
    if (at := content.find(b"\x23\xe3\x83")) > 0:
        length = 4 + (content[at + 3] & 0x7F)
        content[at : at + length] = b"\xec" + bytes([0x80 | (length - 2)]) + bytes(length - 2)
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("rate", [30, 25, 60])
def test_the_rate_of_browsers_webm_is_that_of_its_times(tmp_path, rate):
    rng = np.random.default_rng(rate)
    videos = {}
    for name in ("a", "b"):
        times = np.arange(48) * 1000 / rate + rng.uniform(-0.3, 0.3, 48) * 1000 / rate
        videos[name] = browser_clip(tmp_path / f"{name}.webm", times - times[0])
        assert read_rate(videos[name]) == rate
    found = probe_capture(videos, {}, ALL | {"count": 24})
    assert found["fps"] == rate
    for seen in taken(videos, count=24).values():
        assert np.abs(np.array(seen) - range(24)).max() <= 1
        assert len(set(seen)) >= 22


def test_pauses_and_dropped_frames_do_not_change_the_rate(tmp_path):
    ticks = np.array([*range(10), 12, 13, 15, *range(17, 25), *range(90, 105)])
    video = browser_clip(tmp_path / "a.webm", ticks * 1000 / 30)
    assert read_rate(video) == pytest.approx(30, rel=5e-3)
    seen = numbers(read_frames(video, Timeline.of({"a": video}, ALL | {"fps": 30}).source_frames("a")))
    assert len(seen) == 105
    assert all(seen[tick] == i for i, tick in enumerate(ticks))


@pytest.mark.parametrize("count", [2, 3, 5])
def test_the_rate_of_a_clip_of_two_frames_is_that_of_its_times(tmp_path, count):
    assert read_rate(browser_clip(tmp_path / "a.webm", np.arange(count) * 1000 / 30)) == 30


def test_the_rate_of_an_mp4_in_fragments_is_that_of_its_times(tmp_path):
    times = "settb=1/90000,setpts='(N/30+0.006*mod(N*7,3))/TB'"
    options = (*H264, "-bf", "0", "-vf", times, "-fps_mode", "passthrough", "-enc_time_base", "1/90000")
    video = clip(tmp_path / "a.mp4", 40, *options, "-movflags", "frag_keyframe+empty_moov+default_base_moof")
    assert read_rate(video) == pytest.approx(30, rel=5e-3)
    assert read_track(video).rate == read_rate(video)


@pytest.mark.parametrize("suffix", [".mkv", ".ts", ".flv"])
def test_a_header_that_says_another_rate_than_the_times_is_not_believed(tmp_path, suffix):
    clip(tmp_path / "30.mkv", 40, *H264, "-bf", "2")
    # The times of 25 a second under an H.264 header of 30.
    video = tmp_path / f"a{suffix}"
    ffmpeg_cli("-itsscale", "1.2", "-i", str(tmp_path / "30.mkv"), "-c", "copy", str(video))
    assert read_rate(video) == 25
    assert probe_camera(video)["fps"] == 25
    assert taken({"a": video, "b": clip(tmp_path / "b.mp4", 40, rate="25")}) == both(range(40))


@pytest.mark.parametrize("rate", ["30", "30000/1001", "25", "24000/1001", "12.5", "50", "59.94", "15"])
@pytest.mark.parametrize("suffix", [".mkv", ".ts", ".webm", ".avi", ".flv"])
def test_headers_that_are_right_are_believed(tmp_path, rate, suffix):
    codec = VP8 if suffix == ".webm" else H264
    video = clip(tmp_path / f"a{suffix}", 30, *codec, rate=rate)
    numerator, _, denominator = rate.partition("/")
    # A FLV says its rate to the hundredth.
    assert read_rate(video) == pytest.approx(float(numerator) / float(denominator or 1), rel=2e-4)


# ------------------------------------------------------------------------------------------ joined streams


MPEG2 = ("-c:v", "mpeg2video", "-bf", "2", "-q:v", "2")
JOINED = [
    (".mts", (*H264, "-bf", "2")),
    (".mpg", MPEG2),
    (".vob", MPEG2),
    (".mkv", (*H264, "-bf", "2")),
    (".webm", VP8),
]


@pytest.mark.parametrize(
    ("suffix", "options", "later"), [*((*kind, "0") for kind in JOINED), *((*kind, "3600") for kind in JOINED[:3])]
)
def test_streams_that_were_joined_go_on_where_their_clock_starts_anew(tmp_path, suffix, options, later):
    parts = [clip(tmp_path / f"0{suffix}", 14, *options)]
    parts.append(clip(tmp_path / f"1{suffix}", 12, *options, "-output_ts_offset", later, start=14))
    video = tmp_path / f"whole{suffix}"
    video.write_bytes(b"".join(part.read_bytes() for part in parts))
    videos = {"a": video, "b": clip(tmp_path / "b.mp4", 26)}
    assert taken(videos) == both(range(26))
    assert read_track(video).joints == (14,)
    notes = probe_capture(videos, {}, ALL)["notes"]
    assert notes == ["a: its clock starts anew at frame 14: what follows is taken to go on without a pause."]


@pytest.mark.parametrize(("suffix", "options"), [(".avi", ("-c:v", "mpeg4")), (".h264", ()), (".m2v", MPEG2)])
def test_kinds_without_a_clock_of_their_own_are_read_wholly_where_they_were_joined(tmp_path, suffix, options):
    assert taken({"a": joined(tmp_path, suffix, *options)}) == {"a": list(range(26))}


FRAGMENTS = ("-movflags", "frag_keyframe+empty_moov+default_base_moof")


@pytest.mark.parametrize(
    ("suffix", "options"),
    [
        *((suffix, H264) for suffix in (".mp4", ".mov", ".m4v", ".3gp", ".flv")),
        (".mp4", ("-movflags", "faststart")),
        (".mp4", FRAGMENTS),
        (".wmv", ("-c:v", "wmv2")),
        (".flv", ("-c:v", "flv")),
        (".mxf", ("-c:v", "mpeg2video", "-r", "25")),
        (".mxf", MPEG2),
        (".y4m", ("-c:v", "rawvideo", "-pix_fmt", "yuv420p")),
    ],
)
def test_kinds_that_cannot_be_joined_byte_by_byte_are_refused_where_they_were(tmp_path, suffix, options):
    video = joined(tmp_path, suffix, *options)
    # These two are damaged to ffmpeg.
    said = "a second video begins amid it, .*Join the parts.*concat" if suffix not in (".y4m", ".mxf") else "cannot be"
    with pytest.raises(UserError, match=rf"whole{suffix}: {said}"):
        probe_capture({"a": video, "b": clip(tmp_path / "b.mp4", 26)}, {}, ALL)


def joined(folder: Path, suffix: str, *options: str) -> Path:
    """26 numbered frames in two files, one put after the other."""
    parts = [clip(folder / f"{i}{suffix}", (14, 12)[i], *options, start=14 * i) for i in range(2)]
    video = folder / f"whole{suffix}"
    video.write_bytes(b"".join(part.read_bytes() for part in parts))
    return video


def boxes_of(video: Path) -> list[tuple[bytes, bytes]]:
    """The outermost boxes of an mp4: type and bytes."""
    content, at, found = video.read_bytes(), 0, []
    while at < len(content):
        size = int.from_bytes(content[at : at + 4], "big")
        found.append((content[at + 4 : at + 8], content[at : at + size]))
        at += size
    return found


def test_a_second_header_in_a_file_that_is_one_recording_is_no_second_video(tmp_path):
    video = clip(tmp_path / "a.mp4", 24, *H264, "-g", "6", *FRAGMENTS)
    start, rest = boxes_of(video)[:2], boxes_of(video)[2:]
    assert [name for name, _ in start] == [b"ftyp", b"moov"]
    assert [name for name, _ in rest].count(b"moof") == 4
    # As segments are that each begin with the header; and a header that is there twice, for safety.
    again = b"".join(box for _, box in start)
    video.write_bytes(again + b"".join((again if name == b"moof" else b"") + box for name, box in rest))
    assert taken({"a": video}) == {"a": list(range(24))}
    video = clip(tmp_path / "b.mp4", 24)
    moov = next(box for name, box in boxes_of(video) if name == b"moov")
    video.write_bytes(video.read_bytes() + moov)
    assert taken({"b": video}) == {"b": list(range(24))}


def test_a_pause_in_a_recording_that_keeps_time_is_no_new_start(tmp_path):
    ticks = np.array([*range(10), *range(400, 410)])
    video = browser_clip(tmp_path / "a.webm", ticks * 1000 / 30)
    track = read_track(video)
    assert track.joints == ()
    np.testing.assert_allclose(track.times, ticks / 30, atol=1e-3)


# --------------------------------------------------------------------------------------------- no times at all


def test_a_raw_stream_with_the_name_of_an_mp4_is_read_by_index_everywhere(tmp_path):
    video = clip(tmp_path / "a.mp4", 30, *H264, "-bf", "2", "-f", "h264")
    videos = {"a": video, "b": clip(tmp_path / "b.mp4", 30, rate="25")}
    found = probe_capture(videos, {}, ALL)
    assert (found["cameras"]["a"]["frames"], found["cameras"]["a"]["codec"]) == (30, "h264")
    assert taken(videos, fps=25) == both(range(30))
    assert set(estimate_offsets(videos, found["fps"], {})["cameras"]) == {"a", "b"}


# ------------------------------------------------------------------------------------------- size amid a video


@pytest.mark.parametrize("order", ["larger", "smaller", "between"])
def test_a_size_that_changes_midway_is_refused_with_the_frame(tmp_path, order):
    sizes = {"larger": [(64, 48), (96, 64)], "smaller": [(96, 64), (64, 48)], "between": [(64, 48), (96, 64), (64, 48)]}
    parts = [clip(tmp_path / f"{i}.ts", 6, size=size) for i, size in enumerate(sizes[order])]
    video = tmp_path / "a.ts"
    video.write_bytes(b"".join(part.read_bytes() for part in parts))
    first, second = ("x".join(map(str, size)) for size in sizes[order][:2])
    with pytest.raises(UserError, match=rf"a\.ts: frame 6 is {second} pixels, those before are {first}"):
        list(read_frames(video, range(10)))
    if order != "between":
        with pytest.raises(UserError, match=rf"a\.ts: a frame at its end is {second} pixels.*{first}"):
            probe_camera(video)


# ---------------------------------------------------------------------------------------------- upright


@pytest.mark.parametrize(
    ("degrees", "turns"), [(0.01, 0), (89.99, 1), (90.01, 1), (179.99, 2), (-179.99, 2), (270.01, 3)]
)
def test_a_rotation_that_is_a_hair_off_is_a_quarter_turn_everywhere(tmp_path, degrees, turns):
    stored = np.zeros((48, 64, 3), np.uint8)
    stored[:24, :32], stored[:24, 32:], stored[24:, :32] = 220, 150, 80
    Image.fromarray(stored).save(tmp_path / "p.png")
    ffmpeg_cli("-i", str(tmp_path / "p.png"), *H264, "-crf", "1", str(tmp_path / "stored.mp4"))
    video = tmp_path / "a.mp4"
    ffmpeg_cli("-display_rotation", str(degrees), "-i", str(tmp_path / "stored.mp4"), "-c", "copy", str(video))
    facts, (image,) = probe_camera(video), read_frames(video, [0])
    assert facts["rotation"] == -90 * turns % 360
    assert image.shape == (facts["height"], facts["width"], 3)
    assert np.abs(image.astype(int) - np.rot90(stored, turns)).mean() < 4


@pytest.mark.parametrize(
    ("options", "turns"),
    [
        (("-display_hflip",), 0),
        (("-display_vflip",), 2),
        (("-display_rotation", "90", "-display_hflip"), 1),
        (("-display_rotation", "270", "-display_hflip"), 3),
    ],
)
def test_a_mirrored_picture_is_turned_upright_and_not_mirrored_with_a_note(tmp_path, options, turns):
    stored = np.zeros((48, 64, 3), np.uint8)
    stored[:24, :32], stored[:24, 32:], stored[24:, :32] = 220, 150, 80
    Image.fromarray(stored).save(tmp_path / "p.png")
    ffmpeg_cli("-i", str(tmp_path / "p.png"), *H264, "-crf", "1", str(tmp_path / "stored.mp4"))
    video = tmp_path / "a.mp4"
    ffmpeg_cli(*options, "-i", str(tmp_path / "stored.mp4"), "-c", "copy", str(video))
    ffmpeg_cli("-i", str(video), "-frames:v", "1", str(tmp_path / "shown.png"))
    (image,) = read_frames(video, [0])
    shown = np.asarray(Image.open(tmp_path / "shown.png").convert("RGB"))
    assert np.abs(image.astype(int) - shown[:, ::-1]).mean() < 4  # as players show it, but for left and right
    assert np.abs(image.astype(int) - np.rot90(stored, turns)).mean() < 4
    notes = probe_capture({"a": video, "b": video}, {}, ALL)["notes"]
    assert "a: the file wants its picture mirrored, which no camera sees: it is only turned upright." in notes


# ---------------------------------------------------------------------------------------- streams and alpha


@pytest.mark.parametrize("default", [0, 1, None])
def test_of_two_streams_the_default_else_the_larger_one_is_used_with_a_note(tmp_path, default):
    small, large = clip(tmp_path / "s.mkv", 6, size=(32, 24)), clip(tmp_path / "l.mkv", 6, start=20)
    flags = [f for i in (0, 1) for f in (f"-disposition:v:{i}", "default" if default in (i, None) else "0")]
    video = tmp_path / "a.mkv"
    ffmpeg_cli("-i", str(small), "-i", str(large), "-map", "0", "-map", "1", *flags, "-c", "copy", str(video))
    width, first = (32, 0) if default == 0 else (64, 20)
    found = probe_capture({"a": video, "b": video}, {}, ALL)
    assert found["cameras"]["a"]["width"] == width
    assert numbers(read_frames(video, range(6))) == list(range(first, first + 6))
    assert any(note.startswith(f"a: it has 2 streams of pictures: the one of {width}x") for note in found["notes"])


def test_a_cover_picture_is_no_stream_to_choose_from(tmp_path):
    Image.fromarray(grey(9, (200, 200))).save(tmp_path / "cover.png")
    video = tmp_path / "a.mp4"
    inputs = ("-i", str(clip(tmp_path / "v.mp4", 6)), "-i", str(tmp_path / "cover.png"))
    ffmpeg_cli(*inputs, "-map", "0", "-map", "1", "-c", "copy", "-disposition:v:1", "attached_pic", str(video))
    found = probe_capture({"a": video, "b": video}, {}, ALL)
    assert (found["cameras"]["a"]["width"], found["cameras"]["a"]["frames"], found["notes"]) == (64, 6, [])


@pytest.mark.parametrize(
    ("suffix", "options"),
    [(".mov", ("-c:v", "prores_ks", "-pix_fmt", "yuva444p10le")), (".mov", ("-c:v", "qtrle", "-pix_fmt", "argb")),
     (".mkv", ("-c:v", "ffv1", "-pix_fmt", "bgra")), (".mov", ("-c:v", "png", "-pix_fmt", "rgba")),
     (".webm", ("-c:v", "libvpx-vp9", "-pix_fmt", "yuva420p", "-crf", "4", "-b:v", "0")),
     (".webm", ("-c:v", "libvpx", "-pix_fmt", "yuva420p", "-auto-alt-ref", "0", "-crf", "4", "-b:v", "4M"))],
)  # fmt: skip
def test_what_is_transparent_in_a_video_is_black_as_in_an_image(tmp_path, suffix, options):
    rgba = np.zeros((48, 64, 4), np.uint8)
    rgba[:] = 255, 0, 255, 255
    rgba[:, :32, 3] = 0
    video = tmp_path / f"a{suffix}"
    raw = ("-f", "rawvideo", "-pix_fmt", "rgba", "-s", "64x48", "-framerate", "30", "-i", "pipe:")
    ffmpeg_cli(*raw, *options, str(video), data=rgba.tobytes() * 2)
    for size, half in ((None, 32), ((32, 24), 16)):
        (image,) = read_frames(video, [1], size)
        assert image[2:-2, : half - 2].max() <= 2
        assert np.abs(image[2:-2, half + 2 :].astype(int) - [255, 0, 255]).max() <= 3
    notes = probe_capture({"a": video, "b": video}, {}, ALL)["notes"]
    assert "a: it is transparent in places: these are black." in notes


# -------------------------------------------------------------------------------------------- numbered images


def numbered(path: Path, count: list[int] | range, form: str = "{:04d}.png", step: int = 1) -> Path:
    """A folder with the frames of these numbers, each of which shows its number (over ``step``)."""
    path.mkdir()
    for number in count:
        Image.fromarray(grey(number // step)).save(path / form.format(number))
    return path


def test_frames_around_a_hole_stay_at_their_numbers(tmp_path):
    gap = [n for n in range(13) if n != 5]
    for last, form in ((12, "{}.png"), (11, "{:04d}.png")):
        here = tmp_path / str(last)
        here.mkdir()
        videos = {"a": numbered(here / "a", range(12), form), "b": numbered(here / "b", gap[:last], form)}
        assert taken(videos) == {"a": list(range(12)), "b": [0, 1, 2, 3, 4, 4, *range(6, 12)]}
        assert taken(videos, count=8)["b"] == [0, 1, 2, 3, 4, 4, 6, 7]
        assert "b: no frame 5: the nearest is taken." in probe_capture(videos, {}, ALL)["notes"]


def test_a_hole_in_the_only_folder_beside_videos_counts_too(tmp_path):
    videos = {
        "a": clip(tmp_path / "a.mp4", 13),
        "b": numbered(tmp_path / "b", [n for n in range(13) if n not in (5, 6)]),
    }
    assert taken(videos) == {"a": list(range(13)), "b": [0, 1, 2, 3, 4, 4, 7, *range(7, 13)]}
    whole = {"a": videos["a"], "b": numbered(tmp_path / "c", range(40, 53))}
    assert taken(whole, count=1) == {"a": [0], "b": [40]}
    assert len(probe_capture(whole, {}, ALL)["notes"]) == 1  # the rate of a folder


def test_folders_whose_first_numbers_differ_are_aligned_by_number(tmp_path):
    videos = {
        "a": numbered(tmp_path / "a", range(10, 22), "frame_{}.jpg"),
        "b": numbered(tmp_path / "b", range(13, 25), "cam7_{:05d}.png"),
    }
    assert taken(videos) == both(range(13, 22))
    notes = probe_capture(videos, {}, ALL)["notes"]
    assert notes[0].startswith("the first frames have different numbers (a 10, b 13): frames of one number")
    assert notes[1].startswith("the last frames have different numbers (a 21, b 24)")
    # Offsets say where folders begin: then the numbers do not.
    assert taken(videos, offsets={"b": 0}, count=12) == {"a": list(range(10, 22)), "b": list(range(13, 25))}
    assert taken(videos, offsets={"a": 2}, count=9) == {"a": list(range(12, 21)), "b": list(range(13, 22))}


def test_numbers_in_steps_count_in_the_largest_step(tmp_path):
    even = {name: numbered(tmp_path / name, range(0, 120, 10), step=10) for name in "ab"}
    assert taken(even) == both(range(12))
    assert probe_capture(even, {}, ALL)["notes"] == []
    mixed = {"c": numbered(tmp_path / "c", range(24)), "d": numbered(tmp_path / "d", range(0, 24, 2))}
    assert taken(mixed) == both(range(0, 24, 2), "cd")


@pytest.mark.parametrize(
    ("other", "said"),
    [(range(40, 52), "have none in common"), ([0, 1, 2, 3, 5, 8, 13, 21, 24, 26, 27, 31], None), (range(12), "")],
)
def test_numbers_that_cannot_be_moments_leave_the_order(tmp_path, other, said):
    videos = {"a": numbered(tmp_path / "a", range(12)), "b": numbered(tmp_path / "b", other)}
    if said is None:  # holes, however many
        assert taken(videos)["a"] == list(range(12))
        return
    assert [len(seen) for seen in taken(videos).values()] == [12, 12]
    assert taken(videos)["b"] == list(other)
    notes = probe_capture(videos, {}, ALL)["notes"]
    assert notes == [] if not said else said in notes[0]


def test_names_with_two_numbers_that_change_count_in_their_order(tmp_path):
    videos = {"a": numbered(tmp_path / "a", range(6)), "b": tmp_path / "b"}
    videos["b"].mkdir()
    for i in range(6):
        Image.fromarray(grey(i)).save(videos["b"] / f"{i}_{i * i}.png")
    assert taken(videos) == both(range(6))
    assert (
        "the files of b are not numbered frame by frame: they count in their order." in Timeline.of(videos, ALL).notes
    )
    assert frame_numbers(["t2_8", "t2_9", "t2_11"]) == [8, 9, 11]
    assert frame_numbers(["2_8", "3_9"]) is None


def test_a_shorter_folder_without_holes_is_refused_as_before(tmp_path):
    videos = {"a": numbered(tmp_path / "a", range(12)), "b": numbered(tmp_path / "b", range(10))}
    with pytest.raises(UserError, match=r"b has 10 .*expected 12|a has 12"):
        probe_capture(videos, {}, ALL)


@pytest.mark.parametrize(
    "form", ["{}_mask.png", "mask_{}.png", "{}.png.png", "{}_mask_1.png", "dynamic_mask_{}.png", "{}-depth.exr"]
)
def test_masks_beside_frames_are_no_frames(tmp_path, form):
    folder = numbered(tmp_path / "a", range(6))
    for n in range(6):
        Image.fromarray(grey(60)).save(folder / form.format(f"{n:04d}"), "PNG")
    assert [path.name for path in frame_files(folder)] == [f"{n:04d}.png" for n in range(6)]
    assert taken({"a": folder, "b": numbered(tmp_path / "b", range(6))}) == both(range(6))


def test_two_pictures_of_one_number_are_refused(tmp_path):
    folder = numbered(tmp_path / "a", range(3), "left_{}.png")
    numbered(tmp_path / "b", range(3), "right_{}.png")
    for path in (tmp_path / "b").iterdir():
        path.rename(folder / path.name)
    with pytest.raises(UserError, match=r"left_0\.png and .*right_0\.png: two files for one frame, by their number"):
        frame_files(folder)
    (tmp_path / "c").mkdir()
    for name in ("1.png", "01.png"):
        Image.fromarray(grey(1)).save(tmp_path / "c" / name)
    with pytest.raises(UserError, match=r"01\.png and .*1\.png: two files for one frame\. Remove"):
        frame_files(tmp_path / "c")
