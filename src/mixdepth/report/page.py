"""The report of one scene: one HTML file that needs nothing else, not even a network."""

import base64
import hashlib
import json
import os
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from mixdepth.cameras.camera import load_cameras
from mixdepth.evaluation.shortcomings import PICTURES
from mixdepth.files.html import data_uri, environment
from mixdepth.files.images import read_image
from mixdepth.files.io import atomic, read_json, refuse_damaged
from mixdepth.report.chart import sync_chart
from mixdepth.report.curves import frame_charts, training_charts
from mixdepth.report.geometry import depth_parts, geometry, optional_json, sentence
from mixdepth.report.pictures import TRUTH, compared_pictures, webp
from mixdepth.report.remarks import remarks
from mixdepth.report.rig import rig
from mixdepth.report.scores import camera_tables, reasons, score_tables, trivial_table
from mixdepth.report.verdict import tiles, verdict
from mixdepth.results import ABLATION, STATIC, AblationResults, Results
from mixdepth.scene.scene import Scene
from mixdepth.variants import DEPTH_ALONE, TABLE
from mixdepth.words import percent, signed

# The page must stay quick to open and to send: what does not fit any more is named, not embedded.
MAX_BYTES = 24_000_000


def write_report(scene: Scene, results: Results, output: Path) -> None:
    """Write report.html from what the other stages left.

    Needs each variant's metrics.json; whatever else is missing is left out of the page.

    Raises:
        UserError: a file is missing or damaged.
    """
    metrics = {variant: read_json(results.metrics(variant)) for variant in scene.variants}
    provenance = optional_json(results.provenance)
    cameras = geometry(results)
    slider = _slider(scene, results, metrics)
    budget = Budget(MAX_BYTES - sum(len(picture.uri) for picture in slider["pictures"]) if slider else MAX_BYTES)
    pages = environment("mixdepth.report")
    pages.filters |= {"signed": _signed, "percent": percent}
    # They are ours, hold nothing of the scene, and go into the page as they are.
    style, script = (pages.get_template(f"_{name}.j2").render() for name in ("style.css", "script.js"))
    text = pages.get_template("report.html.j2").render(
        style=style,
        script=script,
        policy=policy(style, script),
        scene=scene,
        sentences=[*verdict(metrics), *filter(None, [sentence(cameras)])],
        tiles=tiles(metrics, cameras),
        remarks=remarks(scene, results, metrics, cameras),
        geometry=cameras,
        meaning={name: variant.meaning for name, variant in TABLE.items()} | PICTURES,
        contact_sheet=budget.embedded("image/jpeg", results.contact_sheet),
        comparison=budget.picture(results.comparison),
        comparison_made=results.comparison.is_file(),
        video=_video(scene, results.video, budget),
        beside=_beside(results),
        slider=slider,
        scores=[*score_tables(metrics), *trivial_table(metrics)],
        by_camera=camera_tables(metrics),
        reasons=reasons(metrics),
        frame_charts=frame_charts(metrics),
        moving=next(iter(metrics.values()))["settings"]["moving"] if metrics else "",
        training=training_charts(scene, results),
        static=optional_json(results.metrics(STATIC)),
        rig=rig(scene, results),
        cameras=_camera_rows(scene, results),
        colmap=_colmap_summary(scene, results),
        sync_chart=sync_chart(cameras["sync"]),
        space=optional_json(results.space),
        provenance=provenance,
        times=time_rows(provenance["jobs"] if provenance else []),
        configuration=_configuration(scene),
    )
    with atomic(output) as temporary:
        temporary.write_text(text, encoding="utf-8")


class Budget:
    """How many bytes of files the page may still take in."""

    def __init__(self, left: int):
        self.left = left

    def embedded(self, kind: str, path: Path) -> str | None:
        """The file as a data: URI; None where there is no file or it is too large for what is left."""
        if not path.is_file() or path.stat().st_size * 4 / 3 > self.left:
            return None
        refuse_damaged(path)
        return self._taken(data_uri(kind, path.read_bytes()))

    def picture(self, path: Path) -> str | None:
        """The image as a data: URI, in a format that takes a fraction of PNG's space; None as above."""
        if not path.is_file():
            return None
        refuse_damaged(path)
        return self._taken(webp(read_image(path)))

    def _taken(self, uri: str) -> str | None:
        if len(uri) > self.left:
            return None
        self.left -= len(uri)
        return uri


def policy(style: str, script: str) -> str:
    """A Content-Security-Policy that lets this style and this script in and nothing else, from nowhere."""
    hashes = (base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in (style, script))
    style_hash, script_hash = hashes
    return (
        f"default-src 'none'; img-src data:; media-src data:; style-src 'sha256-{style_hash}';"
        f" script-src 'sha256-{script_hash}'; base-uri 'none'; form-action 'none'"
    )


def _signed(value: float | None) -> str:
    return "–" if value is None else signed(value, ".2f")


