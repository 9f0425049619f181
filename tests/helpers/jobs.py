"""The jobs of the workflow as Snakemake plans them, and their scripts run without starting it for each of them."""

import contextlib
import importlib.util
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from snakemake.api import SnakemakeApi
from snakemake.iocontainers import Snakemake
from snakemake.settings.types import ConfigSettings, DAGSettings, OutputSettings, Quietness, ResourceSettings

from helpers.checkout import REPOSITORY
from helpers.place import NAMES, OPTIONS, write_place
from helpers.tiny import FRAMES, tiny_config, write_config, write_tiny_capture
from mixdepth.demo import capture as demo
from mixdepth.demo import rig
from mixdepth.exports.kinds import KINDS
from mixdepth.files.io import write_json
from mixdepth.workflow import job

SCRIPTS = REPOSITORY / "workflow" / "scripts"
# What needs a job of every script, of the scenes that `write_everything` writes.
EVERYTHING = [
    *("results/ablation/report.html", "results/y/cameras_report.json"),
    *("results/demo/sync.json", "results/demo/capture.json", "results/x/none/exports/renders/cam00/png"),
    *(
        f"results/x/{name}"
        for name in ("report.html", "viewer.html", "export/transforms.json", "none/paths/spiral.mp4")
    ),
    *(f"results/x/none/exports/paths/spiral/{kind}" for kind in KINDS),
]


def write_everything(folder: Path) -> Path:
    """A configuration in ``folder`` with as little as leaves nothing out: scene ``x`` with given poses, photos (one of
    them held out), two variants, one of them in two segments, and an ablation; ``y``, whose poses COLMAP finds; and the
    demo. How many frames ``x`` has is there before, or nobody could plan its segments."""
    write_tiny_capture(folder)
    ablation = {"cameras": [1], "seeds": [0], "variants": ["none"]}
    paths = {"spiral": {"kind": "spiral", "frames": 5}}
    more = {"paths": paths, "variant_options": {"none": {"segment": 3}}}
    config = tiny_config(variants=["none", "inherited"], test_photos_every=2, ablation=ablation, **more)
    write_json(folder / "results/x/capture.json", {"selected": FRAMES})
    data = folder / "data/y"
    for name in ("photos", *(f"videos/{name}" for name in NAMES)):
        (data / name).mkdir(parents=True)
    write_place(data)
    for name in NAMES:
        (data / f"{name}.png").rename(data / f"videos/{name}/0.png")
    (data / "cam04.jpg").rename(data / "photos/cam04.jpg")
    config["scenes"]["y"] = {"data": "data/y", "poses": {"source": "colmap"}, "colmap": OPTIONS}
    demo = yaml.safe_load((REPOSITORY / "config/config.yaml").read_text())["scenes"]["demo"]
    config["scenes"]["demo"] = {key: value for key, value in demo.items() if key != "ablation"}
    write_config(folder, config)
    return folder


def render_nothing(patch: pytest.MonkeyPatch) -> None:
    """Let the demo show noise, which takes no seconds of rendering."""
    patch.setattr(demo, "Shot", _Noise)


class _Noise:
    def __init__(self, _: object):
        self.picture = np.random.default_rng(0).integers(0, 255, (rig.HEIGHT, rig.WIDTH, 3), np.uint8)

    def still(self) -> np.ndarray:
        return self.picture

    def still_depth(self) -> np.ndarray:
        return np.ones(self.picture.shape[:2], np.float16)

    def frame(self, _: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return self.picture, self.still_depth(), self.still_depth() > 1


@dataclass(frozen=True)
class PlannedJob:
    """One job of the workflow."""

    rule: str
    script: str  # its file name
    smk: Snakemake  # what the script is given

    @property
    def outputs(self) -> list[Path]:
        return [Path(path) for path in self.smk.output]

    def run(self) -> bool:
        """Run its script in the current folder, as Snakemake does; whether it succeeded. It says why not."""
        self.make_room()
        try:
            job.run(self.smk, script_main(self.script))
        except SystemExit:
            return False
        return True

    def make_room(self) -> None:
        """The folders that it writes into, without what it is to write."""
        for path in [*self.outputs, *map(Path, self.smk.log)]:
            path.parent.mkdir(parents=True, exist_ok=True)
        for path in self.outputs:
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            path.unlink(missing_ok=True)


@dataclass(frozen=True)
class Made:
    """A folder in which all of these jobs have been run."""

    folder: Path
    jobs: list[PlannedJob]

    def copy(self, folder: Path) -> None:
        shutil.copytree(self.folder, folder, symlinks=True, dirs_exist_ok=True)


def make_everything(folder: Path) -> Made:
    """Run a job of every script in ``folder``."""
    _, jobs = plan_jobs(write_everything(folder), *EVERYTHING)
    with pytest.MonkeyPatch.context() as patch, contextlib.chdir(folder):
        render_nothing(patch)
        for job in jobs:
            assert job.run(), job.rule
    return Made(folder, jobs)


def script_main(name: str) -> Callable[[Any], None]:
    """The function ``main`` of a workflow script."""
    spec = importlib.util.spec_from_file_location(f"workflow_{Path(name).stem}", SCRIPTS / name)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.main


def plan_jobs(folder: Path, *targets: str) -> tuple[set[str], list[PlannedJob]]:
    """Of the workflow with ``folder``/config.yaml: the scripts of all its rules, and the jobs that ``targets`` need if
    nothing is there yet, in an order in which they can run."""
    with SnakemakeApi(OutputSettings(quiet={Quietness.ALL})) as api, contextlib.chdir(folder):
        loaded = api.workflow(
            snakefile=REPOSITORY / "Snakefile",
            workdir=folder,
            resource_settings=ResourceSettings(cores=2),
            config_settings=ConfigSettings(configfiles=[folder / "config.yaml"]),
        )
        loaded.dag(DAGSettings(targets=set(targets), forceall=True))
        # What `snakemake --summary` does before it prints.
        workflow = loaded._workflow
        workflow._prepare_dag(forceall=True, ignore_incomplete=True, lock_warn_only=True)
        workflow._build_dag()
        scripts = {Path(rule.script).name for rule in workflow.rules if rule.script}
        levels = [sorted(level, key=lambda job: (job.rule.name, *job.output)) for level in workflow.dag.toposorted()]
        return scripts, [_planned(job, workflow.config) for level in levels for job in level if job.rule.script]


def _planned(job: Any, config: dict) -> PlannedJob:
    given = (job.input, job.output, job.params, job.wildcards, 1, job.resources, job.log, config, job.rule.name, None)
    return PlannedJob(job.rule.name, Path(job.rule.script).name, Snakemake(*given, SCRIPTS))
