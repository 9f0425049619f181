"""The work of one stage in a folder, as a rule or the command line has it done."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from mixdepth.results import Results
from mixdepth.workflow.stages import Job


def work(function: Callable, stage: str, scene: Any, folder: Path, *args: Any, **wildcards: str) -> Any:
    """Call the ``function`` that does the work of a ``stage``, with the stage's files below ``folder``."""
    job, results = Job.of(stage, **wildcards), Results(folder)
    return function(scene, *args, **job.read(results, scene), **job.makes(results))
