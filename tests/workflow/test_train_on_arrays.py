"""examples/train_on_arrays.py runs, and shows what it says."""

import runpy
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from helpers.checkout import REPOSITORY


def test_arrays_become_a_picture_and_its_depth(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    picture = tmp_path / "picture.png"
    monkeypatch.setattr("sys.argv", ["train_on_arrays.py", str(picture)])
    made = runpy.run_path(str(REPOSITORY / "examples/train_on_arrays.py"))
    seen, truth = np.asarray(Image.open(picture), float), made["photo"](made["camera_at"](0.0)).astype(float)
    assert np.sqrt(np.mean((seen - truth) ** 2)) < 13  # more than 26 dB
    assert abs(np.median(made["view"].depth) - 4) < 0.2
