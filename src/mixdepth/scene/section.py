"""A section of the settings: plain attributes with types, of which only what was declared can be read."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Self, get_args, get_origin


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Section:
    """What the dataclasses of :mod:`mixdepth.scene.settings` are: frozen, and made of a mapping that may be partial.

    Snakemake re-runs a stage when its params change, so a setting that is read but not declared would go unnoticed.
    """

    @classmethod
    def of(cls, declared: Mapping[str, Any]) -> Self:
        """The section that holds what is declared, sections within it too. Nothing is checked: the schema did that."""
        section = object.__new__(cls)
        kinds = {field.name: field.type for field in fields(cls)}
        vars(section).update({key: _typed(kinds.get(key), value) for key, value in declared.items()})
        return section

    def as_mapping(self) -> dict[str, Any]:
        """What was declared, in its order, as plain values."""
        return {key: _plain(value) for key, value in vars(self).items()}

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and vars(self) == vars(other)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{key}={value!r}' for key, value in vars(self).items())})"

    if not TYPE_CHECKING:  # a checker that sees it allows every name

        def __getattr__(self, key: str) -> Any:
            raise AttributeError(
                f"setting {key!r} is read but not declared: add it to the settings of the stage in workflow/stages.py,"
                f" so that changing it re-runs the stage (declared: {', '.join(vars(self)) or 'none'})"
            )


def _typed(kind: Any, value: Any) -> Any:
    """A mapping as the section, or the sections by name, that its type names; any other value as it is."""
    sections = [part for part in (kind, *get_args(kind)) if isinstance(part, type) and issubclass(part, Section)]
    if not sections or not isinstance(value, Mapping):
        return value
    if get_origin(kind) is dict:
        return {name: sections[0].of(inner) for name, inner in value.items()}
    return sections[0].of(value)


def _plain(value: Any) -> Any:
    if isinstance(value, Section):
        return value.as_mapping()
    return {key: _plain(inner) for key, inner in value.items()} if isinstance(value, dict) else value
