"""What must be in the JSON files between two stages, for :func:`mixdepth.files.io.read_json`; docs/architecture.md
tells what it means."""

SIZED = {"width": int, "height": int}
CAPTURE = {"cameras": {str: SIZED}, "photos": {str: SIZED}, "fps": (float, None)}
CAMERAS = {str: {**SIZED, "fx": float, "fy": float, "cx": float, "cy": float, "c2w": [[float] * 4] * 4}}
LENSES = {group: {str: {**SIZED, "model": str, "params": [float]}} for group in ("cameras", "photos")}
BOUNDS = {group: {str: [float] * 2} for group in ("cameras", "photos")}
WORLD = {"reason": str, "scale": float, "rotation": [[float] * 3] * 3, "translation": [float] * 3}
SPACE = {
    **dict.fromkeys(("kind", "reason"), str),
    **dict.fromkeys(("near", "far", "reference_near", "reference_far"), float),
    **{"frame": [[float] * 4] * 4, "low": [float] * 3, "high": [float] * 3},
}
VERIFICATION = {"verdict": str, "score": float, "reason": str, "images": {}}
