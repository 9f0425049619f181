"""Patterns that repeat in the pictures, against given poses."""

from pathlib import Path

from mixdepth.cameras.colmap import triangulation  # isort: skip  (imports Pillow before pycolmap)
import numpy as np
import pytest

from helpers.place import HEIGHT, OPTIONS, WIDTH, place_camera, true_cameras
from mixdepth.cameras.colmap.features import Features
from mixdepth.cameras.colmap.moments import STILL, Sighting


def sift(count: int) -> np.ndarray:
    """Descriptors of corners that do not look alike."""
    descriptors = np.random.default_rng(0).uniform(0, 1, (count, 128)) ** 4
    return (512 * descriptors / np.linalg.norm(descriptors, axis=1, keepdims=True)).astype(np.uint8)


def wallpaper(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Four pictures of 30 corners that are nowhere twice, and of a pattern of 120 that is three
    times on the wall: the first two see two of them, the others the third."""
    rng, own, pattern = np.random.default_rng(5), sift(150)[:30], sift(150)[30:]
    points = rng.uniform([-1.2, -1, 4], [1.2, 1, 6], (30, 3))
    panel = np.c_[rng.uniform([-0.3, -0.8], [0.3, 0.8], (120, 2)), np.full(120, 5.5)]
    alike = np.minimum(pattern + rng.integers(0, 12, pattern.shape), 255).astype(np.uint8)  # nearly the same
    # The nearest to the third panel is the first.
    panels = {-0.9: pattern, -0.2: alike, 0.6: pattern}
    found = {}
    for number in range(4):
        shown = [-0.9, -0.2] if number < 2 else [0.6]
        seen_at = np.concatenate([points, *(panel + np.array([x, 0, 0]) for x in shown)])
        uv, _ = place_camera(number).project(seen_at)
        keypoints = np.c_[uv + rng.normal(0, 0.2, uv.shape), np.ones(len(uv)), np.zeros(len(uv))].astype(np.float32)
        descriptors = np.concatenate([own, *(panels[x] for x in shown)])
        found[f"cameras/cam{number:02d}.png"] = Features((WIDTH, HEIGHT), (WIDTH, HEIGHT), keypoints, descriptors)
    seen = {name: Sighting(own, np.full(len(own.keypoints), STILL)) for name, own in found.items()}
    monkeypatch.setattr(triangulation, "gather", lambda *_: seen)
    return list(found)


def test_panels_that_look_alike_are_no_evidence_against_given_poses(monkeypatch: pytest.MonkeyPatch):
    images = dict.fromkeys(wallpaper(monkeypatch), Path("x"))
    # The second opinion, of several moments, apart: nothing is borne out.
    monkeypatch.setattr(triangulation, "borne_out", lambda *_: set())
    found = triangulation.check_poses(images, true_cameras(), OPTIONS)
    assert found.verdict == "trusted", found.reason
    assert found.reason.startswith("Only look-alikes contradict the poses")
    # Without a look at whether a pattern repeats they would be.
    monkeypatch.setattr(triangulation, "has_twin", lambda _, xy: np.zeros(len(xy), bool))
    blind = triangulation.check_poses(images, true_cameras(), OPTIONS)
    assert blind.verdict == "contradicted"
