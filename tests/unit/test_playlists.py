"""Files that name other files are no videos, whatever they are called."""

import pytest

from helpers.clips import ffmpeg_cli
from mixdepth.errors import DamagedFile
from mixdepth.frames.decode import open_video


@pytest.mark.parametrize("name", ["list.mp4", "list.ffconcat"])
def test_a_playlist_is_refused_though_its_video_is_read(tmp_path, name):
    video = tmp_path / "other.mp4"
    ffmpeg_cli("-f", "lavfi", "-i", "testsrc=size=48x36:rate=10:duration=1", str(video))
    with open_video(video):
        pass
    (tmp_path / name).write_text("ffconcat version 1.0\nfile other.mp4\n")
    with pytest.raises(DamagedFile, match="cannot be read as a video"), open_video(tmp_path / name):
        pass
