"""The matrix of an ablation: scenes x sets of training cameras x variants x seeds, and the scenes that it is made of.

Every cell of the matrix is a scene of its own, derived from a configured one by other training cameras and another
seed, so that all rules work for it. It shares what does not depend on them (see :class:`mixdepth.results.Results`):
everything up to the frames is the configured scene's, what depends on the training cameras alone that of the scene of
its camera set. All cameras with the configured seed are the configured scene itself.

Standard library only: the Snakefile asks at every start.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from mixdepth.errors import ConfigurationError, listed, nearest
from mixdepth.results import ABLATION, Results
from mixdepth.scene.scene import Scene


@dataclass(frozen=True)
class Run:
    """One training that is scored: a variant of a scene."""

    scene: str  # the configured scene
    label: str  # of the set of training cameras: how many, and more where they are named instead of counted
    cameras: list[str]  # that train
    nested: bool  # chosen by number; such sets hold each other
    seed: int
    variant: str
    folder: str  # the scene whose variant it is, below results/

    def row(self) -> dict[str, Any]:
        """The run as plain values, for a rule's params."""
        return asdict(self)


@dataclass(frozen=True)
class Ablation:
    """The part of the matrix that one configured scene asks for."""

    scene: Scene
    variants: list[str]
    seeds: list[int]
    runs: list[Run]
    camera_sets: dict[str, Scene]  # derived: what depends on the training cameras is made there
    members: dict[str, Scene]  # derived: trained and scored
    set_of: dict[str, str]  # member -> the scene of its camera set, which may be the configured one

    @property
    def camera(self) -> str:
        """The held-out camera that pictures show."""
        return self.scene.test_cameras[0]

    def results(self, name: str, root: Path) -> Results | None:
        """The files of a derived scene below ``root``; None of a scene that is not derived here."""
        capture, rig = root / self.scene.name, root / self.set_of.get(name, name)
        known = name in self.members or name in self.camera_sets
        # Photos train in every set.
        return Results(root / name, capture, rig, still=capture if self.scene.photos else rig) if known else None


def spread(names: Sequence[str], count: int) -> list[str]:
    """``count`` of the sorted ``names``, spread over them: the first, the last, then always the one farthest (in the
    list) from those chosen, the earlier of two. So a smaller choice is part of every larger one.

    Returns:
        the chosen names, sorted.
    """
    names = sorted(names)
    chosen = [0, len(names) - 1][:count]
    while len(chosen) < count:
        left = [i for i in range(len(names)) if i not in chosen]
        chosen.append(max(left, key=lambda i: (min(abs(i - j) for j in chosen), -i)))
    return sorted(names[i] for i in chosen)


def plan(scene: Scene, wanted: Mapping[str, Any]) -> Ablation:
    """The matrix that the section ``ablation`` of a configured scene asks for.

    Raises:
        UserError: there is nothing to score, or a camera set that is not one of the scene's training cameras.
    """
    key = f"scenes.{scene.name}.ablation"
    if not scene.test_cameras:
        raise ConfigurationError(
            f"{key}: the scene holds out no video camera, so there is nothing to score; set test_cameras"
        )
    chosen = wanted["variants"] or scene.variants
    if unknown := [variant for variant in chosen if variant not in scene.variants]:
        raise ConfigurationError(
            f"{key}.variants: {listed(unknown)} is not among the scene's, {listed(scene.variants)}"
        )
    variants = [variant for variant in scene.variants if variant in chosen]
    seeds = sorted(wanted["seeds"])
    sets = _camera_sets(key, scene, wanted["cameras"])
    camera_sets, members, set_of, runs = {}, {}, {}, []
    for label, cameras in sets.items():
        whole = cameras == scene.train_cameras
        owner = scene.name if whole else f"{ABLATION}/{scene.name}.{label}"
        if not whole:
            camera_sets[owner] = _derive(scene, owner, cameras, variants)
        for seed in seeds:
            name = f"{ABLATION}/{scene.name}.{label}.s{seed}"
            if whole and _is_configured(scene, variants, seed):
                name = scene.name
            else:
                members[name] = _derive(scene, name, cameras, variants, seed)
                set_of[name] = owner
            runs += [Run(scene.name, label, cameras, "-" not in label, seed, variant, name) for variant in variants]
    return Ablation(scene, variants, seeds, runs, camera_sets, members, set_of)


def _camera_sets(key: str, scene: Scene, wanted: Sequence[int | list[str]] | None) -> dict[str, list[str]]:
    """The sets of training cameras by label, the smaller ones first."""
    every = scene.train_cameras
    found = {}
    for entry in wanted if wanted is not None else [len(every)]:
        count = entry if isinstance(entry, int) else len(entry)
        for camera in [] if isinstance(entry, int) else entry:
            if camera not in every:
                raise ConfigurationError(
                    f'{key}.cameras: "{camera}" is not among the training cameras of the scene'
                    f"{nearest(camera, every)}; there are {listed(every)}"
                )
        if count > len(every):
            raise ConfigurationError(
                f"{key}.cameras: {count} cameras are asked for, but {len(every)} train: {listed(every)}"
            )
        if count == 1 and not scene.photos:
            raise ConfigurationError(f"{key}.cameras: one camera only and no photos; depth needs at least two views")
        cameras = spread(every, count) if isinstance(entry, int) else sorted(set(entry))
        label = f"c{len(cameras)}"
        if cameras != spread(every, len(cameras)):
            label += "-" + hashlib.sha256(" ".join(cameras).encode()).hexdigest()[:6]
        found[label] = cameras
    return dict(sorted(found.items(), key=lambda item: (len(item[1]), item[0])))


def _is_configured(scene: Scene, variants: Sequence[str], seed: int) -> bool:
    """Whether the scene itself trains with this seed."""
    dynamic = {scene.dynamic_options(variant)["seed"] for variant in variants}
    return {scene.options["static"]["seed"], *dynamic} == {seed}


def _derive(scene: Scene, name: str, cameras: list[str], variants: list[str], seed: int | None = None) -> Scene:
    """The scene with other training cameras and, unless None, another seed of the static model and all variants."""
    options = {**scene.options, "train_cameras": cameras, "variants": variants, "video_camera": scene.test_cameras[0]}
    if seed is not None:
        options["static"] = {**options["static"], "seed": seed}
        options["dynamic"] = {**options["dynamic"], "seed": seed}
        own = options["variant_options"].items()
        options["variant_options"] = {v: {k: x for k, x in more.items() if k != "seed"} for v, more in own}
    return replace(
        scene,
        name=name,
        train_cameras=cameras,
        variants=variants,
        video_variant=scene.video_variant if scene.video_variant in variants else variants[-1],
        video_camera=scene.test_cameras[0],
        options=options,
    )
