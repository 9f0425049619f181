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
from mixdepth.scene.quality import (
    BATCH,
    BATCH_PER_CELL,
    LEVELS,
    MOVING_PIXELS,
    SEGMENT,
    SMOOTH_PIXELS,
    SMOOTHNESS,
    STATIC_PIXELS,
)
from mixdepth.workflow.costs import Size, sizes, training

REPOSITORY = Path(__file__).resolve().parents[1]
OWN_PRESETS = ("tiny", "T", "S", "M", "L")  # users may have added others
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

QUALITY_HEAD = """## Quality

`quality` is how large the models are and how long they train: `draft` for a first look, `standard`, or `high`. What
each comes to follows from the capture, by one formula (`src/mixdepth/scene/quality.py`), and is the same on every
machine, on CPU and GPU. What a preset or the scene itself says wins, key by key. The log of a training, its model's
header and metrics.json (`settings.sizes`, `settings.trained`) say what was measured and what came of it.

"""

QUALITY_FORMULA = """
- *Across* is how many pixels the images have along an axis of the space, where the rays are half-way through it (the
  median over the cameras); of what moves it is the longer side of what moves at a time, pixels, the median over
  cameras and time. Cells are a multiple of 16.
- Steps grow with the square root of what there is to learn: above {static:.0f} megapixels of images, and above
  {moving:.0f} million moving pixels x frames in a segment.
- The weight of the static grids' total variation is {smoothness:g} for up to {smooth:.0f} megapixels of images, and
  falls as they grow: it is a prior.
- A segment is the longest run of frames in which so many times as many pixels move as at a time: {least} to {most}
  frames.
- A static step sees {batch} samples, or {batch_per_cell} for each cell of a plane if that is more: it updates all
  cells, whatever it sees.
- A ray has 0.44 samples per cell of the static grid, or 0.5 of the dynamic one if that is more.
"""

FORECAST_HEAD = """
Sizes, and what `mixdepth doctor` forecasts of a variant with its own static branch (`colmap`) on two cores, for
captures of which nothing else is known (12 % move at a time; 1.4 times as many pixels across the space as along the
image):

"""

PRESETS_HEAD = """## Presets

A scene may name one as `preset`, for fixed sizes. It is a file of `config/presets/` with settings of `static` and
`dynamic`, which take the place of the defaults and of `quality`; what the scene sets itself wins, key by key (above:
all of `T`, but 6,000 dynamic steps). To add your own, write a file there. It may say only what differs from another one
that it `extends`, as `S`, `M` and `L` do: quality < schema < extended preset < preset < scene. `tiny` is for the demo
and tests; `T`, `S`, `M` and `L` are for GPUs, after the published sizes of MixVoxels (`config/presets/T.yaml` says what
differs).

What each comes to, with what it extends; what it leaves to the defaults and to `quality` is –.

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
        return f"by `{rule['from']}`" if "from" in rule else "required"
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


CAPTURES = {  # by what they are called in the table
    "8 cameras, 160x120 x 24": Size(cameras=8, frames=24, width=160, height=120, colmap=False),
    "31 cameras (4 held out), 640x360 x 150": Size(
        cameras=31, held_out=4, frames=150, width=640, height=360, colmap=False
    ),
    "21 cameras (1 held out), 1352x1014 x 300": Size(cameras=21, frames=300, width=1352, height=1014),
}


def quality_text() -> str:
    """The section on ``quality``: the numbers of each, and what they come to for three captures."""
    rows = {
        "static cells per pixel across": lambda one: (
            f"{one.static_cells:g} ({one.static_range[0]} to {one.static_range[1]})"
        ),
        "components of density and colour": lambda one: " and ".join(map(str, one.components)),
        "static steps, at least": lambda one: str(one.static_steps),
        "dynamic cells per moving pixel across": lambda one: f"{one.cells:g} ({one.range[0]} to {one.range[1]})",
        "dynamic steps of a segment, at least": lambda one: str(one.steps),
        "growth of what moves in a segment": lambda one: f"{one.growth:g}",
    }
    lines = ["| | " + " | ".join(f"`{name}`" for name in LEVELS) + " |", "|---" * (len(LEVELS) + 1) + "|"]
    lines += [f"| {what} | " + " | ".join(map(tell, LEVELS.values())) + " |" for what, tell in rows.items()]
    limits = {
        "static": STATIC_PIXELS / 1e6,
        "moving": MOVING_PIXELS / 1e6,
        "smoothness": SMOOTHNESS,
        "smooth": SMOOTH_PIXELS / 1e6,
        "batch": BATCH,
        "batch_per_cell": BATCH_PER_CELL,
        "least": SEGMENT[0],
        "most": SEGMENT[1],
    }
    text = QUALITY_HEAD + "\n".join(lines) + "\n" + QUALITY_FORMULA.format(**limits) + FORECAST_HEAD
    heads = ["capture", "quality", "static: cells, samples, steps", "dynamic: cells, segment, steps of each"]
    lines = ["| " + " | ".join([*heads, "memory, GB", "minutes"]) + " |", "|---" * 6 + "|"]
    for name, size in CAPTURES.items():
        for quality in LEVELS:
            asked = size._replace(quality=quality)
            own, dynamic, one = sizes(asked).own, sizes(asked).dynamic, training(asked)
            static = f"{own['resolution']}, {own['samples']}, {own['steps']}"
            moving = f"{dynamic['resolution']}, {dynamic['segment']}, {dynamic['steps']}"
            cells = [name, f"`{quality}`", static, moving, f"{one.memory_mb / 1e3:.1f}", f"{one.seconds / 60:.1f}"]
            lines.append("| " + " | ".join(cells) + " |")
    return text + "\n".join(lines) + "\n"


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
    parts.append(quality_text())
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
