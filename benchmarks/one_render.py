"""One turn of ``paths.py --compare``: a camera or a path rendered as a job of the pipeline does, by the build that is
imported, which may be an old one. Takes a JSON object, prints another: seconds of the clock and of the processor."""

import json
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

try:
    from mixdepth.rendering import tasks
except ImportError:  # until 0.4
    from mixdepth.rendering import stage as tasks


def main() -> None:
    job = json.loads(sys.argv[1])
    folder, output = Path(job["folder"]), Path(job["output"])
    names = sorted(json.loads((folder / "cameras.json").read_text()))
    scene = SimpleNamespace(
        name=folder.name,
        data=folder,
        path=job["paths"].get,
        train_cameras=[name for name in names if name not in (job["camera"], "tiny")],
        test_cameras=[job["camera"]],
        options={"frames": {"step": 1}},
        config=SimpleNamespace(frames=SimpleNamespace(step=1)),
    )
    render(scene, job, "tiny", folder, output / "tiny")  # compiles
    start, busy = time.perf_counter(), time.process_time()
    render(scene, job, job["shown"], folder, output / "shown")
    found = {"clock": time.perf_counter() - start, "processor": time.process_time() - busy}
    print(json.dumps(found))


def render(scene: Any, job: dict[str, Any], shown: str, folder: Path, output: Path) -> None:
    """Write rgb.npy and depth.npy of what is shown, a path or a camera, into the folder ``output``."""
    function = tasks.render_path if shown in job["paths"] else tasks.render_camera
    if tasks.__name__.endswith("stage"):
        output.mkdir(parents=True)
        function(scene, job["variant"], shown, folder, output)
        return
    files = {name: folder / f"{name}.json" for name in ("cameras", "space", "capture")}
    if shown not in job["paths"]:
        del files["capture"]
    function(scene, job["variant"], shown, **files, model=folder / job["variant"] / "model.safetensors", output=output)


if __name__ == "__main__":
    main()
