"""What the report draws as curves: training from TensorBoard's files, and scores from frame to frame."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mixdepth.report.chart import Line, line_chart
from mixdepth.results import STATIC, Results
from mixdepth.scene.scene import Scene

Steps = tuple[list[int], list[float]]  # steps, and a figure at each of them
TRAINING = (
    ("Static branches: PSNR of the rays they train on", "static", "psnr", "dB", False),
    ("Static branches: loss", "static", "loss", "loss", True),
    ("Dynamic branches: PSNR of the rays they train on", "dynamic", "psnr_moving", "dB", False),
    ("Dynamic branches: loss", "dynamic", "loss", "loss", True),
)
FRAMES = (
    ("psnr", "PSNR", "dB"),
    ("flip", "FLIP", "FLIP"),
    ("depth_median", "Median depth error", "units of the truth"),
)


def training_charts(scene: Scene, results: Results) -> list[dict[str, Any]]:
    """Loss and PSNR against the step, from whatever curves the trainings left beside the results.

    They are no outputs of any rule: what is not there is not drawn.
    """
    runs = {STATIC: {"static": scalars([results.run(STATIC) / "tensorboard"])}}
    for variant in scene.variants:
        place = results.run(variant)
        runs[variant] = {
            "static": scalars([place / "static" / "tensorboard"]),
            "dynamic": scalars(_segments(place / "dynamic")),
        }
    charts = []
    for title, stage, tag, unit, log in TRAINING:
        found = {name: parts.get(stage, {}).get(tag) for name, parts in runs.items()}
        labels = {name: "static model" if name == STATIC else name for name in found}
        lines = [Line(labels[name], name, *steps) for name, steps in found.items() if steps]
        charts.append(line_chart(title, "step", unit, lines, log))
    return list(filter(None, charts))


def _segments(place: Path) -> list[Path]:
    """TensorBoard's folders of a dynamic training: one, or one for each segment in the order of time."""
    numbered = sorted((path for path in place.glob("*") if path.name.isdigit()), key=lambda path: int(path.name))
    return [path / "tensorboard" for path in numbered] or [place / "tensorboard"]


def scalars(folders: list[Path]) -> dict[str, Steps]:
    """Every scalar that TensorBoard's files in ``folders`` hold, by tag; the steps of each folder follow on."""
    found: dict[str, Steps] = {}
    offset = 0
    for folder in folders:
        last = 0
        for tag, step, value in _events(folder):
            steps, values = found.setdefault(tag, ([], []))
            steps.append(offset + step)
            values.append(value)
            last = max(last, step)
        offset += last + 1
    return found


def _events(folder: Path) -> Iterator[tuple[str, int, float]]:
    if not any(folder.glob("events.out.*")):
        return
    from tensorboard.backend.event_processing.event_accumulator import IMAGES, SCALARS, EventAccumulator

    # 0 keeps every scalar, where it would take a random sample; of pictures none is wanted, and one is the least.
    events = EventAccumulator(str(folder), size_guidance={SCALARS: 0, IMAGES: 1}).Reload()
    for tag in sorted(events.Tags()[SCALARS]):
        for event in events.Scalars(tag):
            yield tag, event.step, event.value


def frame_charts(metrics: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Scores from frame to frame, one chart for each held-out camera and score that has any."""
    charts = []
    cameras = sorted({name for scores in metrics.values() for name in scores["cameras"]})
    for camera in cameras:
        for key, title, unit in FRAMES:
            lines = []
            for variant, scores in metrics.items():
                values = (scores["cameras"].get(camera, {}).get("frames") or {}).get(key) or []
                values = [float("nan") if value is None else value for value in values]
                lines.append(Line(variant, variant, _numbers(scores, len(values)), values))
            charts.append(line_chart(f"{title}, {camera}", "frame of the video", unit, lines))
    return list(filter(None, charts))


def _numbers(scores: Mapping[str, Any], count: int) -> range:
    """The frames' numbers in the whole video."""
    frames = scores["settings"].get("frames") or {}
    start, step = frames.get("start", 0), frames.get("step", 1)
    return range(start, start + step * count, step)
