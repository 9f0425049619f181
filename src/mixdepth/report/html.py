"""The report of one scene: one HTML file that needs nothing else, not even a network."""

import base64
import json
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import yaml

from mixdepth.cameras.camera import load_cameras
from mixdepth.config import VARIANTS, Scene
from mixdepth.io import atomic, read_json, read_npz
from mixdepth.report.geometry import geometry, sentence
from mixdepth.report.verdict import verdict

MEANING = {
    "none": "no depth anywhere",
    "colmap": "sparse COLMAP depth",
    "distilled": "depth maps of the static model",
    "inherited": "the static model itself, taken over",
}
# Larger videos are named, not embedded: the page must stay quick to open and to send.
MAX_VIDEO_BYTES = 24 << 20
# Columns of the table of scores: title, path into the scores, format, whether more is better.
SCORES = (
    ("PSNR, dB", ("psnr",), "{:.2f}", True),
    ("PSNR of what moves, dB", ("psnr_moving",), "{:.2f}", True),
    ("PSNR of what stands still, dB", ("psnr_still",), "{:.2f}", True),
    ("PSNR after an affine colour fit, dB", ("psnr_affine",), "{:.2f}", True),
    ("SSIM", ("ssim",), "{:.4f}", True),
    ("Median depth error", ("depth", "median"), "{:.4g}", False),
    ("Depth within 5 %", ("depth", "within_5_percent"), "{:.1%}", True),
    ("Median depth error of what moves", ("depth_moving", "median"), "{:.4g}", False),
)


def write_report(scene: Scene, folder: Path, output: Path) -> None:
    """Write report.html from what the other stages left in ``folder``.

    Needs each variant's metrics.json; whatever else is missing is left out of the page.

    Raises:
        UserError: a file is missing or damaged.
    """
    metrics = {v: read_json(folder / v / "metrics.json") for v in VARIANTS if v in scene.variants}
    provenance = _optional_json(folder / "provenance.json")
    cameras = geometry(folder)
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("mixdepth.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    text = environment.get_template("report.html.j2").render(
        scene=scene,
        sentences=[*verdict(metrics), *filter(None, [sentence(cameras)])],
        geometry=cameras,
        meaning=MEANING,
        video=_video(scene, folder, metrics),
        comparison=data_uri(folder / "comparison.png", "image/png"),
        contact_sheet=data_uri(folder / "contact_sheet.jpg", "image/jpeg"),
        scores=score_table(metrics),
        by_camera=_camera_tables(metrics),
        moving=next(iter(metrics.values()))["settings"]["moving"] if metrics else "",
        static=_optional_json(folder / "static" / "metrics.json"),
        cameras=_camera_rows(scene, folder),
        colmap=_colmap_summary(scene, folder),
        space=_optional_json(folder / "space.json"),
        provenance=provenance,
        times=time_rows(provenance["jobs"] if provenance else []),
        configuration=_configuration(scene),
    )
    with atomic(output) as temporary:
        temporary.write_text(text, encoding="utf-8")


def data_uri(path: Path, kind: str) -> str | None:
    """The file as a data: URI; None where there is no file."""
    if not path.is_file():
        return None
    return f"data:{kind};base64,{base64.b64encode(path.read_bytes()).decode()}"


