"""Which file is which camera, and which photos there are."""

import subprocess
import sys
from pathlib import Path

import pytest

from mixdepth.errors import UserError
from mixdepth.files.kinds import images_in
from mixdepth.scene.capture import find_photos, find_videos


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


@pytest.mark.parametrize("suffix", [".mts", ".M2TS", ".mpg", ".3gp", ".mxf"])
def test_containers_of_camcorders_are_videos(tmp_path, suffix):
    touch(tmp_path / f"videos/cam00{suffix}")
    assert list(find_videos(tmp_path, "videos", None)) == ["cam00"]


def test_finding_a_capture_needs_the_standard_library_only():
    code = "import sys, mixdepth.scene.capture; assert not {'numpy', 'torch', 'av', 'PIL'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
