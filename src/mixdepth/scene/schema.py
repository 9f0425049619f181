"""Values against a JSON schema: every mistake in one clear line, and defaults filled in.

PyYAML and jsonschema are imported where they are needed: a GPU node, which gets its scene as JSON, has neither.
"""

import itertools
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from mixdepth.errors import ConfigurationError, listed, nearest

LARGEST, DEEPEST = 100_000, 50  # values and levels of a configuration that is read
_TYPE_NAMES = {
    "string": "text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "array": "a list",
    "object": "a section (key: value)",
    "null": "null",
}


def read_yaml(path: Path) -> Any:
    """What a YAML file holds; an empty section where it is empty.

    Raises:
        UserError: the file is missing or not YAML.
    """
    import yaml

    class Loader(yaml.SafeLoader):
        """PyYAML's, which only makes plain values, but for keys that are there twice: it would take the last one."""

        def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
            keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
            if twice := [key for key in set(keys) if keys.count(key) > 1]:
                raise yaml.constructor.ConstructorError(
                    None, None, f'the key "{min(twice)}" is there twice', node.start_mark
                )
            return super().construct_mapping(node, deep)

    if not Path(path).is_file():
        raise ConfigurationError(f"{path}: file not found (looked from {Path.cwd()})")
    try:
        with Path(path).open(encoding="utf-8-sig") as file:
            found = yaml.load(file, Loader)
    except (yaml.YAMLError, OSError, ValueError, RecursionError, MemoryError, AttributeError) as error:
        raise ConfigurationError(f"{path}: not a YAML file: {' '.join(str(error).split())}") from None
    return {} if found is None else found


def check(value: Any, schema: Mapping[str, Any], what: str) -> None:
    """Refuse a value that the schema does not allow.

    Args:
        value: what was read from a file.
        schema: a JSON schema (2020-12).
        what: what the value is, for the message.

    Raises:
        UserError: all mistakes, one per line, each with its full key.
    """
    import jsonschema

    mistakes = list(_too_much(value)) or list(_keys_that_are_not_text(value))
    if not mistakes:
        errors = jsonschema.Draft202012Validator(schema).iter_errors(value)
        by_place = sorted(errors, key=lambda error: [str(part) for part in error.absolute_path])
        mistakes = [line for error in by_place for line in _explain(error)]
    if mistakes:
        raise ConfigurationError(f"{what} is not valid:\n" + "\n".join(f"  {line}" for line in mistakes))


# Defaults


def filled(value: Any, schema: Mapping[str, Any], root: Mapping[str, Any]) -> Any:
    """``value`` with the schema's defaults, recursively. A schema with ``partial: true`` (a custom keyword) holds
    overrides of another section: what is not given there stays away. One with ``defaults`` (another) has other defaults
    than the part of the schema that it refers to."""
    if "$ref" in schema:
        schema = {**_referred(schema["$ref"], root), **{key: schema[key] for key in schema if key != "$ref"}}
    if not isinstance(value, Mapping) or schema.get("partial"):
        return value
    value, properties = {**schema.get("defaults", {}), **value}, schema.get("properties", {})
    others = schema.get("additionalProperties")
    result = {}
    for key, rule in properties.items():
        if key in value:
            result[key] = filled(value[key], rule, root)
        elif "default" in rule:
            result[key] = filled(rule["default"], rule, root)
    for key in value:
        if key not in properties:
            result[key] = filled(value[key], others, root) if isinstance(others, Mapping) else value[key]
    return result


def _referred(reference: str, root: Mapping[str, Any]) -> Mapping[str, Any]:
    """The part of the schema that ``#/a/b`` names."""
    found: Any = root
    for part in reference.removeprefix("#/").split("/"):
        found = found[part]
    return found


def merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """``base`` with the values of ``over``, sections merged key by key."""
    result = dict(base)
    for key, value in over.items():
        both = isinstance(value, Mapping) and isinstance(result.get(key), Mapping)
        result[key] = merged(result[key], value) if both else value
    return result


# Messages


def _too_much(value: Any) -> Iterator[str]:
    """What no configuration has. YAML's aliases make a value of a few lines that has billions of parts, or has no end,
    on which everything that walks through it would hang."""
    parts, layer = 0, [value]
    for _ in range(DEEPEST):
        layer = list(itertools.islice((inner for part in layer for inner in _parts(part)), LARGEST + 1))
        parts += len(layer)
        if parts > LARGEST:
            break
    if layer:
        yield f"more than {LARGEST} values, or nested deeper than {DEEPEST}; expected fewer (do aliases repeat it?)"


def _parts(value: Any) -> Iterable[Any]:
    return value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ()


def _keys_that_are_not_text(value: Any, path: str = "") -> Iterator[str]:
    """YAML reads a bare 3 as a number and a bare `no` as false, which the schema cannot name."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            here = f"{path}.{key}" if path else str(key)
            if not isinstance(key, str):
                yield f'{here}: the key is {_shown(key)}, expected text: put it in quotes, "{key}"'
            yield from _keys_that_are_not_text(inner, here)


def _explain(error: Any) -> Iterator[str]:
    """One line per mistake: the full key, what was found, what was expected, the nearest known key."""
    path = _key(error.absolute_path)
    dot = f"{path}." if path else ""
    if error.validator == "additionalProperties":
        known = list(error.schema.get("properties", {}))
        for key in error.instance:
            if key not in known:
                yield f"{dot}{key}: unknown key{nearest(key, known)} (known here: {listed(known)})"
    elif error.validator == "required":
        for key in error.validator_value:
            if key not in error.instance:
                rule = error.schema.get("properties", {}).get(key, {})
                yield f"{dot}{key}: missing, expected {_expected(rule)}{_meaning(rule)}"
    elif "propertyNames" in error.absolute_schema_path:
        yield f'{dot}{error.instance}: not a name; use letters, digits, "_", "-" and ".", a letter or digit first'
    else:
        near = nearest(str(error.instance), [str(v) for v in error.schema.get("enum", [])])
        wanted = f"{_expected(error.schema)}{near}{_meaning(error.schema)}"
        yield f"{path or 'all of it'}: found {_shown(error.instance)}, expected {wanted}"


def _key(parts: Iterable[str | int]) -> str:
    return re.sub(r"^\.", "", "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in parts))


def _shown(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, Mapping):
        return f"a section with the keys {listed(value)}"
    if isinstance(value, list):
        return f"a list of {len(value)}"
    return f'the text "{value}"' if isinstance(value, str) else f"the number {value}"


def _expected(schema: Mapping[str, Any]) -> str:
    """What a schema allows, in words."""
    if "anyOf" in schema:
        return " or ".join(_expected(part) for part in schema["anyOf"])
    if "enum" in schema:
        return "one of " + ", ".join("null" if value is None else str(value) for value in schema["enum"])
    types = schema.get("type", [])
    words = " or ".join(_TYPE_NAMES[name] for name in ([types] if isinstance(types, str) else types)) or "another value"
    limits = {
        "minimum": "at least {}",
        "exclusiveMinimum": "greater than {}",
        "maximum": "at most {}",
        "exclusiveMaximum": "less than {}",
        "minItems": "with at least {} entries",
        "maxItems": "with at most {} entries",
        "minProperties": "with at least {} entries",
        "pattern": "of the form {}",
    }
    bounds = [text.format(schema[key]) for key, text in limits.items() if key in schema]
    if schema.get("uniqueItems"):
        bounds.append("none twice")
    return ", ".join([words, *bounds])


def _meaning(schema: Mapping[str, Any]) -> str:
    return f" ({schema['description'].strip().rstrip('.')})" if "description" in schema else ""
