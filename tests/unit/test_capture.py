"""Which file is which camera, and which photos there are."""

import re
import subprocess
import sys
import unicodedata
from pathlib import Path

import pytest

from mixdepth.errors import UserError
from mixdepth.files.kinds import images_in, masks_among
from mixdepth.scene.capture import find_photos, find_videos, unused_files
from mixdepth.scene.config import load_config


def touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def test_every_video_and_folder_of_images_is_a_camera_sorted_by_name(tmp_path):
    v = tmp_path / "videos"
    touch(v / "cam02.mp4", v / "cam01" / "0001.PNG", v / "3" / "a.jpg", v / "10.MOV", v / "left.webm")
    touch(v / "notes.txt", v / "empty" / "readme.md", v / ".cam09.mp4", v / ".cache" / "1.png", v / "cam05" / ".1.png")
    assert find_videos(tmp_path, "videos", None) == {
        "cam01": str(v / "cam01"),
        "cam02": str(v / "cam02.mp4"),
        "cam03": str(v / "3"),
        "cam10": str(v / "10.MOV"),
        "left": str(v / "left.webm"),
    }


def test_relative_paths_stay_relative(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    touch(Path("data/x/videos/cam00.mp4"), Path("data/x/photos/p.jpg"))
    assert find_videos(Path("data/x"), "videos", None) == {"cam00": "data/x/videos/cam00.mp4"}
    assert find_photos(Path("data/x"), "photos", None, []) == {"p": "data/x/photos/p.jpg"}


def test_a_capture_without_the_folders_has_no_videos_and_no_photos(tmp_path):
    assert find_videos(tmp_path, "videos", None) == {}
    assert find_photos(tmp_path, "photos", None, []) == {}


def test_two_entries_for_one_camera_are_refused_by_name(tmp_path):
    v = tmp_path / "videos"
    touch(v / "cam03.mp4", v / "03" / "1.png")
    with pytest.raises(UserError, match=r"03 and .*cam03\.mp4 are both camera cam03"):
        find_videos(tmp_path, "videos", None)
    with pytest.raises(UserError, match="are both camera cam03"):
        find_videos(tmp_path, "videos", ["cam03"])


def test_named_cameras_are_found_in_any_form_and_expected_as_mp4_where_they_do_not_exist_yet(tmp_path):
    v = tmp_path / "videos"
    touch(v / "cam00.mkv", v / "1" / "1.png", v / "cam02" / "none.txt", v / "cam05.mp4", v / "cam04.txt")
    assert find_videos(tmp_path, "videos", ["cam04", "cam02", "cam01", "cam00"]) == {
        "cam00": str(v / "cam00.mkv"),
        "cam01": str(v / "1"),
        "cam02": str(v / "cam02"),
        "cam04": str(v / "cam04.mp4"),
    }
    assert find_videos(tmp_path / "not yet", "videos", ["cam00"]) == {"cam00": f"{tmp_path}/not yet/videos/cam00.mp4"}


def test_a_map_says_where_each_camera_is(tmp_path):
    found = find_videos(tmp_path, "videos", {"cam01": "b/take.mp4", "0": "a"})
    assert found == {"cam00": str(tmp_path / "a"), "cam01": str(tmp_path / "b/take.mp4")}
    assert list(found) == ["cam00", "cam01"]


def test_photos_are_found_by_stem_without_the_excluded_and_the_hidden(tmp_path):
    p = tmp_path / "photos"
    touch(p / "b.JPG", p / "a.png", p / "cam00.png", p / ".hidden.png", p / "a.txt")
    assert find_photos(tmp_path, "photos", None, ["cam00"]) == {
        "a": str(p / "a.png"),
        "b": str(p / "b.JPG"),
    }


def test_listed_photos_need_not_exist_yet(tmp_path):
    found = find_photos(tmp_path, "photos", ["z.jpg", "a.png", "cam00.png"], ["cam00"])
    assert found == {"a": str(tmp_path / "photos/a.png"), "z": str(tmp_path / "photos/z.jpg")}


def test_two_photos_of_one_stem_are_refused_by_name_unless_excluded(tmp_path):
    touch(tmp_path / "photos/a.png", tmp_path / "photos/a.jpg")
    with pytest.raises(UserError, match=r"a\.jpg and .*a\.png are both photo a"):
        find_photos(tmp_path, "photos", None, [])
    assert find_photos(tmp_path, "photos", None, ["a"]) == {}


def test_photos_that_cannot_be_read_are_refused_with_commands_rather_than_skipped(tmp_path):
    touch(tmp_path / "photos/IMG 1.HEIC", tmp_path / "photos/b.jpg", tmp_path / "photos/c.txt")
    commands = r"`heif-convert 'IMG 1\.HEIC' 'IMG 1\.jpg'`, `sips .*`magick mogrify -format jpg \*\.HEIC`"
    with pytest.raises(UserError, match=rf"IMG 1\.HEIC: images of the kind \.HEIC are not read.*{commands}"):
        find_photos(tmp_path, "photos", None, [])
    assert find_photos(tmp_path, "photos", None, ["IMG 1"]) == {"b": str(tmp_path / "photos/b.jpg")}
    with pytest.raises(UserError, match=r"d\.dng: .*not read.*darktable-cli d\.dng d\.jpg"):
        find_photos(tmp_path, "photos", ["d.dng"], [])


def test_a_photo_that_lies_there_converted_too_is_not_refused(tmp_path):
    touch(tmp_path / "photos/a.heic", tmp_path / "photos/a.jpg", tmp_path / "photos/b.CR2", tmp_path / "photos/b.PNG")
    assert list(find_photos(tmp_path, "photos", None, [])) == ["a", "b"]


def test_a_folder_of_frames_that_cannot_be_read_is_a_camera_and_not_overlooked(tmp_path):
    folder = tmp_path / "videos/cam00"
    touch(folder / "1.heic", folder / "2.heic")
    assert find_videos(tmp_path, "videos", None) == {"cam00": str(folder)}
    with pytest.raises(UserError, match=r"1\.heic: .*not read"):
        images_in(folder)
    touch(folder / "1.jpg", folder / "2.jpg", folder / ".3.jpg")
    assert images_in(folder) == [folder / "1.jpg", folder / "2.jpg"]


CONTAINERS = (
    "mp4 m4v mp4v MOV 3gp mkv webm avi ts TS mts M2TS mpg mpeg vob mxf wmv asf flv y4m h264 264 hevc h265 265".split()  # noqa: SIM905
)


@pytest.mark.parametrize("suffix", CONTAINERS)
def test_containers_are_videos_whatever_the_case_of_their_suffix(tmp_path, suffix):
    touch(tmp_path / f"videos/cam00.{suffix}", tmp_path / "videos/cam01.mp4")
    for names in (None, ["cam00", "cam01"]):
        assert find_videos(tmp_path, "videos", names)["cam00"] == str(tmp_path / f"videos/cam00.{suffix}")


# ------------------------------------------------------------------------------ parts, folders, and what is not used


@pytest.mark.parametrize(
    ("one", "two", "other"),
    [
        ("GX010034.MP4", "GX020034.MP4", "GX010071.MP4"),
        ("GOPR0034.MP4", "GP010034.MP4", "GOPR0071.MP4"),
        ("cam00_GX010034.MP4", "cam00_GX020034.MP4", "cam01_GX010034.MP4"),
        ("left_part1.mp4", "left_part2.mp4", "right_part1.mp4"),
        ("cam00 chapter 1.mov", "cam00 chapter 2.mov", "cam01.mov"),
    ],
)
def test_parts_of_one_recording_are_refused_by_name(tmp_path, one, two, other):
    v = tmp_path / "videos"
    touch(v / one, v / other)
    assert len(find_videos(tmp_path, "videos", None)) == 2
    touch(v / two)
    expected = rf"{re.escape(one)}, {re.escape(two)} are parts of one recording.*ffmpeg -f concat.*`cameras: {{cam00: "
    with pytest.raises(UserError, match=expected):
        find_videos(tmp_path, "videos", None)
    assert find_videos(tmp_path, "videos", {"a": f"videos/{one}"}) == {"a": str(v / one)}
    # In a folder of their own as well.
    (v / "cam07").mkdir()
    for name in (one, two):
        (v / name).rename(v / "cam07" / name)
    for cameras in (None, ["cam07"], {"b": "videos/cam07"}):
        with pytest.raises(UserError, match=expected):
            find_videos(tmp_path, "videos", cameras)


def test_a_video_or_frames_one_level_down_are_the_cameras(tmp_path):
    v = tmp_path / "videos"
    touch(v / "cam00/GX010001.MP4", v / "cam00/GX010001.THM", v / "cam00/GX010001.jpg", v / "cam01/images/0000.png")
    touch(v / "cam01/masks/0000.png", v / "cam02/images/0.jpg", v / "cam02/images_2/0.jpg", v / "cam02/images_4/0.jpg")
    found = {
        "cam00": str(v / "cam00/GX010001.MP4"),
        "cam01": str(v / "cam01/images"),
        "cam02": str(v / "cam02/images"),
    }
    for cameras in (None, ["cam00", "1", "cam02"], {f"cam0{i}": f"videos/cam0{i}" for i in range(3)}):
        assert find_videos(tmp_path, "videos", cameras) == found


@pytest.mark.parametrize("names", [("a.mp4", "b.mp4"), ("one/0.png", "two/0.png")])
def test_a_folder_with_several_of_them_is_refused(tmp_path, names):
    touch(*(tmp_path / "videos/cam03" / name for name in names))
    first, second = (name.split("/")[0] for name in names)
    with pytest.raises(UserError, match=rf"cam03: 2 videos or folders of frames \({first}, {second}\), expected one"):
        find_videos(tmp_path, "videos", None)


def test_masks_beside_videos_and_what_tools_make_of_them_are_no_cameras(tmp_path):
    touch(tmp_path / "cam00.mp4", tmp_path / "cam01.mp4", tmp_path / "cam01_mask.mp4", tmp_path / "cam00_depth/0.png")
    touch(tmp_path / "images/0.png", tmp_path / "colmap_0/0.png", tmp_path / "frames_1/0.png", tmp_path / "masks/0.png")
    assert list(find_videos(tmp_path, ".", None)) == ["cam00", "cam01"]
    touch(tmp_path / "b" / "frames_1" / "0.png", tmp_path / "b" / "frames_2" / "0.png")
    assert list(find_videos(tmp_path, "b", None)) == ["frames_1", "frames_2"]


def test_a_link_that_leads_nowhere_is_named_with_its_target(tmp_path):
    touch(tmp_path / "videos/cam00.mp4", tmp_path / "photos/a.jpg")
    for link in ("videos/cam03.mp4", "videos/cam04", "photos/b.jpg"):
        (tmp_path / link).symlink_to("/media/disk/away")
        with pytest.raises(UserError, match=rf"{link} is a link to /media/disk/away, which is not there"):
            find_videos(tmp_path, "videos", None) if "videos" in link else find_photos(tmp_path, "photos", None, [])
        (tmp_path / link).unlink()


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_accents_are_one_character_whatever_wrote_them(tmp_path, form):
    written = unicodedata.normalize(form, "küche")
    touch(*(tmp_path / f"videos/{name}.mp4" for name in (written, "a", "b")), tmp_path / f"photos/{written}1.jpg")
    for config in ("NFC", "NFD"):
        name = unicodedata.normalize(config, "küche")
        options = {"data": str(tmp_path), "test_cameras": [name], "video_camera": name, "exclude_photos": [f"{name}1"]}
        found = load_config({"scenes": {"x": options}})["x"]
        assert (found.test_cameras, found.video_camera, found.photos) == (["küche"], "küche", {})
        assert find_videos(tmp_path, "videos", [name, "b"])["küche"] == str(tmp_path / f"videos/{written}.mp4")


def test_photos_one_level_down_are_found_where_there_are_none_above(tmp_path):
    p = tmp_path / "photos"
    touch(
        p / "day1/a.jpg",
        p / "day1/a_mask.png",
        p / "day2/b.jfif",
        p / "day2/c.JPE",
        p / "day2/d.mpo",
        p / "masks/a.png",
    )
    assert find_photos(tmp_path, "photos", None, ["c.JPE"]) == {
        "a": str(p / "day1/a.jpg"),
        "b": str(p / "day2/b.jfif"),
        "d": str(p / "day2/d.mpo"),
    }
    touch(p / "e.jpg")
    assert list(find_photos(tmp_path, "photos", None, [])) == ["e"]


@pytest.mark.parametrize("suffix", ["GPR", "pef", "SRW", "nrw", "gif", "psd"])
def test_other_kinds_of_pictures_are_refused_rather_than_passed_over(tmp_path, suffix):
    touch(tmp_path / "photos/a.jpg", tmp_path / f"photos/GOPR1.{suffix}")
    with pytest.raises(UserError, match=rf"GOPR1\.{suffix}: .*not read.*`magick"):
        find_photos(tmp_path, "photos", None, [])


def test_exclude_photos_understands_stem_and_name_and_refuses_what_is_not_there(tmp_path):
    touch(tmp_path / "photos/IMG_0.jpg", tmp_path / "photos/IMG_1.jpg")
    for entry in ("IMG_0", "IMG_0.jpg"):
        assert list(find_photos(tmp_path, "photos", None, [entry])) == ["IMG_1"]
        assert list(find_photos(tmp_path, "photos", ["IMG_0.jpg", "IMG_1.jpg"], [entry])) == ["IMG_1"]
    for entry in ("IMG_2", "IMG_0.png", "img_0"):
        with pytest.raises(
            UserError, match=rf'exclude_photos: nothing in .*photos is called "{entry}"; there are IMG_0'
        ):
            find_photos(tmp_path, "photos", None, [entry])


def test_everything_that_is_not_used_is_listed_with_its_reason(tmp_path):
    v, p = tmp_path / "videos", tmp_path / "photos"
    touch(*(v / f"cam00.{suffix}" for suffix in ("mp4", "LRV", "THM", "srt", "wav")), v / "cam01.mp4", v / "cam02.mp4")
    touch(v / "cam01_mask.mp4", v / "cam03/0.png", v / "cam03/0_mask.png", v / "cam03/0.txt", v / "empty/readme.md")
    touch(v / "cam04/images/0.png", v / "cam04/notes.txt", p / "a.jpg", p / "b.jpg", p / "cam00.jpg", p / "more/c.jpg")
    touch(tmp_path / "left.mp4", tmp_path / "poses_bounds.npy", tmp_path / ".hidden", tmp_path / "old/cam00.mp4")
    options = {"data": str(tmp_path), "exclude_photos": ["b.jpg"], "poses": {"source": "llff"}}
    options["train_cameras"] = ["cam01", "cam03", "cam04"]
    found = unused_files(load_config({"scenes": {"x": options}})["x"])
    assert {path.removeprefix(f"{tmp_path}/"): reason for path, reason in found.items()} == {
        "left.mp4": "no setting names it",
        "old": "no setting names it",
        "photos/b.jpg": "in `exclude_photos`",
        "photos/cam00.jpg": "has the pose of a held-out camera",
        "photos/more": "a folder beside files that are used, or without pictures",
        "videos/cam00.LRV": "a camera's small copy of a video",
        "videos/cam00.THM": "a small preview picture",
        "videos/cam00.srt": "subtitles",
        "videos/cam00.wav": "sound",
        "videos/cam01_mask.mp4": "masks or the like of cam01",
        "videos/cam02.mp4": "neither trains nor is held out",
        "videos/cam03/0.txt": "no video and no picture by its name",
        "videos/cam03/0_mask.png": "a mask or the like of 0",
        "videos/cam04/notes.txt": "no video and no picture by its name",
        "videos/empty": "a folder without a video and without frames",
    }


def test_words_in_names_make_masks_only_of_what_lies_beside_its_picture():
    assert masks_among(["rgb_0001", "depth_0001", "0002", "0002_mask_3", "0003.jpg", "3"]) == {
        "depth_0001": "rgb_0001",
        "0002_mask_3": "0002",
        "0003.jpg": "3",
    }
    for names in (
        ["mask_1", "mask_2"],
        ["alpha", "beta"],
        ["wall", "wall_normal_light"],
        ["a1", "a2"],
        ["depth", "left"],
    ):
        assert masks_among(names) == {}


def test_finding_a_capture_needs_the_standard_library_only():
    code = "import sys, mixdepth.scene.capture; assert not {'numpy', 'torch', 'av', 'PIL'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
