"""Files of a capture are what they are called, or refused: no other parser, program, file or address is reached."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from helpers.clips import clip
from mixdepth.errors import DamagedFile, UserError
from mixdepth.files.images import camera_tags, image_size, pixel_ratio, read_image
from mixdepth.frames.decode import open_video

EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 64 48\n%%EndComments\nshowpage\n%%EOF\n"


@pytest.mark.parametrize("kind", ["GIF", "TIFF", "BMP", "WEBP", "PPM", "TGA", "EPS"])
@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_an_image_of_another_kind_is_refused_and_starts_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, suffix: str
) -> None:
    monkeypatch.setattr("subprocess.Popen", lambda *_, **__: pytest.fail("a program was started"))
    path = tmp_path / f"photo{suffix}"
    if kind == "EPS":
        path.write_bytes(EPS)
    else:
        Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(path, kind)
    for read in (read_image, image_size):
        with pytest.raises(DamagedFile, match=r"photo\.[a-z]+: .*neither a JPEG nor a PNG"):
            read(path)
    for read in (camera_tags, pixel_ratio):
        with pytest.raises(OSError):  # noqa: PT011
            read(path)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "MPO"])
def test_jpeg_png_and_mpo_are_read(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "photo.jpg"
    Image.fromarray(np.full((8, 8, 3), 90, np.uint8)).save(path, kind)
    assert abs(read_image(path).astype(int) - 90).max() <= 2


@pytest.mark.parametrize(
    "text",
    [
        "ffconcat version 1.0\nfile other.mp4\n",
        "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nother.mp4\n#EXT-X-ENDLIST\n",
        "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 9 RTP/AVP 96\n",
        '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static"></MPD>',
    ],
    ids=["concat", "hls", "sdp", "dash"],
)
def test_a_list_of_other_files_is_no_video(tmp_path: Path, text: str) -> None:
    clip(tmp_path / "other.mp4", 3)
    (tmp_path / "cam00.mp4").write_text(text)
    with pytest.raises(UserError, match="cannot be read as a video"), open_video(tmp_path / "cam00.mp4"):
        pass


def test_an_animated_picture_is_no_video(tmp_path: Path) -> None:
    frames = [Image.fromarray(np.full((8, 8, 3), value, np.uint8)) for value in (0, 99)]
    frames[0].save(tmp_path / "cam00.mp4", "GIF", save_all=True, append_images=frames[1:])
    with pytest.raises(UserError, match="cannot be read as a video"), open_video(tmp_path / "cam00.mp4"):
        pass
