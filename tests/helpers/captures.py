"""Captures that are names only."""

from pathlib import Path

import yaml


def capture(folder: Path, cameras: int = 3, photos: int = 0) -> Path:
    """A folder that looks like a capture; the files are empty, because only their names matter here."""
    for kind, names in (
        ("videos", [f"cam{i:02d}.mp4" for i in range(cameras)]),
        ("photos", [f"photo{i:02d}.jpg" for i in range(photos)]),
    ):
        for name in names:
            (folder / kind).mkdir(parents=True, exist_ok=True)
            (folder / kind / name).touch()
    return folder


def write_capture(folder: Path, source: str = "llff", photos: bool = True, **options: object) -> Path:
    """Four videos, two plates, given poses and a truth, all of them empty files, as scene ``x``."""
    data = folder / "data" / "x"
    files = [f"videos/cam{i:02d}.mp4" for i in range(4)] + ["poses_bounds.npy", "truth.npz"]
    for name in files + ["photos/cam01.png", "photos/cam02.png"] * photos:
        (data / name).parent.mkdir(parents=True, exist_ok=True)
        (data / name).touch()
    scene = {"data": "data/x", "poses": {"source": source}, "truth": "truth.npz", **options}
    (folder / "config.yaml").write_text(yaml.safe_dump({"scenes": {"x": scene}}))
    return folder
