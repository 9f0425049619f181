"""What a capture consists of, told from its files; what cannot work is refused by name."""

import json
import re
import subprocess

import av
import imageio_ffmpeg
import numpy as np
import pytest
from PIL import Image

from helpers.clips import H264, clip, ffmpeg_cli, folder, grey, numbers
from mixdepth.errors import UserError
from mixdepth.files.images import read_image
from mixdepth.frames.decode import read_frames
from mixdepth.frames.probe import probe_camera, probe_capture

ALL = {"start": 0, "count": None, "step": 1, "fps": None, "offsets": {}}
HEVC = ("-c:v", "libx265", "-x265-params", "log-level=error")
VP9 = ("-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8")


def refused(path, match, good):
    """The capture of ``path`` beside the video ``good`` is refused."""
    with pytest.raises(UserError, match=match) as caught:
        probe_capture({"cam00": good, "cam01": path}, {}, ALL)
    assert "\n" not in str(caught.value)


@pytest.fixture
def good(tmp_path):
    return clip(tmp_path / "good.mp4", 12)


# ------------------------------------------------------------------------------------------- what is found


def test_videos_folders_and_photos_are_described(tmp_path):
    video = clip(tmp_path / "cam00.mp4", 6, size=(48, 32))
    images = folder(tmp_path / "cam01", 6)
    Image.fromarray(grey(1, (50, 40))).save(tmp_path / "p.jpg")
    found = probe_capture({"cam01": images, "cam00": video}, {"p": tmp_path / "p.jpg"}, ALL)
    common = {"frames": 6, "variable": False, "bits": 8, "rotation": 0}
    assert found == {
        "cameras": {
            "cam00": {"path": str(video), "width": 48, "height": 32, "fps": 30.0, "seconds": 0.2, "codec": "h264"}
            | common,
            "cam01": {"path": str(images), "width": 64, "height": 48, "fps": None, "seconds": None, "codec": "png"}
            | common,
        },
        "photos": {"p": {"path": str(tmp_path / "p.jpg"), "width": 50, "height": 40, "rotation": 0}},
        "fps": 30.0,
        "selected": 6,
        "notes": [
            "the rate of cam01 is unknown (images, or no rate in the file) and taken for the common rate, 30 frames "
            "per second.",
            "cameras of different size: 1 of 48x32, 1 of 64x48.",
        ],
    }
    assert list(found["cameras"]) == ["cam00", "cam01"]
    assert json.loads(json.dumps(found)) == found


# degrees counter-clockwise, as ffmpeg counts them -> how the stored picture is turned to be upright
@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
@pytest.mark.parametrize(("degrees", "turns"), [(90, 1), (180, 2), (270, 3), (-90, 3), (0, 0)])
def test_rotation_tags_are_honoured_and_sizes_are_those_of_the_decoded_frames(tmp_path, degrees, turns, suffix):
    stored = np.zeros((48, 64, 3), np.uint8)
    stored[:24, :32], stored[:24, 32:], stored[24:, :32] = 220, 150, 80
    Image.fromarray(stored).save(tmp_path / "p.png")
    ffmpeg_cli("-i", str(tmp_path / "p.png"), *H264, "-crf", "1", str(tmp_path / "stored.mp4"))
    video = tmp_path / f"turned{suffix}"
    ffmpeg_cli("-display_rotation", str(degrees), "-i", str(tmp_path / "stored.mp4"), "-c", "copy", str(video))
    found = probe_camera(video)
    assert found["rotation"] == -degrees % 360
    (image,) = read_frames(video, [0])
    assert image.shape == (found["height"], found["width"], 3)
    assert np.abs(image.astype(int) - np.rot90(stored, turns)).mean() < 4


def test_a_rotation_by_anything_but_quarter_turns_is_refused(tmp_path, good):
    video = tmp_path / "turned.mp4"
    ffmpeg_cli("-display_rotation", "45", "-i", str(good), "-c", "copy", str(video))
    refused(video, r"turned\.mp4: its rotation tag says 315 degrees; expected 0, 90, 180 or 270", good)


