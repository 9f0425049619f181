"""What stands in the sections of a rule, from :mod:`mixdepth.workflow.stages`: for the Snakefile alone."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from snakemake.io import ancient, directory, local, report, unpack
from snakemake.iocontainers import Wildcards

from mixdepth.results import ABLATION, AblationResults, Results
from mixdepth.scene.ablation import Ablation
from mixdepth.scene.config import Scenes
from mixdepth.scene.scene import Scene
from mixdepth.workflow import segments, stages
from mixdepth.workflow.costs import UNKNOWN, memory_mb, minutes, size_of
from mixdepth.workflow.graph import PARTS, PHOTOS, SIZES, SOURCE, Job
from mixdepth.workflow.made import roles
from mixdepth.workflow.stages import STAGES
from mixdepth.workflow.versions import STAGE_VERSIONS

ROOT = Path("results")


class Sections:
    """The sections of the rule of one stage.

    Args:
        name: of the stage.
        configured: the scenes.
        scenes: the wildcard constraint of those whose files it makes; it is in the outputs.
        log: name of the log and the benchmark, before the wildcards; the stage's own unless given.
        planned: is told of every job that Snakemake thinks of, with its scene and that one's results.
        movement: movement.json of some results, once it is as it will stay: Snakemake's checkpoint.
        root: where the results are, as a module below a prefix has them; Snakemake is told of them below ROOT.
    """

    def __init__(
        self,
        name: str,
        configured: Scenes,
        scenes: str,
        log: str = "",
        planned: Callable[[Job, Scene, Results], None] = lambda *_: None,
        movement: Callable[[Results], Path] = lambda results: results.movement,
        root: Path = ROOT,
    ):
        self.name, self.stage, self._root = name, STAGES[name], root
        self._configured, self._planned, self._movement = configured, planned, movement
        made, patterns = Results(ROOT / f"{{scene,{scenes}}}"), Results(ROOT / "{scene}")
        wildcards = {key: f"{{{key}}}" for key in self.stage.wildcards}
        self.outputs = {
            key: _pattern(value, key in self.stage.folders)
            for key, value in self.stage.makes(made, **wildcards).items()
        }
        own = [log or name, *wildcards.values()]
        self.log, self.benchmark = str(patterns.log(*own)), str(patterns.benchmark(*own))
        self.inputs, self.parts = unpack(self._inputs), unpack(self._parts)

    def reported(self, caption: str, what: str = "") -> dict[str, Any]:
        """The outputs, to be in Snakemake's own report, below the scene's name; ``what`` they are called there."""
        more = {"category": "{scene}", "labels": {"what": what} if what else None}
        return {key: report(value, caption, **more) for key, value in self.outputs.items()}

    def _inputs(self, wildcards: Wildcards) -> dict[str, Any]:
        scene, results, others = self._asked(wildcards)
        job = Job(self.stage, others)
        named = job.reads(results, scene)
        self._planned(job, scene, self._there(wildcards))
        if self.stage.photos and PHOTOS in named:
            named[PHOTOS] = stages.planned_photos(scene, self.stage.photos(scene))
        return {key: _given(value, key) for key, value in named.items() if key != PARTS}

    def _parts(self, wildcards: Wildcards) -> dict[str, Any]:
        """The segments of a variant: apart from the other inputs, as these are known before how many segments are."""
        scene, results, others = self._asked(wildcards)
        count = segments.foretold(self._there(wildcards), scene, **others)
        if count is None:
            count = segments.measured(self._movement(results), scene, **others)
        return {key: _given(value, key) for key, value in stages.parts(results, **others, count=count).items()}

    @property
    def params(self) -> dict[str, Any]:
        """The settings that the job may see, whose change makes it anew; its version; and, of no consequence by
        itself, who trains and who is held out."""
        images = {"images": self._images} if self.stage.images or self.stage.photos else {}
        return {
            **images,
            "settings": self._settings,
            "version": STAGE_VERSIONS[self.stage.version],
            # Functions of the input, too, so that a change of them alone makes nothing anew.
            "scene": lambda wildcards, input: roles(self._asked(wildcards)[0]),
            "stage": lambda wildcards, input: self.name,
            "folders": lambda wildcards, input: self._configured.results(wildcards.scene, Path()).folders,
            "checks": lambda wildcards, input: self._asked(wildcards)[0].settings(*self.stage.checks),
        }

    def _settings(self, wildcards: Wildcards) -> dict[str, Any]:
        scene, _, others = self._asked(wildcards)
        return self.stage.settings(scene, **others)

    def _images(self, wildcards: Wildcards) -> str:
        scene, _, others = self._asked(wildcards)
        if self.stage.photos:
            return stages.photo_names(scene, self.stage.photos(scene))
        assert self.stage.images is not None
        return self.stage.images(scene, **others)

    @property
    def threads(self) -> int | Callable:
        """What the settings say (the result may depend on it), whatever --cores is."""
        if not self.stage.compute:
            return self.stage.threads
        return lambda wildcards: self._compute(wildcards)["threads"]

    @property
    def resources(self) -> dict[str, Callable]:
        """Memory and time, more with every retry; and one GPU where the settings ask for one, and the job does not just
        join parts. With `auto` a job takes what it is given: where a cluster has no GPU, one that asks for it would
        wait for ever."""

        def gpu(wildcards: Wildcards, input: Any) -> int:
            return int(self._compute(wildcards)["device"] == "cuda" and not input.get(PARTS))

        return {
            "mem_mb": lambda wildcards, input, attempt: memory_mb(self.name, self._size(wildcards, input), attempt),
            "runtime": lambda wildcards, input, attempt: minutes(self.name, self._size(wildcards, input), attempt),
            **({"gpu": gpu} if self.stage.compute else {}),
        }

    def _compute(self, wildcards: Wildcards) -> Mapping[str, Any]:
        scene, _, others = self._asked(wildcards)
        section = self.stage.compute
        return scene.settings(section, variant=others.get("variant"))[section]

    def _size(self, wildcards: Wildcards, input: Any) -> Any:
        """The size of a job's scene, from what rule `probe` found; before that, a large one. Snakemake works resources
        out again once the inputs of a job are there, so that only the jobs beside `probe` ask for what a large one
        needs."""
        try:
            scene, capture = self._configured[wildcards.scene], self._there(wildcards).capture
            size = size_of(scene, json.loads(capture.read_text()))
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            size = UNKNOWN
        return size._replace(segments=max(1, len(input.get(PARTS, [])) - 1))

    def _asked(self, wildcards: Wildcards) -> tuple[Scene, Results, dict[str, str]]:
        name = wildcards.scene
        others = {key: getattr(wildcards, key) for key in self.stage.wildcards}
        return self._configured[name], self._configured.results(name, ROOT), others

    def _there(self, wildcards: Wildcards) -> Results:
        """The results as they lie on the disk."""
        return self._configured.results(wildcards.scene, self._root)


def unsized(name: str) -> dict[str, Callable]:
    """Resources of a rule of no scene."""
    return {
        "mem_mb": lambda wildcards, attempt: memory_mb(name, UNKNOWN, attempt),
        "runtime": lambda wildcards, attempt: minutes(name, UNKNOWN, attempt),
    }


def _pattern(value: Any, folder: bool) -> Any:
    if isinstance(value, list):
        return [str(path) for path in value]
    return directory(str(value)) if folder else str(value)


def _given(value: Any, name: str) -> Any:
    """Files as an input function returns them. Those of the capture are where the configuration says, also in a
    workflow that has this one as a module below a prefix."""
    found = [str(path) for path in (value if isinstance(value, list) else [value])]
    if name in (SOURCE, PHOTOS, SIZES):
        found = [local(path) for path in found]
    if name == SIZES:
        found = [ancient(path) for path in found]
    return found if isinstance(value, list) else found[0]


# The ablation: one report of all runs.


def ablation_inputs(parts: Sequence[Ablation], configured: Scenes) -> dict[str, list[str]]:
    """The scores of every run; and what the maps of the depth errors show: the first seed's renders of one held-out
    camera, where there is a truth."""
    scores, views = [], []
    for part in parts:
        for run in part.runs:
            results = Results(ROOT / run.folder)
            scores.append(str(results.metrics(run.variant)))
            if part.scene.truth and run.seed == part.seeds[0]:
                views.append(str(results.renders(run.variant, part.camera).folder))
        if part.scene.truth:
            own = configured.results(part.scene.name, ROOT)
            views += [local(str(part.scene.truth)), *map(str, [own.cameras, *own.store(part.camera).files])]
    return {"scores": scores, "views": views}


def ablation_outputs(parts: Sequence[Ablation]) -> dict[str, Any]:
    """The page, its tables and its figures, a map per scene with a truth among them; most are in Snakemake's report."""
    own = AblationResults(ROOT / ABLATION)
    figures = ["cameras", "time", "frames", *(f"depth.{part.scene.name}" for part in parts if part.scene.truth)]

    def shown(value: Any, caption: str, **more: str) -> Any:
        return report(value, f"../workflow/report/{caption}.rst", "ablation", **more)

    return {
        "output": shown(str(own.report), "ablation"),
        "scores": shown(str(own.table("scores")), "ablation_scores"),
        "summary": shown(str(own.table("summary")), "ablation_summary"),
        "latex": str(own.latex),
        "differences": str(own.table("differences")),
        "times": str(own.table("times")),
        "figures": shown([*map(str, own.figures(figures, "svg"))], "ablation_figures", subcategory="figures"),
        "print": [*map(str, own.figures(figures, "pdf"))],
    }
