"""Structure from motion as a ladder, on a small rendered place and on captures."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mixdepth.cameras.colmap import mapping as colmap  # isort: skip  (imports Pillow before pycolmap)
from mixdepth.cameras.colmap import ladder  # isort: skip  (imports Pillow before pycolmap)
from PIL import Image

from helpers.place import (
    FOCAL,
    HEIGHT,
    NAMES,
    OPTIONS,
    WIDTH,
    noise_image,
    place_camera,
    place_images,
    place_lens,
    write_place,
)
from mixdepth.cameras.formats.llff import read_poses_bounds
from mixdepth.cameras.verification.verify import Verification
from mixdepth.errors import UserError
from mixdepth.evaluation.align import align

CONFIGURED, THOROUGH, KNOWN, KNOWN_THOROUGH = (
    "configured",
    "more features, guided matching",
    "known lenses",
    "known lenses, more features, guided matching",
)


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """A folder with cam00.png ... cam03.png and the photo cam04.jpg."""
    return write_place(tmp_path_factory.mktemp("place"))


def candidates(place: Path) -> dict[str, list[Path]]:
    return {name: [path] for name, path in place_images(place).items()}


@pytest.fixture(scope="module")
def found(place, tmp_path_factory) -> tuple[Path, dict]:
    """The model of the place, and its report."""
    output = tmp_path_factory.mktemp("sfm")
    return output, ladder.run_sfm(candidates(place), output, OPTIONS)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def judged_by(monkeypatch, verdict) -> list:
    """Let ``verdict(model, expected)`` decide whether a model is trusted; the models that it saw."""
    seen = []

    def verify(model, keypoints, pairs, expected):
        seen.append(model)
        good = verdict(model, expected)
        images = {name: {"score": float(name in model.c2w), "reason": ""} for name in expected}
        return Verification("trusted" if good else "contradicted", 0.9 if good else 0.1, "because", images, [])

    monkeypatch.setattr(ladder, "verify", verify)
    return seen


def test_the_cameras_of_videos_and_photos_are_found_together(found):
    model = colmap.read_model(found[0])
    assert sorted(model.lenses) == [*(f"cameras/{name}.png" for name in NAMES), "photos/cam04.jpg"]
    centres = np.array([model.c2w[name][:3, 3] for name in sorted(model.c2w)])
    true = np.array([place_camera(number).centre for number in range(5)])
    distances = [np.linalg.norm(c[:, None] - c[None], axis=-1) for c in (centres, true)]
    scale = distances[1].sum() / distances[0].sum()
    np.testing.assert_allclose(distances[0] * scale, distances[1], atol=0.02 * distances[1].max())
    assert model.lenses["cameras/cam00.png"].focal[0] == pytest.approx(FOCAL, rel=0.05)
    assert model.error.mean() < 1
    # Videos share intrinsics, the photo has its own.
    assert len({model.lenses[f"cameras/{name}.png"].params for name in NAMES}) == 1
    assert model.lenses["photos/cam04.jpg"].params != model.lenses["cameras/cam00.png"].params


def test_the_first_step_is_enough_where_it_is_trusted(found):
    report = found[1]
    assert (report["used"], report["left_out"], report["references"]) == (CONFIGURED, [], {})
    (step,) = report["rungs"]
    assert (step["name"], step["registered"], step["of"], step["trusted"]) == (CONFIGURED, 5, 5, True)
    assert step["points"] > 500
    assert 0 < step["error_px"] < 1
    assert step["settings"]["peak_threshold"] == OPTIONS["peak_threshold"]
    assert report["verification"]["trusted"]
    assert sorted(report["verification"]["images"]) == sorted(colmap.read_model(found[0]).c2w)


def test_enlarged_images_give_intrinsics_and_points_in_original_pixels(place, tmp_path):
    ladder.run_sfm(candidates(place), tmp_path, {**OPTIONS, "upscale_to": 201})
    model = colmap.read_model(tmp_path)
    lens = model.lenses["cameras/cam00.png"]
    assert (lens.width, lens.height) == (WIDTH, HEIGHT)
    assert lens.focal[0] == pytest.approx(FOCAL, rel=0.1)
    assert (model.track_uv >= 0).all()
    assert (model.track_uv <= [WIDTH, HEIGHT]).all()
    assert model.error.mean() < 0.5


def test_same_seed_same_bytes(place, found, tmp_path):
    assert ladder.run_sfm(candidates(place), tmp_path, OPTIONS) == found[1]
    assert contents(tmp_path) == contents(found[0])


def test_the_candidate_that_matches_best_stands_for_its_camera(place, tmp_path, found):
    images = candidates(place)
    blank = noise_image(tmp_path / "plate.png", 0)
    good = place / "cam01.png"
    images["cameras/cam01.png"] = [blank, noise_image(tmp_path / "frame_0003.png", 1), good]
    images["cameras/cam02.png"] = [place / "cam02.png", blank]  # the first is better
    images["cameras/cam03.png"] = [place / "cam03.png", place / "cam03.png"]  # no better
    report = ladder.run_sfm(images, tmp_path / "sfm", OPTIONS)
    assert report["references"] == {
        "cameras/cam01.png": "cam01.png",
        "cameras/cam02.png": "cam02.png",
        "cameras/cam03.png": "cam03.png",
    }
    assert len(report["rungs"]) == 1
    # The same images as if there had been no choice: the same model.
    assert contents(tmp_path / "sfm") == contents(found[0])


def test_masked_pixels_are_not_matched(place, tmp_path):
    moving = np.zeros((HEIGHT, WIDTH), np.uint8)
    moving[:, : WIDTH // 3] = 255
    Image.fromarray(moving).save(tmp_path / "moving.png")
    ladder.run_sfm(candidates(place), tmp_path / "sfm", OPTIONS, {"cameras/cam01.png": tmp_path / "moving.png"})
    model = colmap.read_model(tmp_path / "sfm")
    for image, least in ((0, 0), (1, WIDTH // 3)):
        left = model.track_uv[model.track_image == image, 0].min()
        assert left >= least
        assert left < least + WIDTH // 6


# The steps


def test_every_step_is_tried_where_none_is_trusted_and_the_best_is_flagged(place, tmp_path, monkeypatch, capsys):
    models = judged_by(monkeypatch, lambda model, expected: False)
    detected = []
    detect = ladder.detect
    monkeypatch.setattr(ladder, "detect", lambda images, *rest: detected.append(len(images)) or detect(images, *rest))
    lens = replace(place_lens(), params=(FOCAL * 1.03, WIDTH / 2, HEIGHT / 2))
    known = {f"cameras/{name}.png": lens for name in NAMES}
    report = ladder.run_sfm(candidates(place), tmp_path, OPTIONS, known=known)
    assert [step["name"] for step in report["rungs"]] == [CONFIGURED, THOROUGH, KNOWN, KNOWN_THOROUGH]
    assert [step["settings"]["known_lenses"] for step in report["rungs"]] == [False, False, True, True]
    assert [step["settings"]["guided"] for step in report["rungs"]] == [False, True, False, True]
    assert not report["verification"]["trusted"]
    assert report["used"] == CONFIGURED  # all are as good, and the first is the simplest
    assert len(colmap.read_model(tmp_path).c2w) == 5
    # Known lenses are held fixed, the photo's is not known and is not.
    for model, fixed in zip(models, (False, False, True, True), strict=True):
        assert (model.lenses["cameras/cam01.png"].params == pytest.approx(lens.params, rel=1e-12)) == fixed
        assert model.lenses["photos/cam04.jpg"] != lens
    # Two settings of the features in four steps.
    assert detected == [5, 5]
    log = capsys.readouterr().err
    assert f"colmap, {KNOWN}: 5 of 5 images registered" in log
    assert "warning: the poses are not trusted: because" in log


def test_climbing_ends_at_the_first_trusted_step(place, tmp_path, monkeypatch):
    judged_by(monkeypatch, lambda model, expected: model.lenses["cameras/cam00.png"] == place_lens())
    known = {f"cameras/{name}.png": place_lens() for name in NAMES}
    report = ladder.run_sfm(candidates(place), tmp_path, OPTIONS, known=known)
    assert [step["trusted"] for step in report["rungs"]] == [False, False, True]
    assert report["used"] == KNOWN
    assert colmap.read_model(tmp_path).lenses["cameras/cam00.png"] == place_lens()


def test_without_the_ladder_one_step_is_tried(place, tmp_path, monkeypatch):
    judged_by(monkeypatch, lambda model, expected: False)
    report = ladder.run_sfm(candidates(place), tmp_path, {**OPTIONS, "ladder": False})
    assert [step["name"] for step in report["rungs"]] == [CONFIGURED]
    assert not report["verification"]["trusted"]


def test_an_unregistered_image_is_named_with_its_matches_and_the_steps(place, tmp_path):
    images = candidates(place) | {"cameras/cam09.png": [noise_image(tmp_path / "cam09.png", 0)]}
    with pytest.raises(UserError) as error:
        ladder.run_sfm(images, tmp_path / "sfm", OPTIONS)
    message = str(error.value)
    assert "a model of 5 of 6 images" in message
    assert "cameras/cam09.png: 0 verified matches with 0 of 5 images" in message
    assert f"Tried: {CONFIGURED}, {THOROUGH}" in message
    assert "cam00.png" not in message
    assert not (tmp_path / "sfm").exists()


def test_an_image_that_may_be_missing_is_left_out_and_named(place, tmp_path):
    images = candidates(place) | {"photos/noise.png": [noise_image(tmp_path / "noise.png", 0)]}
    report = ladder.run_sfm(images, tmp_path / "sfm", OPTIONS, optional={"photos/noise.png"})
    assert report["left_out"] == ["photos/noise.png"]
    assert report["verification"]["trusted"]
    assert "photos/noise.png" not in report["verification"]["images"]
    assert report["used"].startswith("without some images")
    assert [step["registered"] for step in report["rungs"]] == [5, 5, 5]
    assert sorted(colmap.read_model(tmp_path / "sfm").c2w) == sorted(candidates(place))


def test_a_model_of_the_fewer_images_is_flagged_even_if_the_others_may_be_missing(place, tmp_path):
    noise = {f"photos/{n}.png": [noise_image(tmp_path / f"{n}.png", n)] for n in range(6)}
    report = ladder.run_sfm(candidates(place) | noise, tmp_path / "sfm", OPTIONS, optional=noise)
    assert report["left_out"] == sorted(noise)
    assert report["verification"]["verdict"] == "unproven"


def test_an_image_that_the_verification_blames_is_left_out_where_it_may_be(place, tmp_path, monkeypatch):
    def verify(model, keypoints, pairs, expected):
        images = {name: {"score": float("cam04" not in name), "reason": ""} for name in expected}
        bad = "photos/cam04.jpg" in model.c2w
        return Verification("contradicted" if bad else "trusted", 0.1 if bad else 0.9, "because", images, [])

    monkeypatch.setattr(ladder, "verify", verify)
    report = ladder.run_sfm(candidates(place), tmp_path, OPTIONS, optional={"photos/cam04.jpg", "cameras/cam00.png"})
    assert report["left_out"] == ["photos/cam04.jpg"]
    assert report["verification"]["trusted"]
    # Only what may be missing is left out.
    report = ladder.run_sfm(candidates(place), tmp_path, OPTIONS, optional={"cameras/cam00.png"})
    assert report["left_out"] == []
    assert not report["verification"]["trusted"]


def test_no_model_at_all_names_every_image(tmp_path):
    images = {f"photos/{n}.png": [noise_image(tmp_path / f"{n}.png", n)] for n in range(2)}
    with pytest.raises(UserError, match="no model at all") as error:
        ladder.run_sfm(images, tmp_path / "sfm", OPTIONS)
    assert "photos/0.png: 0 verified matches" in str(error.value)
    assert "photos/1.png: 0 verified matches" in str(error.value)


def test_too_few_or_unreadable_images_are_refused(place, tmp_path):
    one = {"photos/a.png": [place / "cam00.png"]}
    with pytest.raises(UserError, match=r"1 image.*needs at least 2"):
        ladder.run_sfm(one, tmp_path, OPTIONS)
    (tmp_path / "bad.png").write_bytes(b"no image")
    with pytest.raises(UserError, match=r"bad\.png: cannot be read as an image"):
        ladder.run_sfm(one | {"photos/b.png": [tmp_path / "bad.png"]}, tmp_path, OPTIONS)
    with pytest.raises(UserError, match=r"none\.png: image not found"):
        ladder.run_sfm(one | {"photos/b.png": [tmp_path / "none.png"]}, tmp_path, OPTIONS)
    with pytest.raises(UserError, match="cannot be read as a COLMAP model"):
        colmap.read_model(tmp_path / "nowhere")


# Captures


@pytest.mark.data
def test_flame_steak_is_found_as_published(shared_data, tmp_path):
    numbers = range(1, 6)
    images = {f"cameras/{n}.png": [shared_data / f"flame_steak5/images/{n}.jpg"] for n in numbers}
    options = {**OPTIONS, "camera_model": "SIMPLE_RADIAL", "max_features": 8192, "upscale_to": 640}
    report = ladder.run_sfm(images, tmp_path, options)
    assert report["used"] == CONFIGURED
    assert report["verification"]["trusted"]
    model = colmap.read_model(tmp_path)
    published = read_poses_bounds(shared_data / "flame_steak5/poses_bounds.npy", images)
    true = np.array([published[name].c2w for name in images])
    ours = np.array([model.c2w[name] for name in images])
    similarity = align(ours, true)
    extent = np.linalg.norm(true[:, None, :3, 3] - true[None, :, :3, 3], axis=-1).max()
    error = np.linalg.norm(similarity.apply(ours[:, :3, 3]) - true[:, :3, 3], axis=1)
    assert error.max() <= 0.0015 * extent
    turned = np.einsum("ij,njk,nlk->nil", similarity.rotation, ours[:, :3, :3], true[:, :3, :3])
    assert np.degrees(np.arccos((np.trace(turned, axis1=1, axis2=2) - 1) / 2)).max() <= 0.3
    assert model.lenses["cameras/1.png"].focal[0] == pytest.approx(published["cameras/1.png"].lens.focal[0], rel=0.01)
