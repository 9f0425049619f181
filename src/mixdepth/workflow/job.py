"""What every workflow script needs around its work: the scene, its files, a log, clear errors.

Scripts import this module before torch, because the environment set here is read when torch is loaded.
"""

import faulthandler
import os
import sys
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from types import FunctionType
from typing import TYPE_CHECKING, Any

from mixdepth.errors import UserError
from mixdepth.files.certificate import certify
from mixdepth.files.io import disk_errors, sweep
from mixdepth.results import Results
from mixdepth.scene.scene import Scene
from mixdepth.workflow.graph import Files, flat, given
from mixdepth.workflow.log import kept
from mixdepth.workflow.made import certified, checkpoint_identity
from mixdepth.workflow.orphans import ends_with_snakemake
from mixdepth.workflow.out_of_memory import memory_errors
from mixdepth.workflow.stages import STAGES

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake

# Idle OpenMP threads sleep instead of spinning: two jobs on two cores otherwise slow each other several times.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def script(main: FunctionType) -> FunctionType:
    """:func:`run` a script's ``main`` where Snakemake started it, and so has left its object ``snakemake`` there."""
    if "snakemake" in main.__globals__:
        run(main.__globals__["snakemake"], main)
    return main


def run(smk: "Snakemake", main: Callable[["Snakemake"], None]) -> None:
    """Run a script's ``main`` with everything it prints shown live and kept in the rule's log.

    A :class:`UserError` is printed alone; any other exception with its traceback. Both end the script with status 1.
    """
    failed = True
    of = ", ".join(f"{key} {value}" for key, value in smk.wildcards.items())
    name = f"{smk.rule}{f' ({of})' if of else ''}"
    with kept(Path(smk.log[0]), name, smk.rule), ends_with_snakemake():
        faulthandler.enable()
        try:
            with disk_errors(Path(smk.output[0])), memory_errors(smk.rule):
                for output in smk.output:
                    sweep(Path(output))
                _certified(smk, main)
            failed = False
        except UserError as error:
            print(f"mixdepth: error in rule {name}: {error}", file=sys.stderr)
        except Exception:
            traceback.print_exc()
    if failed:
        sys.exit(1)


def _certified(smk: "Snakemake", main: Callable[["Snakemake"], None]) -> None:
    """Run ``main`` and certify what it makes; of a rule of no stage (the demo's capture, the ablation's report) only
    what the files are."""
    reads, makes = _named(smk.input), _named(smk.output)
    if stage := STAGES.get(smk.params.get("stage", "")):
        own = scene(smk)
        # Of the photos the plan may name the one that was changed last alone.
        certified(stage, own, reads | stage.photo_files(own), makes, lambda: main(smk))
    else:
        main(smk)
        certify(flat(makes), {})


def _named(files: Any) -> Files:
    """Files of a rule by name: a Path, or a list of them."""
    return {name: Path(file) if isinstance(file, str) else [*map(Path, file)] for name, file in files.items()}


def scene(smk: "Snakemake") -> Scene:
    """The scene of this job as the plan has it, with the settings that its rule declares and no others."""
    return planned(smk.params.scene, smk.params.settings)


def identity(smk: "Snakemake") -> dict[str, Any]:
    """What the checkpoints of this job must have been made from."""
    return checkpoint_identity(STAGES[smk.params.stage], scene(smk), _named(smk.input), _named(smk.output))


def planned(roles: Mapping[str, Any], declared: Mapping[str, Any]) -> Scene:
    """A scene of the plan's params (see :func:`mixdepth.workflow.made.roles`)."""
    return Scene(**{**roles, "data": Path(roles["data"])}, options=dict(declared))


def files(smk: "Snakemake") -> dict[str, Any]:
    """The results that this job reads and makes, by name: a Path, or a list of them; what there is none of is left out.
    The capture's own files are not among them: the scene names them."""
    return given(_named(smk.input)) | _named(smk.output)


def results(smk: "Snakemake") -> Results:
    """All files of this job's scene: for what lies beside inputs and outputs, and for pages of whatever there is."""
    root = Path(smk.log[0]).parents[1 + len(Path(smk.wildcards.scene).parts)]
    return Results(*(root / folder for folder in smk.params.folders))
