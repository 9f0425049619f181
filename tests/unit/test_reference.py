"""The pictures of a camera that COLMAP may choose from, and what moves in them."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mixdepth.errors import UserError
from mixdepth.frames import motion, reference
from mixdepth.frames.reference import write_references
from mixdepth.results import Reference

WIDTH, HEIGHT, COUNT = 160, 120, 30


def written(frames: Sequence[int], moments: Sequence[int] = ()) -> list[str]:
    """The files of one camera with these frames and other moments."""
    own = [f"frame_{number:04d}.png" for number in frames] + [f"moment_{number:04d}.png" for number in moments]
    masks = [f"moving_{number:04d}.png" for number in (*frames, *moments)]
    return sorted([*own, *masks, "moving.png", "plate.png", "unsure.png"])


STILL = np.random.default_rng(0).integers(60, 200, (HEIGHT, WIDTH, 3)).astype(np.uint8)


def picture(number: int) -> np.ndarray:
    """A still wall with noise; a white square walks along its lower part, one step a frame."""
    noise = np.random.default_rng(number).integers(-2, 3, STILL.shape)
    image = (STILL + noise).astype(np.uint8)
    image[80:100, 5 * number : 5 * number + 10] = 255
    return image


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A camera as a folder of 30 images."""
    path = tmp_path_factory.mktemp("cam00")
    for number in range(COUNT):
        Image.fromarray(picture(number)).save(path / f"{number:04d}.png")
    return path


def read(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path))


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_the_plate_shows_what_stands_still_and_the_mask_what_does_not(folder, tmp_path):
    write_references(folder, range(COUNT), 2, tmp_path / "out")
    assert names(tmp_path) == ["out"]
    assert names(tmp_path / "out") == written([7, 22], [0, 29])
    np.testing.assert_array_equal(read(tmp_path / "out/frame_0007.png"), picture(7))
    assert np.abs(read(tmp_path / "out/plate.png").astype(int) - STILL).max() <= 2
    assert not read(tmp_path / "out/unsure.png").any(), "the square goes on at once"
    moving = read(tmp_path / "out/moving.png")
    assert moving.dtype == np.uint8
    assert moving.shape == (HEIGHT, WIDTH)
    assert set(np.unique(moving)) == {0, 255}
    walked = np.zeros((HEIGHT, WIDTH), bool)
    walked[80:100, 5:150] = True  # from the first sample to the last
    assert (moving[walked] == 255).all()
    assert (moving[:70] == 0).all()
    assert (moving[110:] == 0).all()
    now = read(tmp_path / "out/moving_0007.png") > 0
    assert now[80:100, 35:45].all(), "the square of this moment"
    assert now.sum() < 40 * 30, "and nothing else"


def test_frames_are_counted_in_the_selection(folder, tmp_path):
    write_references(folder, range(10, COUNT, 2), [0, 9], tmp_path / "out")
    assert names(tmp_path / "out") == written([0, 9])
    np.testing.assert_array_equal(read(tmp_path / "out/frame_0000.png"), picture(10))
    np.testing.assert_array_equal(read(tmp_path / "out/frame_0009.png"), picture(28))
    with pytest.raises(UserError, match=r"`colmap.reference_frames`: 10, 99 is not in the selection.*10 frames"):
        write_references(folder, range(10, COUNT, 2), [10, 3, 99], tmp_path / "out")


def test_more_frames_are_wanted_than_there_are(folder, tmp_path):
    write_references(folder, [4, 5], 7, tmp_path / "out")
    assert names(tmp_path / "out") == written([0, 1])


def test_one_picture_has_no_mover(folder, tmp_path):
    write_references(folder, [3], 3, tmp_path / "out")
    assert names(tmp_path / "out") == written([0])
    np.testing.assert_array_equal(read(tmp_path / "out/plate.png"), picture(3))
    assert not read(tmp_path / "out/moving.png").any()


def test_a_frame_that_is_shown_several_times_counts_once(folder, tmp_path):
    write_references(folder, [2, 2, 2, 2, 8], [1, 2, 4], tmp_path / "out")
    for number, source in ((1, 2), (2, 2), (4, 8)):
        np.testing.assert_array_equal(read(tmp_path / f"out/frame_{number:04d}.png"), picture(source))
    apart = np.abs(read(tmp_path / "out/plate.png") - (picture(2).astype(float) + picture(8)) / 2).max(-1)
    still = np.abs(picture(2).astype(int) - picture(8)).max(-1) < 9
    assert apart[still].max() <= 0.5, "the mean of both pictures, of which none counts for more"


def test_the_plate_does_not_depend_on_the_blocks_it_is_taken_in(folder, tmp_path, monkeypatch):
    write_references(folder, range(COUNT), 1, tmp_path / "one")
    monkeypatch.setattr(motion, "SLAB", reference.SAMPLES * WIDTH * 3 * 7)
    write_references(folder, range(COUNT), 1, tmp_path / "two")
    for name in names(tmp_path / "one"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_where_a_mover_lingers_the_plate_is_said_to_be_unsure(tmp_path):
    """A square shows one colour for 40 % of the time, and then another at each moment."""
    colours = np.random.default_rng(1).integers(0, 255, (COUNT, 3))
    for number in range(COUNT):
        image = picture(number)
        image[20:40, 30:60] = (20, 220, 20) if number < 12 else colours[number]
        Image.fromarray(image).save(tmp_path / f"{number:04d}.png")
    write_references(tmp_path, range(COUNT), 1, tmp_path / "out")
    unsure = read(tmp_path / "out/unsure.png")
    assert (unsure[20:40, 30:60] == 255).all()
    assert set(np.unique(unsure)) == {0, 255}
    assert not unsure[50:].any()
    assert (read(tmp_path / "out/plate.png")[20:40, 30:60] == (20, 220, 20)).all()


def test_longer_captures_have_more_moments(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(reference, "read_frames", lambda path, frames: (picture(number % 30) for number in frames))
    counts = []
    for length in (30, 150, 300, 9000):
        write_references(folder, range(length), 3, tmp_path / str(length))
        counts.append(len(Reference(tmp_path / str(length)).moments))
    assert counts == [5, 7, 9, 9]


def test_a_camera_is_read_once_and_only_where_needed(folder, tmp_path, monkeypatch):
    asked = []

    def read_frames(path: Path, frames: Sequence[int]):
        asked.append(list(frames))
        return (picture(number) for number in frames)

    monkeypatch.setattr(reference, "read_frames", read_frames)
    write_references(folder, range(10000), [5001, 42], tmp_path / "out")
    (indices,) = asked
    assert len(indices) == reference.SAMPLES + 2
    assert indices == sorted(indices)
    assert {42, 5001} < set(indices)


def test_what_cannot_be_read_leaves_what_was_there(folder, tmp_path):
    write_references(folder, range(5), 1, tmp_path / "out")
    before = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    with pytest.raises(UserError, match="30 frames could be read"):
        write_references(folder, range(20, 40), 1, tmp_path / "out")
    assert names(tmp_path) == ["out"]
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == before
    write_references(folder, range(20, 25), [1], tmp_path / "out")
    assert names(tmp_path / "out") == written([1], [0, 4])
