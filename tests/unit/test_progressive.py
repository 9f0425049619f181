"""A model seen from a place that may change: coarse pictures first, the last one as the renders have it."""

from pathlib import Path

import numpy as np
import pytest

from helpers.camera_paths import lay_out
from mixdepth.cameras.camera import Camera, load_cameras
from mixdepth.rendering import progressive
from mixdepth.rendering.progressive import Model, View, steps
from mixdepth.rendering.tasks import render_path

SEGMENTS = [[0, 5], [3, 8]]  # frames 3 and 4 fade from one into the other


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Model:
    lay_out(tmp_path, SEGMENTS)
    monkeypatch.setattr(progressive, "ON_CPU", 40 * 20)  # of 20 samples a ray: 40 rays at once
    monkeypatch.setattr(progressive, "FIRST", 0.0)  # begin as coarsely as can be
    return Model(tmp_path / "none/model.safetensors", tmp_path / "space.json")


@pytest.fixture
def camera(tmp_path: Path, model: Model) -> Camera:
    return load_cameras(tmp_path / "cameras.json")["cam00"]


@pytest.fixture
def traced(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many rays have been traced, part by part."""
    counts, trace = [], progressive.trace

    def counting(*given):
        counts.append(len(given[4]))  # their pixels
        return trace(*given)

    monkeypatch.setattr(progressive, "trace", counting)
    return counts


def strides(view: View, at: float) -> list[int]:
    return [picture.stride for picture in view.pictures(at) if picture]


@pytest.mark.parametrize("size", [(48, 64), (5, 7), (1, 1), (100, 2), (1, 90)])
@pytest.mark.parametrize("most", [0, 60, 10**6])
def test_every_pixel_is_traced_once_and_the_middles_of_the_squares_first(size: tuple[int, int], most: int) -> None:
    found = [*steps(*size, most)]
    assert [stride for stride, _ in found] == [27, 9, 3, 1][4 - len(found) :]
    assert sorted(np.concatenate([pixels for _, pixels in found])) == [*range(size[0] * size[1])]
    seen = np.zeros(size, bool)
    for stride, pixels in found:
        seen.flat[pixels] = True
        rows, columns = np.nonzero(seen)
        assert {*(rows % stride), *(columns % stride)} == {stride // 2}
    assert len(found[0][1]) <= most or len(found) == len([s for s in progressive.STRIDES if s // 2 < min(size)])


@pytest.mark.parametrize("at", [0, 2, 2.5, 3, 4, 6.25, 7])
def test_the_last_picture_is_what_a_path_renders_and_the_coarser_ones_are_parts_of_it(
    tmp_path: Path, model: Model, camera: Camera, at: float
) -> None:
    scene = lay_out(tmp_path, SEGMENTS, still={"kind": "camera", "time": "freeze", "at": at, "frames": 1})
    files = {name: tmp_path / f"{name}.json" for name in ("cameras", "space", "capture")}
    render_path(scene, "none", "still", model=model.file, output=tmp_path / "path", **files)
    rgb, depth = (np.load(tmp_path / "path" / f"{name}.npy")[0] for name in ("rgb", "depth"))
    found = [picture for picture in View(model, camera).pictures(at) if picture]
    assert [picture.stride for picture in found] == [9, 3, 1]
    for picture in found:
        middles = slice(picture.stride // 2, None, picture.stride)
        assert np.abs(picture.rgb.astype(int) - rgb[middles, middles]).max() <= 1  # rounding
        assert picture.depth == pytest.approx(depth[middles, middles], rel=1e-3)
    assert (found[-1].rgb == rgb).mean() > 0.999


def test_times_beyond_the_capture_show_its_ends(model: Model, camera: Camera) -> None:
    view = View(model, camera)
    for beyond, end in ((-3, 0), (99, 7)):
        assert ([*view.pictures(beyond)][-1].rgb == [*view.pictures(end)][-1].rgb).all()


def test_the_faster_it_goes_the_finer_is_the_first_picture(
    model: Model, camera: Camera, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progressive, "FIRST", 0.2)
    found = []
    for speed in (10, 200, 1000):  # rays a second
        model.speeds.extend([speed] * progressive.LATELY)
        found.append(strides(View(model, camera), 0))
    assert found == [[9, 3, 1], [3, 1], [1]]


def test_another_time_traces_nothing_again_and_shows_the_sharp_picture_at_once(
    model: Model, camera: Camera, traced: list[int]
) -> None:
    view = View(model, camera)
    first = [*view.pictures(0)][-1]
    assert sum(traced) == 16 * 12
    assert strides(view, 1) == [1]
    again = [*view.pictures(0)][-1]
    assert sum(traced) == 16 * 12
    assert (again.rgb == first.rgb).all()


def test_a_time_that_changes_meanwhile_goes_on_where_the_last_one_stopped(
    model: Model, camera: Camera, traced: list[int]
) -> None:
    view = View(model, camera)
    for picture in view.pictures(0):
        if picture and picture.stride == 3:
            break
    assert sum(traced) == 4 * 5
    assert strides(view, 1) == [3, 1]
    assert sum(traced) == 16 * 12


def test_no_more_is_kept_than_there_is_room_for_and_the_coarse_picture_first(
    model: Model, camera: Camera, traced: list[int]
) -> None:
    whole = View(model, camera)
    assert strides(whole, 0) == [9, 3, 1]
    size = sum(rays.bytes for rays in whole.kept[0])
    view = View(model, camera, room=size // 2)
    sharp = [*view.pictures(0)][-1]
    assert sum(rays.bytes for rays in view.kept[0]) <= size // 2
    del traced[:]
    assert strides(view, 1) == [3, 1]
    assert 0 < sum(traced) < 16 * 12 - 4 * 5
    assert ([*view.pictures(0)][-1].rgb == sharp.rgb).all()
