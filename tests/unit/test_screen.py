"""The live view's window: cameras within bounds, and pictures put together."""

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from mixdepth.cameras.camera import Camera
from mixdepth.viewer.screen import FARTHEST, enlarged, eye_of, seen_from, tiled

SENT = {"wxyz": [1, 0, 0, 0], "position": [1, 2, 3], "fov": math.pi / 2, "image_width": 640, "image_height": 480}


def seen(lines: int = 240, **sent: Any) -> Camera | None:
    return seen_from(SimpleNamespace(**{**SENT, **sent}), lines)


def test_a_page_is_seen_from_where_it_says_with_no_more_rows_than_there_are() -> None:
    camera = seen()
    assert (camera.width, camera.height) == (320, 240)
    assert (camera.fx, camera.fy, camera.cx, camera.cy) == pytest.approx((120, 120, 160, 120))
    assert camera.c2w.tolist() == [[1, 0, 0, 1], [0, 1, 0, 2], [0, 0, 1, 3], [0, 0, 0, 1]]
    assert (seen(image_height=100, image_width=50).height, seen(image_height=100, image_width=50).width) == (100, 50)
    # A quarter of a turn about y, not normalised: the camera looks along x.
    turned = seen(wxyz=[7, 0, 7, 0]).c2w
    assert turned[:3, 2] == pytest.approx([1, 0, 0])
    assert turned[:3, 1] == pytest.approx([0, 1, 0])


@pytest.mark.parametrize(
    "sent",
    [
        {"wxyz": [0, 0, 0, 0]},
        {"wxyz": [math.nan, 0, 0, 1]},
        {"wxyz": [math.inf, 0, 0, 1]},
        {"wxyz": [1, 0, 0]},
        {"wxyz": ["a", "b", "c", "d"]},
        {"wxyz": None},
        {"position": [0, 0]},
        {"position": [0, 0, -math.inf]},
        {"position": [[0, 0, 0]]},
        {"fov": math.nan},
        {"fov": "wide"},
        {"image_width": None},
        {"image_height": [1, 2]},
        {"image_height": {}},
    ],
)
def test_what_is_no_camera_is_none(sent: dict) -> None:
    assert seen(**sent) is None


@pytest.mark.parametrize(
    ("sent", "size"),
    [
        ({"image_width": 10**30, "image_height": 10**30}, (240, 240)),
        ({"image_width": 10**30}, (8 * 240, 240)),
        ({"image_width": -4}, (30, 240)),
        ({"image_height": 0}, (8, 1)),
        ({"fov": 1e300}, (320, 240)),
        ({"fov": -1e300}, (320, 240)),
        ({"position": [1e300, -1e300, 0]}, (320, 240)),
        ({"wxyz": [1e300, 1e300, 0, 0]}, (320, 240)),
    ],
)
def test_what_is_beyond_bounds_counts_as_the_bound(sent: dict, size: tuple[int, int]) -> None:
    camera = seen(**sent)
    assert (camera.width, camera.height) == size
    assert 0 < camera.fy < 1e5
    assert np.abs(camera.centre).max() <= FARTHEST
    assert camera.c2w[:3, :3] @ camera.c2w[:3, :3].T == pytest.approx(np.eye(3))


def test_eyes_are_the_same_for_the_same_camera_alone() -> None:
    assert eye_of(seen()) == eye_of(seen())
    others = [{"position": [1, 2, 3.001]}, {"fov": 1.0}, {"image_width": 500}, {"wxyz": [1, 0.01, 0, 0]}]
    assert len({eye_of(seen()), *(eye_of(seen(**other)) for other in others)}) == 5


@pytest.mark.parametrize(
    ("count", "size", "columns"),
    [(1, (320, 240), 1), (2, (160, 240), 2), (3, (160, 120), 2), (4, (160, 120), 2)],
)
def test_tiles_show_the_same_from_top_to_bottom(count: int, size: tuple[int, int], columns: int) -> None:
    whole = seen()
    tile, found = tiled(whole, count)
    assert ((tile.width, tile.height), found) == (size, columns)
    assert tile.height / tile.fy == pytest.approx(whole.height / whole.fy)
    assert (tile.cx, tile.cy) == (size[0] / 2, size[1] / 2)


@pytest.mark.parametrize("stride", [1, 3, 9])
def test_a_coarse_picture_lies_where_the_sharp_one_does(stride: int) -> None:
    sharp = np.zeros((40, 50, 3), np.uint8)
    sharp[..., 0], sharp[..., 1] = np.arange(50) * 5, np.arange(40)[:, None] * 6
    middles = slice(stride // 2, None, stride)
    found = np.asarray(enlarged(sharp[middles, middles], stride, (50, 40)))
    assert found.shape == sharp.shape
    inside = slice(stride, 40 - stride), slice(stride, 50 - stride)
    assert np.abs(found[inside].astype(int) - sharp[inside]).max() <= 1
