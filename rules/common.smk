# What the rules share: the scenes, and what stands in a rule's sections (mixdepth/workflow/sections.py, of the stages in
# mixdepth/workflow/stages.py).
import re
import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError
from snakemake.settings.types import RerunTrigger

from mixdepth.errors import ConfigurationError, UserError
from mixdepth.results import ABLATION, Results
from mixdepth.scene.config import load_config
from mixdepth.scene.schema import read_yaml
from mixdepth.variants import VARIANTS
from mixdepth.workflow import graph, stages
from mixdepth.workflow.dates import check_dates
from mixdepth.workflow.made import outdated, roles
from mixdepth.workflow.sections import ROOT, Sections, ablation_inputs, ablation_outputs, unsized
from mixdepth.workflow.start import (
    refuse_to_replace,
    refuse_unquoted_names,
    refuse_unquoted_python,
    unplaced_trainings,
)
from mixdepth.workflow.versions import STAGE_VERSIONS

# Where the results are: below a prefix where this is the module of another workflow.
THERE = Path(workflow.modifier.path_modifier.replace_prefix(f"{ROOT}/"))


def load_scenes():
    """The configured scenes. Those that the command line asks for are looked up at once, so that a mistake in one of
    them is told before anything starts; the others may lie on another machine."""
    asked = [re.match(rf"(?:\./)?{re.escape(str(THERE))}/([^/]+)/", argument) for argument in sys.argv[1:]]
    try:
        refuse_unquoted_python()
        if workflow.is_main_process:
            for file in workflow.configfiles:
                read_yaml(file)  # which refuses a key that is there twice: Snakemake takes the last one
        scenes = load_config(config)
        asked = {match[1] for match in asked if match}
        for name in asked - {ABLATION}:
            if workflow.is_main_process:
                check_dates(scenes[name].files, THERE / name)
        if ABLATION in asked and not [name for name in scenes if scenes.ablation(name)]:
            raise ConfigurationError(
                "no scene is in the ablation: set scenes.<name>.ablation, as config/config.yaml does"
            )
        return scenes
    except UserError as error:
        raise WorkflowError(str(error)) from None


SCENES = load_scenes()


def ablations():
    """The parts of the ablation's matrix, of the scenes whose captures are on this machine."""
    found = []
    for name in SCENES:
        try:
            found += filter(None, [SCENES.ablation(name)])
        except UserError:
            continue
    return found


ABLATIONS = ablations()
CAPTURED = {derived: part.scene.name for part in ABLATIONS for derived in [*part.camera_sets, *part.members]}


def scenes_that_make(level):
    """The wildcard constraint of rules whose files others share (mixdepth/workflow/stages.py)."""
    names = [*SCENES]
    names += [name for part in ABLATIONS for name in part.camera_sets if level == graph.RIG]
    names += [name for part in ABLATIONS for name in part.members if level == graph.RUN]
    return "|".join(map(re.escape, names))


TOLD = set()


def made_anew(job, scene, results):
    """Have what a job has made be made anew where its certificate says that it was made otherwise than is planned.
    Snakemake's own dates do not see an older replacement, nor what `--touch` has passed over, and its notes of settings
    are not there in copied results. Who chooses --rerun-triggers has chosen."""
    if not workflow.is_main_process or workflow.dag_settings.rerun_triggers != RerunTrigger.all():
        return
    if reason := outdated(job, scene, results):
        made = [str(path) for path in graph.flat(job.makes(results))]
        workflow.dag.forcefiles.update(made)
        if made[0] not in TOLD:
            print(f"{made[0]}: {reason}, so it has to be made anew", file=sys.stderr)
        TOLD.add(made[0])


def movement(results):
    """movement.json of these results. Until it is there, and up to date, Snakemake does not know the jobs of segments."""
    return Path(checkpoints.movement.get(scene=str(results.movement.parent.relative_to(ROOT))).output[0])


def rule_of(name, **more):
    level = scenes_that_make(stages.STAGES[name].level)
    return Sections(name, SCENES, level, planned=made_anew, movement=movement, root=THERE, **more)


wildcard_constraints:
    variant="|".join(VARIANTS),
    camera="[^/]+",
    segment="[0-9]+",
    path="[A-Za-z0-9_-]+",
    source="renders|paths",
    name="[^/]+",
    kind="[^/]+",