@pytest.mark.parametrize(
    ("name", "options", "codec", "bits"),
    [
        ("a.mp4", (*H264, "-bf", "3", "-g", "5"), "h264", 8),
        ("a.mkv", ("-c:v", "libx264", "-pix_fmt", "yuv420p10le"), "h264", 10),
        ("a.mp4", (*HEVC, "-pix_fmt", "yuv420p10le", "-tag:v", "hvc1"), "hevc", 10),
        ("a.mov", ("-c:v", "prores_ks", "-pix_fmt", "yuv422p10le"), "prores", 10),
        ("a.mkv", ("-c:v", "ffv1", "-pix_fmt", "yuv444p12le"), "ffv1", 12),
        ("a.webm", VP9, "vp9", 8),
        ("a.webm", ("-c:v", "libvpx", "-auto-alt-ref", "1", "-lag-in-frames", "8", "-b:v", "300k"), "vp8", 8),
        ("a.avi", ("-c:v", "mpeg4", "-bf", "2", "-q:v", "2"), "mpeg4", 8),
        ("a.avi", ("-c:v", "mjpeg", "-q:v", "2"), "mjpeg", 8),
        ("a.avi", ("-c:v", "rawvideo", "-pix_fmt", "bgr24"), "rawvideo", 8),
        ("a.mts", (*H264, "-bf", "2", "-f", "mpegts"), "h264", 8),
        ("a.mpg", ("-c:v", "mpeg2video", "-bf", "2", "-q:v", "2"), "mpeg2video", 8),
        ("a.mp4", (*H264, "-g", "4", "-movflags", "frag_keyframe+empty_moov"), "h264", 8),
    ],
)
def test_frames_are_counted_as_they_are_decoded_in_every_container_and_codec(tmp_path, name, options, codec, bits):
    video = clip(tmp_path / name, 20, *options)
    found = probe_camera(video)
    facts = {"codec": codec, "bits": bits, "frames": 20, "variable": False, "fps": 30.0}
    assert {key: found[key] for key in facts} == facts
    assert found["seconds"] == pytest.approx(20 / 30, abs=2e-3)
    assert numbers(read_frames(video, list(range(20)))) == list(range(20))


