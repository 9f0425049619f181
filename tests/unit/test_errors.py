"""Errors of users come in kinds, which say who can mend them: the settings, the capture, a file, the machine."""

import errno
from pathlib import Path

import numpy as np
import pytest

from mixdepth.errors import CaptureError, ConfigurationError, DamagedFile, OutOfRoom
from mixdepth.exports.kinds import check_kind
from mixdepth.files.images import image_size
from mixdepth.files.io import atomic, read_json, read_npy, reading
from mixdepth.frames.decode import read_frames
from mixdepth.frames.timing import Timeline
from mixdepth.workflow.out_of_memory import memory_errors


def test_a_setting_that_cannot_be_is_one_of_the_configuration(tmp_path):
    selection = {"start": 0, "count": 1, "step": 1, "fps": None, "offsets": {"cam09": 1}}
    with pytest.raises(ConfigurationError, match="no camera cam09"):
        Timeline.of({}, selection)
    with pytest.raises(ConfigurationError, match="no export"):
        check_kind("mp3")


def test_what_the_capture_lacks_is_one_of_the_capture(tmp_path):
    for look in (image_size, lambda path: list(read_frames(path, [0]))):
        with pytest.raises(CaptureError, match="not found"):
            look(tmp_path / "gone.jpg")


def test_a_file_that_is_not_what_it_should_be_is_damaged(tmp_path):
    path = tmp_path / "f"
    path.write_bytes(b"nothing of the kind")
    for look in (image_size, read_json, read_npy, lambda path: list(read_frames(path, [0]))):
        with pytest.raises(DamagedFile, match="cannot be read as"):
            look(path)


def test_no_space_and_no_memory_are_no_room(tmp_path):
    with pytest.raises(OutOfRoom, match="no space left"), atomic(tmp_path / "f"):
        raise OSError(errno.EDQUOT, "quota")
    named = r"^render: out of memory \(f: cannot be read as npz file"
    with pytest.raises(OutOfRoom, match=named), memory_errors("render"), reading(Path("f"), "npz file"):
        raise MemoryError
    with pytest.raises(OutOfRoom, match="no space left"), memory_errors("render"), atomic(tmp_path / "f"):
        raise OSError(errno.ENOSPC, "full")
    with pytest.raises(OutOfRoom, match=r"^render: out of memory"), memory_errors("render"):
        np.empty(1 << 60, np.uint8)
