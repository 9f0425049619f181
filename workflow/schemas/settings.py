"""Write src/mixdepth/scene/settings.py, the types of the settings, from config.schema.yaml. To be run after a change.

python workflow/schemas/settings.py [FILE]
"""

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mixdepth.scene.schema import read_yaml

HERE = Path(__file__).resolve().parent
TARGET = HERE.parents[1] / "src" / "mixdepth" / "scene" / "settings.py"
WIDTH = 120
TYPES = {"string": "str", "integer": "int", "number": "float", "boolean": "bool", "null": "None"}
HEAD = '''\
"""The settings of a scene with their types; their defaults and what they mean in full are in the schema.

Written by workflow/schemas/settings.py from config.schema.yaml beside it: change that, and run it.
"""

from dataclasses import dataclass
from typing import Literal

from mixdepth.scene.section import Section
'''


class Source:
    """The classes that a schema asks for, each after those that it names."""

    def __init__(self, schema: Mapping[str, Any]):
        self._parts = schema["$defs"]
        self._classes: dict[str, str] = {}
        self._class("Settings", {"description": "The settings of one scene.", **self._parts["scene"]})

    def text(self) -> str:
        return "\n\n".join([HEAD, *self._classes.values()])

    def _class(self, name: str, rule: Mapping[str, Any]) -> str:
        """Add the class of a section, after those within it and, with `not_trainer`, that of what its trainer takes.

        Raises:
            ValueError: another section has this name; `title` gives it one of its own.
        """
        base, properties = "Section", dict(rule["properties"])
        if "not_trainer" in rule:
            own = {key: properties.pop(key) for key in rule["not_trainer"]}
            taken = {"description": f"What the trainer takes of {name}.", "properties": properties}
            base, properties = self._class(f"{name}Options", taken), own
        lines = ["@dataclass(frozen=True, kw_only=True, eq=False, repr=False)", f"class {name}({base}):"]
        lines += [*said, ""] if (said := _docstring(rule)) else []
        for key, inner in properties.items():
            lines += [_wrapped(f"    {key}: {self._type(key, inner)}"), *_docstring(inner)]
        text = "\n".join([*lines, ""])
        if self._classes.setdefault(name, text) != text:
            raise ValueError(f"two sections are called {name}: give one a `title`")
        return name

    def _type(self, key: str, rule: Mapping[str, Any]) -> str:
        """The type of a value, as Python writes it; None comes last."""
        return " | ".join(sorted(dict.fromkeys(self._types(key, rule)), key="None".__eq__))

    def _types(self, key: str, rule: Mapping[str, Any]) -> Iterator[str]:
        if "$ref" in rule:
            part = self._parts[rule["$ref"].rpartition("/")[2]]
            yield part["title"] if part["title"] in self._classes else self._class(part["title"], {**part, **rule})
        elif "enum" in rule:
            values = [f'"{value}"' for value in rule["enum"] if value is not None]
            yield from [f"Literal[{', '.join(values)}]", *["None"] * (None in rule["enum"])]
        elif "anyOf" in rule:
            for part in rule["anyOf"]:
                yield from self._types(key, part)
        else:
            for name in [rule["type"]] if isinstance(rule["type"], str) else rule["type"]:
                if name == "array":
                    yield f"list[{self._type(key, rule['items'])}]"
                else:
                    yield self._object(key, rule) if name == "object" else TYPES[name]

    def _object(self, key: str, rule: Mapping[str, Any]) -> str:
        """A section of its own; or a dict, where what is in it has any name or is of one kind of section."""
        inner = [part for part in (*rule.get("properties", {}).values(), rule.get("additionalProperties")) if part]
        if rule.get("additionalProperties") or len({part.get("$ref", id(part)) for part in inner}) == 1 < len(inner):
            return f"dict[str, {self._type(key, inner[-1])}]"
        return self._class(rule.get("title", key.title().replace("_", "")), rule)


def _wrapped(line: str) -> str:
    """A line with a value per line in its brackets, as ruff writes it, where one line does not hold it."""
    if len(line) <= WIDTH:
        return line
    head, _, values = line.rstrip("]").partition("[")
    return "\n".join([f"{head}[", *(f"        {value}," for value in values.split(", ")), "    ]"])


def _docstring(rule: Mapping[str, Any]) -> list[str]:
    """What the schema says of a value, where one line holds it."""
    line = f'    """{rule.get("description", "").strip()}"""'
    return [line] if '""""' not in line and len(line) <= WIDTH else []


if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else TARGET
    target.write_text(Source(read_yaml(HERE / "config.schema.yaml")).text(), encoding="utf-8")
