"""Everything in a scene's results that somebody should look at, in one list, each with what to do."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from mixdepth.evaluation.shortcomings import shortcomings
from mixdepth.files.io import read_json
from mixdepth.frames.sync.sync import TRUSTED
from mixdepth.report.geometry import depth_parts
from mixdepth.results import Results
from mixdepth.scene.scene import Scene
from mixdepth.words import percent

LOW_PSNR = 15.0  # dB; below it a picture has little to do with what the camera saw
TONE_GAP = 1.0  # dB that a colour fit gains, from which the tones are worth a remark
CONFIDENT, HOLES = 0.5, 0.5  # confidence from which static depth counts; share of such pixels below which it has holes
AGREEING = 0.5  # share of pixels in which neighbouring cameras' depths agree
FEW_CAMERAS, FEW_POINTS = 3, 50

LEVELS = {"serious": "Serious", "look": "Look at it", "note": "Note"}


@dataclass(frozen=True)
class Remark:
    """What is the matter, and what to do about it."""

    level: str  # of LEVELS
    text: str
    todo: str

    @property
    def label(self) -> str:
        """The level in words."""
        return LEVELS[self.level]


def remarks(
    scene: Scene, results: Results, metrics: Mapping[str, Mapping[str, Any]], geometry: Mapping[str, Any]
) -> list[Remark]:
    """The remarks, the most serious first.

    Args:
        scene: the scene.
        results: its files.
        metrics: variant -> its metrics.json.
        geometry: what :func:`mixdepth.report.geometry.geometry` found.
    """
    found = [
        *_cameras(geometry),
        *_sync(geometry["sync"]),
        *_scores(scene, metrics),
        *_training(scene, results, metrics),
        *_capture(scene, results, geometry),
        *_files(scene, results),
    ]
    return sorted(found, key=lambda remark: list(LEVELS).index(remark.level))


def _cameras(geometry: Mapping[str, Any]) -> Iterator[Remark]:
    for part, whose in (("verified", "The cameras"), ("held_out", "The held-out cameras")):
        report = geometry[part]
        if report and report["verdict"] == "contradicted":
            yield Remark(
                "serious",
                f"{whose} contradict the pictures: {report['reason']}",
                "Do not use these results. See “Can the cameras be trusted?” below for the images, and docs/captures.md"
                " for ways out: other photos in between, known lenses, given cameras.",
            )
        if report and report["verdict"] == "unproven":
            yield Remark(
                "look",
                f"{whose} could not be verified: {report['reason']}",
                "Look at the rig below: is every camera where it stood? More photos of the same place would prove it.",
            )
    left_out = (geometry["ladder"] or {}).get("left_out")
    if left_out:
        yield Remark(
            "look",
            f"COLMAP could not place {', '.join(left_out)}; everything went on without.",
            "Add photos between these and the others, or give the cameras (poses.source).",
        )


def _sync(sync: Mapping[str, Any] | None) -> Iterator[Remark]:
    sync = sync or {}
    cameras = sync.get("cameras", {})
    apart = [
        name for name, row in cameras.items() if row.get("agrees") is False and row.get("confidence", 0) >= TRUSTED
    ]
    if apart:
        yield Remark(
            "serious",
            f"The videos seem to be out of step: {', '.join(apart)} against {sync['reference']}.",
            "Check by eye on the contact sheet; if so, put the line given below the table of offsets into the"
            " configuration (frames.offsets) and run again.",
        )


def _scores(scene: Scene, metrics: Mapping[str, Mapping[str, Any]]) -> Iterator[Remark]:
    scored = {name for scores in metrics.values() for name, own in scores["cameras"].items() if own["psnr"] is not None}
    without = [name for name in scene.test_cameras if name not in scored]
    if without:
        yield Remark(
            "look",
            f"Held out, but without a score: {', '.join(without)}.",
            "Ask for its renders and scores again; if COLMAP could not place it, see “Can the cameras be trusted?”.",
        )
    known = {name: scores["psnr"] for name, scores in metrics.items() if scores["psnr"] is not None}
    low = [f"{name} {value:.1f} dB" for name, value in known.items() if value < LOW_PSNR]
    if low:
        yield Remark(
            "serious",
            f"Very low PSNR: {', '.join(low)}. Below {LOW_PSNR:g} dB a picture shows little of what the camera saw.",
            "Look at the slider: is the picture blurred, shifted, or of other colours? Suspect the training time, the"
            " cameras or the exposure, in this order.",
        )
    bad = [name for name, scores in metrics.items() if any(one.serious for one in shortcomings(name, scores))]
    if bad:
        yield Remark(
            "serious",
            f"No better than no model, or standing still where the video moves: {', '.join(bad)}.",
            "Do not use it. The verdict above has the figures and the likely reason; the training's log says for every"
            " camera what moves and what the motion hull explains of it.",
        )
    gains = [s["psnr_affine"] - s["psnr"] for s in metrics.values() if s.get("psnr_affine") and s["psnr"]]
    if gains and min(gains) > TONE_GAP:
        yield Remark(
            "look",
            f"A colour fit gains {min(gains):.1f} dB or more in every variant: the held-out camera's exposure or white"
            " balance differs from the others'.",
            "Compare the variants by the PSNR after an affine colour fit.",
        )
    agreement = [(name, (s.get("depth_consistency") or {}).get("within_5_percent")) for name, s in metrics.items()]
    bad = [f"{name} {percent(share)}" for name, share in agreement if share is not None and share < AGREEING]
    if bad:
        yield Remark(
            "look",
            f"Neighbouring cameras' depths rarely agree within 5 %: {', '.join(bad)} of the pixels.",
            "Do not trust this depth for geometry; more training cameras or photos would help most.",
        )
    if known:
        yield Remark(
            "note",
            "One run per variant: small differences may be chance.",
            "Train several seeds before you publish a difference below a few tenths of a dB"
            " (static.seed and dynamic.seed).",
        )


def _training(scene: Scene, results: Results, metrics: Mapping[str, Mapping[str, Any]]) -> Iterator[Remark]:
    for name, scores in metrics.items():
        other = scores["settings"].get("trained_as", name)
        if other != name:
            yield Remark(
                "look",
                f"{name} was trained as {other}: the static model's depth deserved no confidence.",
                "Photos from more positions would help, or a longer training of the static model.",
            )
    parts = depth_parts(results.static_depth, scene.train_cameras)
    shares = {camera: float((part["confidence"] >= CONFIDENT).mean()) for camera, part in parts}
    holes = {camera: share for camera, share in shares.items() if share < HOLES}
    if holes:
        worst = min(holes, key=holes.__getitem__)
        yield Remark(
            "look",
            f"The static part has holes: in {len(holes)} of {len(shares)} training cameras less than {HOLES:.0%} of the"
            f" depth map is sure (least in {worst}, {holes[worst]:.0%}).",
            "Expect floating pieces and soft surfaces there; photos that see these places would fill them.",
        )


def _capture(scene: Scene, results: Results, geometry: Mapping[str, Any]) -> Iterator[Remark]:
    if scene.video_camera and scene.video_camera not in scene.test_cameras:
        yield Remark(
            "look",
            f"The video and the comparison show {scene.video_camera}, which trains: they are no test.",
            "Set video_camera to a held-out camera.",
        )
    if 0 < len(scene.train_cameras) < FEW_CAMERAS:
        yield Remark(
            "note",
            f"Only {len(scene.train_cameras)} cameras train.",
            "Depth of what moves then rests on few views; expect it to be soft.",
        )
    counts = [(name, len(part["z"])) for name, part in depth_parts(results.colmap_depth, scene.train_cameras)]
    few = [f"{camera} {count}" for camera, count in counts if count < FEW_POINTS]
    if few:
        yield Remark(
            "note",
            f"Few sparse points: {', '.join(few)}.",
            "Plain surfaces: lower colmap.peak_threshold, or add photos.",
        )
    for note in (geometry["capture"] or {}).get("notes", []):
        yield Remark("note", note, "")


def _files(scene: Scene, results: Results) -> Iterator[Remark]:
    # What a finished scene has, each with the target that makes it.
    looked_at = (results.video, results.comparison, results.contact_sheet, results.provenance)
    expected = (*looked_at, results.sync, results.cameras_report)
    missing = [path.name for path in expected if not path.is_file()]
    if missing:
        targets = " ".join(f"results/{scene.name}/{name}" for name in missing)
        yield Remark("note", f"Missing here, so not shown: {', '.join(missing)}.", f"snakemake --cores 2 -- {targets}")
    commit = read_json(results.provenance).get("commit") if results.provenance.is_file() else None
    if commit and commit.get("dirty"):
        yield Remark(
            "note",
            "The code had changes that are in no commit, so nobody else can get these numbers.",
            "Commit first, then run again, before you publish.",
        )
