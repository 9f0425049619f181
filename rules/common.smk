# What the rules share: the scenes, and what stands in a rule's sections (mixdepth/workflow/sections.py, of the stages in
# mixdepth/workflow/stages.py).
import re
import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError

from mixdepth.errors import ConfigurationError, UserError
from mixdepth.results import ABLATION, Results
from mixdepth.scene.config import load_config
from mixdepth.scene.schema import read_yaml
from mixdepth.variants import VARIANTS
from mixdepth.workflow import graph, stages
from mixdepth.workflow.dates import check_dates
from mixdepth.workflow.sections import ROOT, Sections, ablation_inputs, ablation_outputs, roles, unsized
from mixdepth.workflow.start import refuse_unquoted_python, unplaced_trainings
from mixdepth.workflow.versions import STAGE_VERSIONS


def load_scenes():
    """The configured scenes. Those that the command line asks for are looked up at once, so that a mistake in one of
    them is told before anything starts; the others may lie on another machine."""
    asked = [re.match(r"(?:\./)?results/([^/]+)/", argument) for argument in sys.argv[1:]]
    try:
        refuse_unquoted_python()
        if workflow.is_main_process:
            for file in workflow.configfiles:
                read_yaml(file)  # which refuses a key that is there twice: Snakemake takes the last one
        scenes = load_config(config)
        asked = {match[1] for match in asked if match}
        for name in asked - {ABLATION}:
            if workflow.is_main_process:
                check_dates(scenes[name].files, ROOT / name)
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


def rule_of(name, **more):
    return Sections(name, SCENES, scenes_that_make(stages.STAGES[name].level), **more)


wildcard_constraints:
    variant="|".join(VARIANTS),
    camera="[^/]+",
    path="[A-Za-z0-9_-]+",
    source="renders|paths",
    name="[^/]+",
    kind="[^/]+",
