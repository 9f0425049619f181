"""What a stage is: the pieces that :mod:`mixdepth.workflow.stages` is written in. Standard library only."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mixdepth.results import Results
from mixdepth.scene.scene import Scene

Files = dict[str, Any]  # name -> Path or list of Paths; what there is none of is left out

# Names of inputs that no function is given: the capture's own files, which a scene names itself; those of which only
# the size of the image, or the frame rate, is read, whose dates do not matter; results that are waited for, not read.
SOURCE, SIZES, AFTER = "source", "source_sizes", "after"
# Name of the photos among the capture's own files.
PHOTOS = "source_photos"
# Name of those inputs of which only the results say how many there are.
PARTS = "parts"
Wildcards = Mapping[str, str]

# Where a derived scene of the ablation has a stage's files from (see mixdepth.scene.ablation).
CAPTURE = "capture"  # they depend on the capture alone: from the configured scene
RIG = "rig"  # on the training cameras: from the scene of its camera set
RUN = "run"  # on the seed, too: its own


def once(scene: Scene) -> list[dict[str, str]]:
    return [{}]


def never(scene: Scene) -> list[dict[str, str]]:
    """On demand."""
    return []


@dataclass(frozen=True)
class Stage:
    """One rule."""

    name: str
    reads: Callable[..., Files]  # (results, scene, **wildcards)
    makes: Callable[..., Files]  # (results, **wildcards); they may be patterns
    version: str  # its key in workflow/versions.py
    settings: Callable[..., dict[str, Any]]  # (scene, **wildcards): all that it may see of them
    each: Callable[[Scene], list[dict[str, str]]] = once  # the wildcards of the jobs behind a scene's targets
    level: str = RUN
    checks: Sequence[str] = ()  # settings that are looked at, of which nothing that it makes depends
    folders: Sequence[str] = ()  # names of what it makes that are folders
    compute: str = ""  # "static" or "dynamic", whose settings say threads and device; or ""
    threads: int = 1  # where no settings say how many
    photos: Callable[[Scene], list[str]] | None = None  # the stems of those that it reads
    images: Callable[..., str] | None = None  # (scene, **wildcards): which images there are behind those it reads

    @property
    def wildcards(self) -> tuple[str, ...]:
        """The names of its wildcards but the scene."""
        return self.makes.__code__.co_varnames[1 : self.makes.__code__.co_argcount]

    def photo_files(self, scene: Scene) -> Files:
        """The photos that it reads, if there are any."""
        found = photo_files(scene, self.photos(scene)) if self.photos else []
        return {PHOTOS: found} if found else {}


STAGES: dict[str, Stage] = {}


def stage(
    makes: Callable[..., Files],
    version: str,
    settings: Sequence[str] | Callable[..., dict[str, Any]] = (),
    **more: Any,
) -> Callable[[Callable[..., Files]], Callable[..., Files]]:
    """Register a function of what a stage reads as the stage of its name; ``more`` is as :class:`Stage` has it."""
    of = settings if callable(settings) else lambda scene, variant=None, **_: scene.settings(*settings, variant=variant)

    def register(reads: Callable[..., Files]) -> Callable[..., Files]:
        STAGES[reads.__name__] = Stage(reads.__name__, reads, makes, version, of, **more)
        return reads

    return register


def photo_files(scene: Scene, stems: Iterable[str]) -> list[Path]:
    return [scene.photo_paths[stem] for stem in stems]


def files(**named: Any) -> Files:
    """What is there of ``named``: None is left out."""
    return {name: value for name, value in named.items() if value is not None}


@dataclass(frozen=True)
class Job:
    """One stage for one camera, one variant, ..."""

    stage: Stage
    wildcards: Wildcards

    @staticmethod
    def of(stage: str, /, **wildcards: str) -> "Job":
        return Job(STAGES[stage], wildcards)

    def reads(self, results: Results, scene: Scene) -> Files:
        return self.stage.reads(results, scene, **self.wildcards) | self.stage.photo_files(scene)

    def makes(self, results: Results) -> Files:
        return self.stage.makes(results, **self.wildcards)

    def read(self, results: Results, scene: Scene) -> Files:
        """The results among what it reads, which the function that does the work is given."""
        return given(self.stage.reads(results, scene, **self.wildcards))


def given(named: Files) -> Files:
    """Those of a stage's inputs that a function is given."""
    return {name: value for name, value in named.items() if name not in (SOURCE, PHOTOS, SIZES, AFTER)}


def flat(named: Files) -> list[Path]:
    """All of some files, one after the other."""
    return [path for value in named.values() for path in (value if isinstance(value, list) else [value])]