def test_a_recording_that_starts_amid_a_group_of_pictures_is_counted_from_its_first_whole_one(tmp_path):
    options = ("-c:v", "libx264", "-pix_fmt", "yuv420p", "-x264-params", "open-gop=1:keyint=12:bframes=3:scenecut=0")
    whole = clip(tmp_path / "whole.ts", 48, *options).read_bytes()
    video = tmp_path / "cut.mts"
    video.write_bytes(whole[len(whole) // 4 // 188 * 188 :])
    frames = probe_camera(video)["frames"]
    shown = numbers(read_frames(video, list(range(frames))))
    assert shown == list(range(48 - frames, 48))
    with pytest.raises(UserError, match=rf"{frames} frames could be read"):
        list(read_frames(video, list(range(frames + 1))))


@pytest.mark.parametrize("name", ["edit.mp4", "edit.mov"])
def test_frames_outside_an_edit_list_do_not_count(tmp_path, name):
    whole = clip(tmp_path / "whole.mp4", 30, *H264, "-g", "30", "-bf", "2")
    ffmpeg_cli("-ss", "0.3", "-i", str(whole), "-c", "copy", str(tmp_path / name))
    assert probe_camera(tmp_path / name)["frames"] == 21
    assert numbers(read_frames(tmp_path / name, [0, 7, 20])) == [9, 16, 29]


@pytest.mark.parametrize("shown", [10, 11, 12, 13])
def test_frames_behind_the_end_of_an_edit_list_do_not_count(tmp_path, shown):
    video = clip(tmp_path / "a.mp4", 30, *H264, "-g", "30", "-bf", "3")
    content = bytearray(video.read_bytes())
    # ISO/IEC 14496-12, 8.6.6: version and flags, number of edits, then the first one's duration in thousandths.
    at = content.index(b"elst") + 12
    content[at : at + 4] = (1000 * shown // 30).to_bytes(4, "big")
    video.write_bytes(content)
    assert probe_camera(video)["frames"] == shown
    assert numbers(read_frames(video, list(range(shown)))) == list(range(shown))


def test_frames_of_vp8_that_are_never_shown_do_not_count(tmp_path):
    x, y, t = np.meshgrid(np.arange(64), np.arange(48), np.arange(40))
    moving = np.stack([x * 4 + t * 3, y * 5 + t * 2, x + y + t], axis=-1).astype(np.uint8).transpose(2, 0, 1, 3)
    video, log = tmp_path / "a.webm", str(tmp_path / "log")
    raw = ("-f", "rawvideo", "-pix_fmt", "rgb24", "-s", "64x48", "-framerate", "30", "-i", "pipe:", "-c:v", "libvpx")
    options = ("-auto-alt-ref", "1", "-lag-in-frames", "16", "-b:v", "200k", "-passlogfile", log)
    for output in (("-pass", "1", "-f", "null", "-"), ("-pass", "2", str(video))):
        ffmpeg_cli(*raw, *options, *output, data=moving.tobytes())
    with av.open(str(video)) as container:
        assert sum(packet.size > 0 for packet in container.demux()) > 40
    assert probe_camera(video)["frames"] == 40
    assert len(list(read_frames(video, list(range(40))))) == 40


@pytest.mark.parametrize(
    ("name", "size", "options"),
    [
        ("a.mkv", (63, 47), ("-c:v", "libx264", "-pix_fmt", "yuv444p")),
        ("a.webm", (63, 47), VP9),
        ("a.avi", (61, 48), ("-c:v", "mjpeg", "-q:v", "2")),
    ],
)
def test_odd_sizes_go_in_and_are_noted(tmp_path, name, size, options):
    video = clip(tmp_path / name, 3, *options, size=size)
    found = probe_capture({"a": video, "b": video}, {}, ALL)
    assert (found["cameras"]["a"]["width"], found["cameras"]["a"]["height"]) == size
    assert any(note.startswith(f"a: {size[0]}x{size[1]} is an odd size") for note in found["notes"])
    (image,) = read_frames(video, [2])
    assert image.shape == (size[1], size[0], 3)
    assert numbers([image]) == [2]


@pytest.mark.parametrize(("transfer", "name"), [("smpte2084", "PQ"), ("arib-std-b67", "HLG")])
def test_high_dynamic_range_is_noted(tmp_path, good, transfer, name):
    params = f"log-level=error:transfer={transfer}:colorprim=bt2020:colormatrix=bt2020nc"
    options = (
        "-c:v",
        "libx265",
        "-x265-params",
        params,
        "-pix_fmt",
        "yuv420p10le",
        "-vf",
        f"setparams=color_trc={transfer}",
    )
    video = clip(tmp_path / "hdr.mp4", 12, *options)
    notes = probe_capture({"cam00": good, "cam01": video}, {}, ALL)["notes"]
    assert [note for note in notes if f"({name}): its colours are taken as they are" in note] == notes
    assert notes[0].startswith("cam01: ")


def test_interlaced_frames_and_pixels_that_are_not_square_are_noted(tmp_path):
    video = clip(tmp_path / "a.mpg", 6, "-c:v", "mpeg2video", "-flags", "+ilme+ildct", "-vf", "setfield=tff,setsar=4/3")
    notes = probe_capture({"a": video, "b": video}, {}, ALL)["notes"]
    assert any("a: it is interlaced" in note for note in notes)
    assert any("b: its pixels are not square (4:3)" in note for note in notes)


def test_a_folder_of_the_decoded_frames_is_as_good_as_the_video(tmp_path):
    video = clip(tmp_path / "v.mp4", 8, *H264, "-bf", "2")
    images = folder(tmp_path / "cam", read_frames(video, list(range(8))))
    for frames, size in (([0, 3, 7], None), ([1, 1, 2], None)):
        pairs = zip(read_frames(video, frames, size), read_frames(images, frames, size), strict=True)
        for a, b in pairs:
            np.testing.assert_array_equal(a, b)
    found = [probe_camera(path) for path in (video, images)]
    assert all(found[0][key] == found[1][key] for key in ("width", "height", "frames", "bits", "rotation", "variable"))


def test_real_videos_of_mixed_sizes_and_codecs_are_described_as_ffmpeg_does(shared_data):
    videos = {path.stem: path for path in sorted((shared_data / "pose2sim").glob("*.mp4"))}
    found = probe_capture(videos, {}, ALL)
    for name, path in videos.items():
        command = [imageio_ffmpeg.get_ffmpeg_exe(), "-i", str(path)]
        said = subprocess.run(command, capture_output=True, text=True).stderr
        codec, width, height, fps = re.search(r"Video: (\w+).*?, (\d+)x(\d+).*?, ([\d.]+) fps", said).groups()
        camera = found["cameras"][name]
        told = (camera["codec"], camera["width"], camera["height"], camera["fps"], camera["frames"])
        assert told == (codec, int(width), int(height), float(fps), 100)
        assert not camera["variable"]
    assert found["notes"] == ["cameras of different size: 2 of 1088x1920, 2 of 1080x1920."] or found["notes"] == [
        "cameras of different size: 2 of 1080x1920, 2 of 1088x1920."
    ]


# ---------------------------------------------------------------------------------------------- bad input


def test_a_missing_video_is_named(tmp_path, good):
    refused(tmp_path / "gone.mp4", r"gone\.mp4: video not found.*`cameras`", good)


@pytest.mark.parametrize("content", ["nothing", "text", "no index"])
def test_an_unreadable_video_is_named_with_its_size(tmp_path, good, content):
    whole = good.read_bytes()
    data = {"nothing": b"", "text": b"not a video\n" * 99, "no index": whole[: whole.index(b"moov")]}[content]
    (tmp_path / "bad.mp4").write_bytes(data)
    refused(tmp_path / "bad.mp4", rf"bad\.mp4: cannot be read as a video \(.*{len(data)} bytes\).*again", good)


def test_a_file_of_sound_only_is_named(tmp_path, good):
    ffmpeg_cli("-f", "lavfi", "-i", "sine=duration=0.1", str(tmp_path / "sound.mp4"))
    refused(tmp_path / "sound.mp4", r"sound\.mp4: no video stream in it \(sound only", good)


def noise_video(path):
    """12 frames, each with its share of the file, the index in front."""
    noise = np.random.default_rng(0).integers(0, 256, (12, 48, 64, 3), dtype=np.uint8)
    raw = ("-f", "rawvideo", "-pix_fmt", "rgb24", "-s", "64x48", "-framerate", "30", "-i", "pipe:")
    ffmpeg_cli(*raw, *H264, "-bf", "0", "-movflags", "+faststart", str(path), data=noise.tobytes())
    return path


@pytest.mark.parametrize("tail", ["missing", "zeros"])
def test_frames_whose_data_are_missing_from_the_tail_are_noticed(tmp_path, tail):
    whole, cut = noise_video(tmp_path / "whole.mp4"), tmp_path / "cut.mp4"
    content = whole.read_bytes()
    half = len(content) // 2
    cut.write_bytes(content[:half] + (bytes(len(content) - half) if tail == "zeros" else b""))
    refused(
        cut,
        r"cut\.mp4: cut short or damaged: of its 12 frames the first \d can be used.*again.*frames\.count",
        whole,
    )
    left = probe_camera(cut)["frames"]
    assert 2 <= left < 12
    with pytest.raises(UserError, match=rf"cam01 has {left} .*cut\.mp4.*needs 12"):
        probe_capture({"cam00": whole, "cam01": cut}, {}, ALL | {"count": 12})
    found = probe_capture({"cam00": whole, "cam01": cut}, {}, ALL | {"count": left})
    assert found["notes"] == [
        f"cam01: the file is cut short or damaged: of its 12 frames the first {left} can be used."
    ]
    assert len(list(read_frames(cut, list(range(left))))) == left


def test_frames_after_a_hole_amid_the_file_are_not_used(tmp_path, good):
    video = noise_video(tmp_path / "hole.mp4")
    content = video.read_bytes()
    half, more = len(content) // 2, len(content) // 4
    video.write_bytes(content[:half] + bytes(more) + content[half + more :])
    refused(video, r"hole\.mp4: cut short or damaged: of its 12 frames the first [3-6] can be used", good)


def test_black_raw_video_is_no_hole(tmp_path):
    raw = ("-f", "rawvideo", "-pix_fmt", "rgb24", "-s", "64x48", "-framerate", "30", "-i", "pipe:")
    ffmpeg_cli(*raw, "-c:v", "rawvideo", "-pix_fmt", "bgr24", str(tmp_path / "a.avi"), data=bytes(5 * 64 * 48 * 3))
    assert probe_camera(tmp_path / "a.avi")["frames"] == 5


def test_a_folder_without_images_and_one_of_unread_kinds_are_named(tmp_path, good):
    (tmp_path / "empty").mkdir()
    refused(tmp_path / "empty", "empty: a folder without images", good)
    images = folder(tmp_path / "frames", 3)
    (images / "4.heic").touch()
    refused(images, r"4\.heic: .*not read.*heif-convert", good)


def test_frames_of_different_sizes_in_one_folder_are_named(tmp_path, good):
    images = folder(tmp_path / "cam", [grey(0), grey(1, (30, 20)), grey(2)])
    refused(images, r"2\.png: 30x20 pixels, expected 64x48", good)


def test_a_frame_that_is_no_image_is_named(tmp_path, good):
    images = folder(tmp_path / "cam", 3)
    (images / "2.png").write_bytes(b"PNG?")
    refused(images, r"2\.png: cannot be read as an image", good)


def test_two_files_for_one_frame_are_refused(tmp_path, good):
    images = folder(tmp_path / "cam", 3)
    Image.fromarray(grey(1)).save(images / "2.jpg")
    refused(images, r"2\.jpg and .*2\.png: two files for one frame", good)


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_a_missing_photo_and_one_cut_short_are_named(tmp_path, good, suffix):
    videos = {"a": good, "b": good}
    with pytest.raises(UserError, match=r"gone\.png: photo not found.*`photo_files`"):
        probe_capture(videos, {"gone": tmp_path / "gone.png"}, ALL)
    photo = tmp_path / f"cut{suffix}"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (200, 200, 3), dtype=np.uint8)).save(photo)
    photo.write_bytes(photo.read_bytes()[: photo.stat().st_size // 2])
    with pytest.raises(UserError, match=r"cut\....: cannot be read as an image"):
        probe_capture(videos, {"cut": photo}, ALL)


def test_photos_of_different_size_go_in_upright_and_are_noted(tmp_path):
    sizes = [(40, 30), (40, 30), (30, 40), (50, 20)]
    photos = {str(i): tmp_path / f"{i}.png" for i in range(4)}
    for path, size in zip(photos.values(), sizes, strict=True):
        Image.fromarray(grey(1, size)).save(path)
    tags = Image.Exif()
    tags[0x0112] = 6
    Image.fromarray(grey(1, (40, 30))).save(photos["2"], exif=tags)
    found = probe_capture({}, photos, ALL)
    assert [(p["width"], p["height"]) for p in found["photos"].values()] == sizes
    assert [read_image(path).shape[1::-1] for path in photos.values()] == sizes
    assert found["notes"] == ["photos of different size: 2 of 40x30, 1 of 30x40, 1 of 50x20."]


def test_one_video_camera_only_is_refused_and_so_is_nothing_at_all(tmp_path):
    with pytest.raises(UserError, match=r"one camera only: .*at least two training cameras, or"):
        probe_capture({"cam00": tmp_path / "cam00.mp4"}, {"p": tmp_path / "p.png"}, ALL)
    with pytest.raises(UserError, match=r"0 videos and 0 photos found.*`videos` and `photos`"):
        probe_capture({}, {}, ALL)


# ------------------------------------------------------------------------------------------------ lengths


def test_a_video_with_fewer_frames_than_the_others_is_named_with_its_count(tmp_path):
    cameras = {f"cam0{i}": clip(tmp_path / f"cam0{i}.mp4", 7 if i == 1 else 10) for i in range(4)}
    expected = r"cam01 has 7 \(.*cam01\.mp4\), expected 10 frames as most others have.*rim.*`frames\.count` to 7"
    with pytest.raises(UserError, match=expected):
        probe_capture(cameras, {}, ALL)
    with pytest.raises(UserError, match=r"cam01 has 7 .*selection needs 8.*`frames\.count` to 3"):
        probe_capture(cameras, {}, ALL | {"start": 1, "count": 4, "step": 2})
    found = probe_capture(cameras, {}, ALL | {"count": 4, "step": 2})
    assert found["cameras"]["cam01"]["frames"] == 7


def test_a_video_with_more_frames_than_the_others_is_named_too(tmp_path):
    cameras = {f"cam0{i}": clip(tmp_path / f"cam0{i}.mp4", 9 if i == 1 else 5) for i in range(3)}
    with pytest.raises(UserError, match=r"cam01 has 9 .*expected 5 frames.*first 5 of each"):
        probe_capture(cameras, {}, ALL)


def test_a_selection_beyond_every_video_says_so(tmp_path):
    cameras = {f"cam0{i}": clip(tmp_path / f"cam0{i}.mp4", 5) for i in range(2)}
    with pytest.raises(UserError, match=r"start 2, count 4, step 1 needs 6 frames, but the longest video has 5"):
        probe_capture(cameras, {}, ALL | {"start": 2, "count": 4})


def test_offsets_of_cameras_that_are_not_in_use_are_no_mistake(good):
    options = ALL | {"offsets": {"cam09": 3}}
    assert probe_capture({"cam00": good, "cam01": good}, {}, options, ["cam00", "cam01", "cam09"])["fps"] == 30
    with pytest.raises(UserError, match="there is no camera cam09; there are cam00, cam01"):
        probe_capture({"cam00": good, "cam01": good}, {}, options)


def test_lengths_are_compared_on_the_common_timeline(tmp_path):
    cameras = {f"cam0{i}": clip(tmp_path / f"cam0{i}.mp4", 40) for i in range(3)}
    offsets = {"offsets": {"cam00": -7, "cam02": 12}}
    with pytest.raises(UserError, match=r"cam01 has 33 .*cam02 has 21 .*`frames\.count` to 21"):
        probe_capture(cameras, {}, ALL | offsets)
    assert probe_capture(cameras, {}, ALL | offsets | {"count": 21})["fps"] == 30
    with pytest.raises(UserError, match=r"cam02 has 21 .*needs 22"):
        probe_capture(cameras, {}, ALL | offsets | {"count": 22})
    # 2 seconds each, whatever the rate.
    cameras = {"a": clip(tmp_path / "a.mp4", 50, rate="25"), "b": clip(tmp_path / "b.mp4", 60)}
    found = probe_capture(cameras, {}, ALL)
    assert found["fps"] == 25
    assert found["notes"][0].startswith("the videos' rates differ (a 25, b 30 frames per second)")
