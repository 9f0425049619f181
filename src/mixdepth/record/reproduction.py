"""What differs between two records of results (provenance.json), or between a record and what is there now."""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mixdepth.errors import ConfigurationError, DamagedFile, UserError, printable
from mixdepth.files.certificate import entry_of, identity, refuse_changed
from mixdepth.files.io import read_json
from mixdepth.record.hashes import configuration, hashes, input_files
from mixdepth.record.provenance import surroundings
from mixdepth.results import Results
from mixdepth.scene.scene import Scene
from mixdepth.words import counted, first_of
from mixdepth.workflow.made import flattened

FILES = {str: ({"bytes": int, "sha256": str}, None)}
SHAPE = {"scene": str, "data": str, "inputs": FILES, "settings": {}, "stages": {str: int}, "outputs": FILES}
SHAPE |= {"versions": {str: (str, None)}, "host": {}, "commit": ({}, None)}
# The part of a record: what people call it. Those of RESULTS decide whether two results are the same; the others are
# why they may not be.
RESULTS = {"inputs": "inputs", "settings": "settings", "outputs": "outputs"}
CAUSES = {"versions": "packages", "stages": "stage versions", "commit": "code", "host": "machine"}
SHOWN = 8  # differences that are listed one by one


@dataclass(frozen=True)
class Difference:
    """One thing that two records do not agree about; None: not there, or unknown."""

    part: str  # a key of RESULTS or CAUSES
    name: str
    before: Any
    now: Any

    def __str__(self) -> str:
        if self.part not in ("inputs", "outputs"):
            return f"{self.name}: {_short(self.before)}, now {_short(self.now)}"
        if self.now is None or self.before is None:
            return f"{self.name} is not there" if self.now is None else f"{self.name} was not there"
        before, now = self.before["bytes"], self.now["bytes"]
        return f"{self.name} ({before} bytes, now {now} bytes)" if before != now else f"{self.name} (same size)"


def read_record(path: Path) -> dict[str, Any]:
    """The record of a folder of results, or that file itself.

    Raises:
        UserError: there is none, or it is one of before there were hashes.
    """
    file = Results(path).provenance if path.is_dir() else path
    if not file.exists():
        raise ConfigurationError(
            f"{file}: file not found. `snakemake --cores 2 results/<scene>/provenance.json` makes a record"
        )
    try:
        return read_json(file, SHAPE)
    except UserError as error:
        raise DamagedFile(f"{error} (A record of an older mixdepth has no hashes.)") from None


def present(record: Mapping[str, Any], folder: Path, scene: Scene | None) -> dict[str, Any]:
    """The same record made anew, of what is there now.

    Args:
        record: what was recorded; the files that it names are looked for.
        folder: the scene's results.
        scene: the scene as it is configured now; without one the settings are taken as recorded.
    """
    data = scene.data if scene else Path(record["data"])
    inputs = {name: data / name for name in record["inputs"]}
    now = surroundings()
    return {
        "inputs": hashes({**inputs, **(input_files(scene) if scene else {})}),
        "settings": configuration(scene) if scene else record["settings"],
        "outputs": hashes({name: folder / name for name in record["outputs"]}),
        **json.loads(json.dumps(now)),
    }


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[Difference]:
    """Everything that two records do not agree about: inputs, settings, outputs in the order in which they depend on
    each other, and what may be the cause. The host's name is nobody's cause."""
    found = []
    for part in (*RESULTS, *CAUSES):
        one, other = (record.get(part) or {} for record in (before, now))
        if part == "settings":
            one, other = flattened(one), flattened(other)
        names = [
            name for name in [*one, *(name for name in other if name not in one)] if (part, name) != ("host", "name")
        ]
        found += [Difference(part, n, one.get(n), other.get(n)) for n in names if one.get(n) != other.get(n)]
    return found


def same(found: list[Difference]) -> bool:
    """Whether inputs, settings and outputs are the same, whatever they were made with."""
    return not {one.part for one in found} & set(RESULTS)


def damaged(found: list[Difference], folder: Path) -> list[str]:
    """Outputs that are not even as whoever wrote them left them: their certificates do not fit."""
    names = []
    for one in found:
        if one.part == "outputs" and one.now is not None:
            try:
                refuse_changed(folder / one.name, whole=True)
            except ValueError:
                names.append(one.name)
    return names


