#!/usr/bin/env python3
"""Write docs/configuration.md from workflow/schemas/config.schema.yaml and config/presets/.

.venv/bin/python docs/make_configuration.py     (a test says when it has to run again)
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from mixdepth.scene.config import PRESETS, SCHEMA, preset_settings

REPOSITORY = Path(__file__).resolve().parents[1]
OWN_PRESETS = ("tiny", "cpu", "high", "T", "S", "M", "L")  # users may have added others
OUTPUT = REPOSITORY / "docs" / "configuration.md"

HEAD = """# Configuration

Made by `docs/make_configuration.py` from `workflow/schemas/config.schema.yaml`, which alone has the defaults, and from
the presets in `config/presets/`.

A configuration file holds `scenes`, one entry per scene; the scene's name is the folder below `results/`. Only `data`
is required. A file given with `--configfile` is merged over `config/config.yaml`.

```yaml
scenes:
  kitchen:
    data: data/kitchen
    frames: {start: 100, count: 48}
    preset: T
    dynamic: {steps: 6000}
```
"""

PRESETS_HEAD = """## Presets

A scene may name one as `preset`. It is a file of `config/presets/` with settings of `static` and `dynamic`, which take
the place of the defaults; what the scene sets itself wins, key by key (above: all of `T`, but 6,000 dynamic steps). To
add your own, write a file there. It may say only what differs from another one that it `extends`, as `S`, `M` and `L`
do: schema < extended preset < preset < scene. `cpu` is the defaults, `tiny` is for the demo and tests; `T`, `S`, `M`
and `L` are for GPUs, after the published sizes of MixVoxels (`config/presets/T.yaml` says what differs).

What each comes to, with what it extends; what it leaves to the defaults is –.

"""


def rows(schema: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """One table row per key of a section, with the keys of its own subsections below it."""
    for key, rule in schema.get("properties", {}).items():
        cells = [f"`{prefix}{key}`", rule.get("description", "").strip(), _allowed(rule), _default(rule)]
        yield "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
        if "$ref" not in rule:
            yield from rows({"properties": _own_sections(rule)}, f"{prefix}{key}.")


def _own_sections(rule: Mapping[str, Any]) -> Mapping[str, Any]:
    """The keys of a subsection, without those that only repeat another section."""
    return {key: value for key, value in rule.get("properties", {}).items() if not value.get("partial")}


def _allowed(rule: Mapping[str, Any]) -> str:
    """Types and limits in a few words."""
    if "$ref" in rule:
        return "see below"
    if "enum" in rule:
        return ", ".join(_json(value) for value in rule["enum"])
    types = rule.get("type", [])
    words = " or ".join([types] if isinstance(types, str) else types)
    limits = (("minimum", ">="), ("exclusiveMinimum", ">"), ("maximum", "<="))
    return " ".join([words, *(f"{sign} {rule[key]}" for key, sign in limits if key in rule)])


def _default(rule: Mapping[str, Any]) -> str:
    if "default" not in rule:
        return "required"
    return "" if rule["default"] == {} else f"`{_json(rule['default'])}`"


def _json(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def flat(section: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """The settings of a section with their full keys."""
    found = {}
    for key, value in section.items():
        found |= flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return found


def preset_table(presets: Mapping[str, Mapping[str, Any]]) -> str:
    """One row per setting that any preset has, one column per preset."""
    columns = {name: flat(values) for name, values in presets.items()}
    keys = dict.fromkeys(key for column in reversed(columns.values()) for key in column)
    lines = ["| key | " + " | ".join(f"`{name}`" for name in columns) + " |", "|---" * (len(columns) + 1) + "|"]
    lines += [f"| `{key}` | " + " | ".join(_json(c.get(key, "–")) for c in columns.values()) + " |" for key in keys]
    return "\n".join(lines) + "\n"


def page(schema: Mapping[str, Any], presets: Mapping[str, Mapping[str, Any]]) -> str:
    """The whole page as Markdown; ``presets`` by name."""
    sections = {
        "A scene": "scene",
        "`static`, and `dynamic.static`": "static_training",
        "`dynamic`, and `variant_options.<variant>`": "dynamic_training",
        "A camera path of `paths`": "path",
    }
    parts = [HEAD]
    for title, name in sections.items():
        table = ["| key | meaning | allowed | default |", "|---|---|---|---|", *rows(schema["$defs"][name])]
        parts.append(f"## {title}\n\n" + "\n".join(table) + "\n")
    parts.append(PRESETS_HEAD + preset_table(presets))
    return "\n".join(parts)


def read_presets() -> dict[str, Any]:
    """The project's presets by name, each over what it extends."""
    rules = yaml.safe_load(SCHEMA.read_text())
    found = {}
    for name in OWN_PRESETS:
        extends = yaml.safe_load((PRESETS / f"{name}.yaml").read_text()).get("extends")
        own = {} if extends is None else {"extends": extends}
        found[name] = own | preset_settings(name, "OWN_PRESETS", PRESETS, rules)
    return found


if __name__ == "__main__":
    OUTPUT.write_text(page(yaml.safe_load(SCHEMA.read_text()), read_presets()))
    print(f"wrote {OUTPUT}")
