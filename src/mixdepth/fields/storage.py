"""Models as safetensors files: the tensors, and one JSON header with all that is needed to build the modules again.

The dynamic branch of segment 0 is called ``dynamic``, those of further segments ``dynamic1``, ``dynamic2``, ...
"""

import json
import struct
from collections.abc import Sequence
from pathlib import Path

import safetensors.torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from mixdepth.fields.dynamic import DynamicField
from mixdepth.fields.region import Region
from mixdepth.fields.static import StaticField
from mixdepth.files.certificate import refuse_changed
from mixdepth.files.io import atomic, reading

KEY = "mixdepth"  # one metadata key only: the order of several is not the same in every run


def save_model(path: Path, header: dict, **modules: nn.Module) -> None:
    """Write modules (``static=...``, ``dynamic=...``) and a JSON-able header; the same bytes for the same values."""
    tensors = {
        f"{name}.{key}": value.detach().cpu().contiguous()
        for name, module in modules.items()
        for key, value in module.state_dict().items()
    }
    data = safetensors.torch.save(tensors, metadata={KEY: json.dumps(header, sort_keys=True)})
    with atomic(path) as temporary:
        temporary.write_bytes(data)


def join_models(path: Path, header: dict, parts: Sequence[Path]) -> None:
    """Write the modules of the files ``parts`` as one model, byte for byte, whatever they weigh together.

    The format (https://github.com/safetensors/safetensors): the length of a JSON header in 8 bytes, that header, the
    data.
    """
    tensors = []
    for part in parts:
        with reading(part, "a model"):
            refuse_changed(part)
        with part.open("rb") as file:
            length = struct.unpack("<Q", file.read(8))[0]
            entries = json.loads(file.read(length))
        for name, entry in entries.items():
            if name != "__metadata__":
                first, last = entry["data_offsets"]
                tensors.append((name, entry, part, 8 + length + first, last - first))
    tensors.sort(key=lambda t: (-_bits(t[1]["dtype"]), t[0]))  # the widest first, so that all stay aligned
    entries, total = {"__metadata__": {KEY: json.dumps(header, sort_keys=True)}}, 0
    for name, entry, _, _, size in tensors:
        entries[name] = {**entry, "data_offsets": [total, total + size]}
        total += size
    text = json.dumps(entries).encode()
    text += b" " * (-len(text) % 8)
    with atomic(path) as temporary, temporary.open("wb") as out:
        out.write(struct.pack("<Q", len(text)) + text)
        for _, _, part, place, size in tensors:
            with part.open("rb") as file:
                file.seek(place)
                out.write(file.read(size))


def _bits(dtype: str) -> int:
    """Width of one value of a safetensors type: 32 of F32, 8 of BOOL."""
    return int("".join(filter(str.isdigit, dtype)) or 8)


def saved_header(path: Path) -> dict | None:
    """The header of a model file; None where there is no readable one."""
    try:
        with safe_open(path, framework="pt") as file:
            return json.loads((file.metadata() or {})[KEY])
    except (FileNotFoundError, SafetensorError, KeyError, ValueError):
        return None


def model_header(path: Path) -> dict:
    """The header of a model; its tensors are not read.

    Raises:
        UserError: the file is missing or not one of ours.
    """
    with reading(path, "model"), safe_open(path, framework="pt") as file:
        return json.loads((file.metadata() or {})[KEY])


def dynamic_name(segment: int) -> str:
    """What the dynamic branch of a segment is called in a file."""
    return f"dynamic{segment or ''}"


def load_model(path: Path, segment: int = 0) -> tuple[dict, StaticField, DynamicField | None]:
    """Read a model: its header, the static branch and, for a variant, the dynamic one of one segment. On a GPU they
    render as they were trained: with bfloat16 where the header's options have ``amp``.

    Raises:
        UserError: the file is missing, damaged or not one of ours.
    """
    with reading(path, "model"):
        refuse_changed(Path(path))
        with safe_open(path, framework="pt") as file:
            header = json.loads((file.metadata() or {})[KEY])
            names = "static", dynamic_name(segment)
            wanted = [key for key in file.keys() if key.split(".")[0] in names]  # noqa: SIM118 (not a dict)
            tensors = {key: file.get_tensor(key) for key in wanted}
        if not isinstance(header, dict):
            raise ValueError(f"its header is a {type(header).__name__}")
        # Tensors that do not fit together fail in many ways while modules are made of them.
        part = _part(tensors, dynamic_name(segment))
        static, dynamic = _static(tensors), _dynamic(part) if part else None
        static.amp = bool(header.get("options", {}).get("amp", False))
        if dynamic:
            dynamic.amp = static.amp
        return header, static, dynamic


def _part(tensors: dict[str, Tensor], name: str) -> dict[str, Tensor]:
    return {key[len(name) + 1 :]: value for key, value in tensors.items() if key.startswith(f"{name}.")}


def _static(tensors: dict[str, Tensor]) -> StaticField:
    part = _part(tensors, "static")
    colour = part["colour_grid.planes"]
    field = StaticField(
        resolution=colour.shape[1],
        density_components=part["density_grid.planes"].shape[-1],
        colour_components=colour.shape[-1],
        width=part["head.0.weight"].shape[0],
        cameras=len(part["tone.gain"]),
        view_dependence=part["head.0.weight"].shape[1] > 3 * colour.shape[-1],
        occupancy_resolution=round(part["occupancy.mask"].numel() ** (1 / 3)),
    )
    # Models of before 0.3 do not know how many images look at a cell.
    field.load_state_dict({"occupancy.looks": field.occupancy.looks, **part})
    return field


def _dynamic(part: dict[str, Tensor]) -> DynamicField:
    planes, box = part["density_grid.planes"], part["region.box"]
    frames, codes = part["density_frames"].shape
    size = round(part["region.hull"].numel() ** (1 / 3))
    region = Region(part["region.sets"].view(size, size, size), box[:3], box[:3] + 2 / box[3:], frames)
    width, gain = part["colour_code.0.weight"].shape[0], part.get("gain")
    cameras = 1 if gain is None else len(gain)  # models of before 0.3 have no exposures
    field = DynamicField(region, planes.shape[1], planes.shape[-1], codes, width, cameras=cameras)
    field.load_state_dict({"gain": field.gain, **part})
    return field