def contradictions(record: Mapping[str, Any], folder: Path) -> list[str]:
    """What the certificates of the recorded outputs say that is not so any more, or not as recorded."""
    found: dict[str, None] = {}
    for name in record["outputs"]:
        file = folder / name
        entry = entry_of(file.resolve()) if os.path.isfile(file) else None  # noqa: PTH113 (whatever the name)
        if entry is None or "stage" not in entry[2]:
            continue
        owner, _, made = entry
        for other, digest in made["inputs"].items():
            if digest != (now := identity(owner.parent / other)) and now:
                found[f"{_below(owner, folder)} was made from another {_below(owner.parent / other, folder)}"] = None
        for other, source in made["sources"].items():
            if source["sha256"] != (record["inputs"].get(other) or {}).get("sha256"):
                found[f"{_below(owner, folder)} was made from another {other} than is recorded"] = None
    return [*found]


def _below(path: Path, folder: Path) -> str:
    return os.path.relpath(path, folder.resolve())


def told(
    found: list[Difference],
    record: Mapping[str, Any],
    against: bool = False,
    broken: Sequence[str] = (),
    unknown: str = "",
    wrong: Sequence[str] = (),
) -> str:
    """The differences for people: a line for each part, then what follows from them.

    Args:
        record: what ``found`` is the difference to.
        against: whether it was compared with another record, and not with what is there now.
        broken: see :func:`damaged`.
        unknown: why the settings could not be compared, if so.
        wrong: see :func:`contradictions`.
    """
    lines = []
    for part, title in {**RESULTS, **CAUSES}.items():
        own = [one for one in found if one.part == part]
        files = len(record[part]) if part in ("inputs", "outputs") else 0
        if own:
            of = f" of {files}" if files else ""
            lines.append(f"{title}: {len(own)}{of} {'differs' if len(own) == 1 else 'differ'}")
        elif part == "settings" and unknown:
            lines.append(f"{title}: {unknown}")
        else:
            lines.append(f"{title}: the same ({files} files)" if files else f"{title}: the same")
        lines += [f"    {one}{', damaged' if one.name in broken else ''}" for one in own[:SHOWN]]
        if len(own) > SHOWN:
            lines.append(f"    and {len(own) - SHOWN} more (--json lists all)")
    if without := record.get("uncertified"):
        lines.append(f"certificates: {counted(len(without), 'output')} without: nothing says what they were made from")
    lines += [f"certificates: {counted(len(wrong), 'contradiction')}"] if wrong else []
    lines += [f"    {one}" for one in wrong[:SHOWN]]
    verdict = _verdict(found, against, broken)
    if wrong and same(found):
        verdict = f"Not made as recorded: {wrong[0]}. Run snakemake again, which makes it anew."
    return printable("\n".join([*lines, "", verdict]))


def _verdict(found: list[Difference], against: bool, broken: Sequence[str]) -> str:
    """Is it the same, and if not, why that may be."""
    parts = {one.part for one in found}
    causes = [_cause(part, [one for one in found if one.part == part]) for part in ("inputs", "settings", *CAUSES)]
    why = ", ".join(filter(None, causes))
    if "outputs" in parts:
        first = next(one.name for one in found if one.part == "outputs")
        alike = [part for part in ("inputs", "settings") if part not in parts]
        reasons = [f"same {' and '.join(alike)}"] if alike else []
        reasons.append(why or "nothing that is recorded tells why")
        if against:
            return f"Other outputs from {first} on: {', '.join(reasons)}."
        if broken:
            return f"Damaged: {first_of(broken)}. Delete what is damaged and run snakemake again."
        return f"Not the outputs that were recorded, from {first} on: made anew or changed since; {', '.join(reasons)}."
    if parts & set(RESULTS):
        return f"The recorded outputs, but {why}: made anew, they may differ."
    if why:
        return f"The same inputs, settings and outputs. Made anew with {why}, they may differ in their last digits."
    return "The same."


def _cause(part: str, own: list[Difference]) -> str:
    """What may have made a difference, in a few words."""
    names = [one.name for one in own]
    if not own or (part == "host" and not {"cpu", "machine", "gpu"} & set(names)):
        return ""
    if part == "inputs":
        return f"other inputs ({first_of(names)})"
    if part == "settings":
        return f"other settings ({first_of(names)})"
    return {"versions": f"other {first_of(names)}", "host": "another processor or GPU"}.get(part, "other code")


def _short(value: Any) -> str:
    return "not there" if value is None else f"{json.dumps(value):.60}"