def score_table(rows: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """A table of scores: ``columns`` (titles) and ``rows`` of {name, cells: [{text, best}]}.

    A column in which no row has a score is left out. The best of several rows is marked.
    """
    columns: list[str] = []
    cells: dict[str, list[dict[str, Any]]] = {name: [] for name in rows}
    for title, path, form, more in SCORES:
        values = {name: _lookup(scores, path) for name, scores in rows.items()}
        known = [value for value in values.values() if value is not None]
        if not known:
            continue
        columns.append(title)
        best = (max if more else min)(known)
        for name, value in values.items():
            text = "–" if value is None else form.format(value).replace("%", " %")
            cells[name].append({"text": text, "best": len(known) > 1 and value is not None and value == best})
    return {"columns": columns, "rows": [{"name": name, "cells": found} for name, found in cells.items()]}


def _lookup(scores: Mapping[str, Any], path: tuple[str, ...]) -> float | None:
    value: Any = scores
    for key in path:
        value = None if value is None else value.get(key)
    return value


def _camera_tables(metrics: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """One table per held-out camera where there are several; with one, the scores over all are its scores."""
    names = sorted({name for scores in metrics.values() for name in scores["cameras"]})
    if len(names) < 2:
        return {}
    return {name: score_table({v: scores["cameras"][name] for v, scores in metrics.items()}) for name in names}


def _video(scene: Scene, folder: Path, metrics: Mapping[str, Any]) -> dict[str, Any] | None:
    path = folder / "video.mp4"
    if not path.is_file():
        return None
    small = path.stat().st_size <= MAX_VIDEO_BYTES
    return {
        "uri": data_uri(path, "video/mp4") if small else None,
        "megabytes": f"{path.stat().st_size / 1e6:.1f}",
        "held_out": scene.video_camera in scene.test_cameras,
    }


def _camera_rows(scene: Scene, folder: Path) -> list[dict[str, Any]]:
    """Name, role, size and sparse depth of every video camera, and of the photos together."""
    if not (folder / "cameras.json").is_file():
        return []
    rows = []
    for name, camera in sorted(load_cameras(folder / "cameras.json").items()):
        role = "trains" if name in scene.train_cameras else "held out" if name in scene.test_cameras else "not used"
        row = {"name": name, "role": role, "size": f"{camera.width} × {camera.height}", "points": None, "sigma": None}
        sparse = folder / "colmap_depth" / f"{name}.npz"
        if name in scene.train_cameras and sparse.is_file():
            found = read_npz(sparse)
            row["points"] = len(found["z"])
            # Relative, so that it can be read without knowing the scene's units.
            row["sigma"] = f"{100 * np.median(found['sigma'] / found['z']):.2f} %" if len(found["z"]) else None
        rows.append(row)
    return rows


def _colmap_summary(scene: Scene, folder: Path) -> dict[str, Any]:
    """Counts from COLMAP's models: images and points of ``sfm`` (poses) and ``sparse`` (depth), where they exist."""
    found: dict[str, Any] = {"source": scene.options["poses"]["source"]}
    for name in ("sfm", "sparse"):
        images, points = (_first_number(folder / name / f"{kind}.bin") for kind in ("images", "points3D"))
        if images is not None and points is not None:
            found[name] = {"images": images, "points": points}
    return found


def _first_number(path: Path) -> int | None:
    """COLMAP's binary files begin with the number of their entries (uint64)."""
    if not path.is_file():
        return None
    with path.open("rb") as file:
        head = file.read(8)
    return struct.unpack("<Q", head)[0] if len(head) == 8 else None


def time_rows(jobs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Jobs together by rule and variant: ``name``, ``jobs`` (how many), ``seconds`` (sum), ``max_rss_mb`` (most)."""
    rows: dict[str, dict[str, Any]] = {}
    for job in jobs:
        rule, *wildcards = job["job"].split(".")
        variant = next((text for text in wildcards if text in VARIANTS), None)
        name = f"{rule} ({variant})" if variant else rule
        row = rows.setdefault(name, {"name": name, "jobs": 0, "seconds": 0.0, "max_rss_mb": None})
        row["jobs"] += 1
        row["seconds"] += job["seconds"] or 0.0
        row["max_rss_mb"] = max((v for v in (row["max_rss_mb"], job["max_rss_mb"]) if v is not None), default=None)
    return list(rows.values())


def _configuration(scene: Scene) -> str:
    """The scene's configuration with every default filled in, as YAML."""
    # By way of JSON: plain dictionaries only, which is all that YAML's safe writer takes.
    options = json.loads(json.dumps({**scene.options, "data": str(scene.data)}))
    return yaml.safe_dump({"scenes": {scene.name: options}}, sort_keys=False, default_flow_style=None, width=100)


def _optional_json(path: Path) -> dict[str, Any] | None:
    return read_json(path) if path.is_file() else None
