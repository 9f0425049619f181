"""What is looked at when the work starts, so that hours of cameras and frames do not come before the mistake."""

import os
import re
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from mixdepth.errors import ConfigurationError
from mixdepth.scene.config import Scenes
from mixdepth.workflow.stages import TRAININGS

if TYPE_CHECKING:
    from snakemake.workflow import Workflow


def refuse_unquoted_python() -> None:
    """Scripts are started by a shell, for which Snakemake does not quote the path of Python.

    Raises:
        ConfigurationError: it has a character that means something to the shell.
    """
    if odd := re.search(r"[\s'\"\\$`!*?\[\](){};&|<>#~]", sys.executable):
        raise ConfigurationError(
            f"{sys.executable}: found {odd[0]!r} in the path of Python, expected no character that means something to a"
            " shell: Snakemake could not start a single script. Move the checkout, with its .venv, to another folder,"
            " and run `rm -r .venv` there"
        )


def refuse_unquoted_names(workflow: "Workflow") -> None:
    """Jobs of a cluster are started by shells, for which not every executor quotes the paths of a run and its inputs,
    nor the names by which a job is told what it is: Snakemake lists these with commas.

    Raises:
        ConfigurationError: one has a character by which a shell would take it apart, or run what it says; or a comma.
    """
    if workflow.local_exec:
        return
    jobs = list(workflow.dag.needrun_jobs())
    for name in sorted({name for job in jobs for name in job.wildcards_dict.values() if "," in name}):
        raise ConfigurationError(
            f"{name}: found a comma in a name, which jobs of a cluster cannot be told. Rename what it names, or for a"
            " camera say `cameras: {another_name: <its file>}`"
        )
    inputs = {path for job in jobs for path in job.input}
    for path in [Path.cwd(), *workflow.configfiles, workflow.main_snakefile, *sorted(inputs)]:
        if odd := re.search(r"['\"$`\\\n]", str(Path(path).absolute())):
            raise ConfigurationError(
                f"{path}: found {odd[0]!r} in a path that goes to the cluster's shells, expected no quote, dollar,"
                " backtick or backslash. Rename the folder, or name it by a link that is called otherwise"
            )


def unplaced_trainings(workflow: "Workflow", scenes: Scenes, captured: Mapping[str, str]) -> str:
    """Why trainings that this run will start would fail for want of a GPU; "" where they would not, or only they can
    tell: jobs of a cluster run on other machines, and those with an environment of their own have another PyTorch.

    Args:
        workflow: Snakemake's, which knows by now what will be made.
        captured: of derived scenes, the configured one.
    """
    if workflow.touch or not workflow.local_exec or workflow.deployment_settings.deployment_method:
        return ""
    jobs = [job.wildcards for job in workflow.dag.needrun_jobs() if job.rule.name in TRAININGS]
    return without_gpu(scenes.cuda_key(captured.get(of.scene, of.scene), of.get("variant")) for of in jobs)


def refuse_to_replace(workflow: "Workflow") -> None:
    """Refuse a run whose demo would replace files of a user: Snakemake deletes outputs before it makes them.

    Raises:
        UserError: it would.
    """
    jobs = [job for job in workflow.dag.needrun_jobs() if job.rule.name == "demo_capture"]
    outputs = [Path(path) for job in jobs for path in job.output]
    if any(map(os.path.lexists, outputs)) and not workflow.touch:
        from mixdepth.demo.capture import refuse_others  # NumPy

        refuse_others(outputs)


def without_gpu(keys: Iterable[str]) -> str:
    """Why trainings with these keys (:meth:`Scenes.cuda_key`) would fail here; "" where they would not."""
    wanted = sorted(set(keys) - {""})
    if not wanted:
        return ""
    from mixdepth.compute.device import missing_gpu  # PyTorch, which takes seconds

    missing = missing_gpu()
    return missing and f"{', '.join(wanted)}: {missing}"