def _slider(scene: Scene, results: Results, metrics: Mapping[str, Any]) -> dict[str, Any] | None:
    """The pictures to compare, beginning with no depth against the best that differs in depth alone."""
    found = compared_pictures(scene, results)
    if found is None:
        return None
    shown = [name for name in found["subjects"] if name != TRUTH]
    known = {name: metrics[name]["psnr"] or 0.0 for name in shown}
    others = [name for name in DEPTH_ALONE if name in known] or [name for name in shown if name != "none"]
    best = max(others, key=known.__getitem__) if others else shown[0]
    left = "none" if "none" in shown and best != "none" else TRUTH
    return {**found, "left": left, "right": best}


def _beside(results: Results) -> list[dict[str, str]]:
    """Other pages and videos that exist, as paths from the report, and what they are."""
    folder = results.folder
    patterns = (
        (results.viewer, "a few rendered views, to look around in while they play"),
        (results.path_video("*", "*"), "a camera on a path"),
        (AblationResults(folder.parent / ABLATION).report, "several scenes, seeds and sets of cameras compared"),
    )
    found = []
    for pattern, text in patterns:
        for path in sorted(folder.glob(os.path.relpath(pattern, folder))):
            found.append({"path": path.relative_to(folder).as_posix(), "text": text})
    return found


def _video(scene: Scene, path: Path, budget: Budget) -> dict[str, Any] | None:
    if not path.is_file():
        return None
    return {
        "uri": budget.embedded("video/mp4", path),
        "megabytes": f"{path.stat().st_size / 1e6:.1f}",
        "held_out": scene.video_camera in scene.test_cameras,
    }


def _camera_rows(scene: Scene, results: Results) -> list[dict[str, Any]]:
    """Name, role, size and sparse depth of every video camera, and of the photos together."""
    if not results.cameras.is_file():
        return []
    rows, sparse = [], dict(depth_parts(results.colmap_depth, scene.train_cameras))
    for name, camera in sorted(load_cameras(results.cameras).items()):
        role = "trains" if name in scene.train_cameras else "held out" if name in scene.test_cameras else "not used"
        points = sigma = None
        if found := sparse.get(name):
            points = len(found["z"])
            # Relative, so that it can be read without knowing the scene's units.
            sigma = percent(np.median(found["sigma"] / found["z"]), 2) if points else None
        size = f"{camera.width} × {camera.height}"
        rows.append({"name": name, "role": role, "size": size, "points": points, "sigma": sigma})
    return rows


def _colmap_summary(scene: Scene, results: Results) -> dict[str, Any]:
    """Counts from COLMAP's models: images and points of ``sfm`` (poses) and ``sparse`` (depth), where they exist."""
    found: dict[str, Any] = {"source": scene.config.poses.source}
    for name, model in (("sfm", results.sfm), ("sparse", results.sparse)):
        images, points = (_first_number(model / f"{kind}.bin") for kind in ("images", "points3D"))
        if images is not None and points is not None:
            found[name] = {"images": images, "points": points}
    return found


def _first_number(path: Path) -> int | None:
    """COLMAP's binary files begin with the number of their entries (uint64)."""
    if not path.is_file():
        return None
    refuse_damaged(path)
    with path.open("rb") as file:
        head = file.read(8)
    return struct.unpack("<Q", head)[0] if len(head) == 8 else None


def time_rows(jobs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Jobs together by rule and variant: ``name``, ``jobs`` (how many), ``seconds`` (sum), ``max_rss_mb`` (most),
    and both as shares of the largest."""
    rows: dict[str, dict[str, Any]] = {}
    for job in jobs:
        rule, *wildcards = job["job"].split(".")
        variant = next((text for text in wildcards if text in TABLE), None)
        name = f"{rule} ({variant})" if variant else rule
        row = rows.setdefault(name, {"name": name, "jobs": 0, "seconds": 0.0, "max_rss_mb": None})
        row["jobs"] += 1
        row["seconds"] += job["seconds"] or 0.0
        row["max_rss_mb"] = max((v for v in (row["max_rss_mb"], job["max_rss_mb"]) if v is not None), default=None)
    longest = max((row["seconds"] for row in rows.values()), default=0.0)
    largest = max((row["max_rss_mb"] or 0.0 for row in rows.values()), default=0.0)
    for row in rows.values():
        row["seconds_share"] = row["seconds"] / longest if longest else 0.0
        row["memory_share"] = (row["max_rss_mb"] or 0.0) / largest if largest else 0.0
    return list(rows.values())


def _configuration(scene: Scene) -> str:
    """The scene's configuration with every default filled in, as YAML."""
    # By way of JSON: plain dictionaries only, which is all that YAML's safe writer takes.
    options = json.loads(json.dumps({**scene.options, "data": str(scene.data)}))
    return yaml.safe_dump({"scenes": {scene.name: options}}, sort_keys=False, default_flow_style=None, width=100)
