"""What trainers take of the settings. The schema (workflow/schemas/config.schema.yaml) has all defaults."""

from collections.abc import Mapping
from dataclasses import fields
from typing import TypeVar

from mixdepth.scene.section import Section
from mixdepth.scene.settings import DynamicOptions
from mixdepth.scene.settings import Static as StaticOptions

__all__ = ["DynamicOptions", "StaticOptions", "from_mapping"]

T = TypeVar("T", bound=Section)


def from_mapping(kind: type[T], values: Mapping) -> T:
    """Options of ``kind`` from a configuration section; other keys of the section are left alone."""
    return kind(**{field.name: values[field.name] for field in fields(kind)})
