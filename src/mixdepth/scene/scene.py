"""A scene: its files, which cameras and photos train and which are held out, and its settings."""

import contextlib
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from mixdepth.errors import ConfigurationError, listed, nearest
from mixdepth.files.kinds import Glance, glance
from mixdepth.results import STATIC
from mixdepth.scene.schema import merged
from mixdepth.scene.settings import Settings
from mixdepth.variants import TABLE

# By `poses.source`, where given cameras are below `data` unless `poses.path` says otherwise.
POSES_FILES = {
    "llff": "poses_bounds.npy",
    "model": "sparse/0",
    "transforms": "transforms.json",
    "panoptic": "",
    "toml": "calibration.toml",
    "metashape": "cameras.xml",
    "realitycapture": "cameras.csv",
    "opencv": "",
    "easymocap": "",
    "pinf": "",
}


@dataclass(frozen=True)
class Scene:
    """One scene: its files, who trains and who is held out, and its settings with every default filled in."""

    name: str
    data: Path
    cameras: dict[str, str] = field(repr=False)  # every video camera: name -> video file or folder of frames
    photos: dict[str, str] = field(repr=False)  # photos that may be used: stem -> file; excluded ones are not in it
    train_cameras: list[str]
    test_cameras: list[str]
    train_photos: list[str]
    test_photos: list[str]
    variants: list[str]  # none of them where there is no video camera
    video_variant: str
    video_camera: str  # "" where there is no video camera
    options: dict[str, Any] = field(repr=False)
    viewer_cameras: list[str] = field(default_factory=list)  # what viewer.html is made of, where it starts first

    @cached_property
    def config(self) -> Settings:
        """The settings as attributes with types. One that the job's rule does not declare cannot be read."""
        return Settings.of(self.options)

    @property
    def used_cameras(self) -> list[str]:
        """Cameras that train or are held out; the others are left alone."""
        return sorted({*self.train_cameras, *self.test_cameras})

    @cached_property
    def frame_folders(self) -> dict[str, Glance]:
        """The cameras in use whose frames are images in a folder."""
        folders = {name: Path(self.cameras[name]) for name in self.used_cameras}
        found = {name: glance(folder) for name, folder in folders.items() if folder.is_dir()}
        return {name: seen for name, seen in found.items() if seen}

    @cached_property
    def photo_paths(self) -> dict[str, Path]:
        return {stem: Path(path) for stem, path in self.photos.items()}

    @cached_property
    def photo_facts(self) -> dict[str, tuple[int, int]]:
        """Bytes and date (in nanoseconds) of each photo that is there, by its stem."""
        found = {}
        for stem, path in self.photo_paths.items():
            with contextlib.suppress(OSError):
                status = path.stat()
                found[stem] = status.st_size, status.st_mtime_ns
        return found

    @property
    def files(self) -> list[Path]:
        """Every file or folder of the capture that may be read."""
        given = [self.poses_path, self.intrinsics_path, self.truth]
        return [*map(Path, self.cameras.values()), *self.photo_paths.values(), *filter(None, given)]

    @property
    def poses_given(self) -> bool:
        """Whether the cameras are given; else COLMAP finds them."""
        return self.config.poses.source != "colmap"

    @property
    def poses_path(self) -> Path | None:
        """The file or folder of given cameras; None where COLMAP finds them."""
        poses = self.config.poses
        return self.data / (poses.path or POSES_FILES[poses.source]) if self.poses_given else None

    @property
    def intrinsics_path(self) -> Path | None:
        """The file of known lenses for COLMAP, if there is one."""
        path = self.config.poses.intrinsics
        return self.data / path if path else None

    @property
    def truth(self) -> Path | None:
        """The truth.npz that scoring reads, if there is one."""
        return self.data / self.config.truth if self.config.truth else None

    def path(self, name: str) -> dict[str, Any]:
        """The settings of one camera path.

        Raises:
            UserError: there is none of this name.
        """
        paths = self.options["paths"]
        if name not in paths:
            raise ConfigurationError(
                f'scene {self.name} has no camera path "{name}"{nearest(name, paths)}; it has {listed(paths)}. More can'
                f" be laid out in scenes.{self.name}.paths"
            )
        return paths[name]

    def dynamic_options(self, variant: str) -> dict[str, Any]:
        """The settings of dynamic training for one variant: ``dynamic``, overridden by ``variant_options``."""
        return merged(self.options["dynamic"], self.options["variant_options"].get(variant, {}))

    def settings(self, *names: str, variant: str | None = None) -> dict[str, Any]:
        """These sections of the options, or single keys of them ("poses.trust"); with a variant, its ``dynamic``."""
        sections: dict[str, Any] = {}
        for name in names:
            section, _, key = name.partition(".")
            if key:
                sections.setdefault(section, {})[key] = self.options[section][key]
            else:
                sections[section] = self.options[section]
        if "dynamic" in sections and variant:
            sections["dynamic"] = self.dynamic_options(variant)
        return sections

    def score_settings(self, variant: str) -> dict[str, Any]:
        """What the scores of a variant, or of the static model ("static"), depend on and are recorded with. ``none``
        and ``colmap`` know nothing of the static stage."""
        if variant == STATIC:
            return self.settings("static", "quality", "truth", "photo_scale")
        names = ["dynamic", "quality", "frames", "scale", "truth", "lpips"]
        names += ["colmap"] if TABLE[variant].sparse else []
        names += ["static"] if TABLE[variant].needs_static else []
        return self.settings(*names, variant=variant)
