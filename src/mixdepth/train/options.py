"""What trainers take of the settings: defaults are the schema's (workflow/schemas/config.schema.yaml), sizes that no
key says follow from the capture (:mod:`mixdepth.scene.quality`)."""

from collections.abc import Mapping
from dataclasses import fields
from typing import TypeVar

from mixdepth.scene.quality import Moving, Seen, sized_dynamic, sized_static
from mixdepth.scene.section import Section
from mixdepth.scene.settings import Dynamic, DynamicOptions
from mixdepth.scene.settings import Static as StaticOptions
from mixdepth.words import percent

__all__ = [
    "DynamicOptions",
    "StaticOptions",
    "dynamic_section",
    "from_mapping",
    "static_options",
    "told_dynamic",
    "told_static",
]

T = TypeVar("T", bound=Section)


def from_mapping(kind: type[T], values: Mapping) -> T:
    """Options of ``kind`` from a configuration section; other keys of the section are left alone."""
    return kind(**{field.name: values[field.name] for field in fields(kind)})


def static_options(section: StaticOptions, quality: str, seen: Seen) -> StaticOptions:
    """``section`` with the sizes that it leaves to ``quality``."""
    return from_mapping(StaticOptions, sized_static(section.as_mapping(), quality, seen))


def dynamic_section(section: Dynamic, quality: str, seen: Seen, moving: Moving) -> Dynamic:
    """``section`` with the sizes that it leaves to ``quality``, those of its static branch too."""
    return Dynamic.of(sized_dynamic(section.as_mapping(), quality, seen, moving))


def told_static(quality: str, seen: Seen, options: StaticOptions) -> str:
    """What a static field is sized by, and how, in words."""
    return (
        f"quality {quality}: {seen.pixels / 1e6:.1f} megapixels, {seen.across:.0f} pixels across the space:"
        f" {options.steps} steps, {options.resolution} cells, {options.samples} samples a ray"
    )


def told_dynamic(quality: str, moving: Moving, section: Dynamic) -> str:
    """What a dynamic branch is sized by, and how, in words."""
    share, segment = percent(moving.runs[0][1], 1), section.segment or moving.frames
    return (
        f"quality {quality}: {share} of {moving.pixels / 1e6:.1f} megapixels move at a time, over {moving.across:.0f}"
        f" pixels: segments of {segment} frames, each of {section.steps} steps, {section.resolution} cells,"
        f" {section.samples} samples a ray"
    )
