"""Models as safetensors files: the tensors, and one JSON header with all that is needed to build the modules again."""

import json
from pathlib import Path

import safetensors.torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from mixdepth.errors import UserError
from mixdepth.fields.dynamic import DynamicField
from mixdepth.fields.region import Region
from mixdepth.fields.static import StaticField
from mixdepth.io import atomic

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


def load_model(path: Path) -> tuple[dict, StaticField, DynamicField | None]:
    """Read a model: its header, the static branch and, for a variant, the dynamic one.

    Raises:
        UserError: the file is missing, damaged or not one of ours.
    """
    try:
        with safe_open(path, framework="pt") as file:
            header = json.loads((file.metadata() or {})[KEY])
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (not a dict)
    except FileNotFoundError:
        raise UserError(f"{path}: file not found") from None
    except (SafetensorError, KeyError, json.JSONDecodeError) as error:
        raise UserError(
            f"{path}: not a readable mixdepth model ({error!r}); delete it and run the same command again"
        ) from None
    static = _static(tensors)
    dynamic = _dynamic(tensors) if any(key.startswith("dynamic.") for key in tensors) else None
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
    field.load_state_dict(part)
    return field


def _dynamic(tensors: dict[str, Tensor]) -> DynamicField:
    part = _part(tensors, "dynamic")
    planes, box = part["density_grid.planes"], part["region.box"]
    frames, codes = part["density_frames"].shape
    size = round(part["region.hull"].numel() ** (1 / 3))
    region = Region(part["region.hull"].view(size, size, size), box[:3], box[:3] + 2 / box[3:], frames)
    field = DynamicField(region, planes.shape[1], planes.shape[-1], codes, part["colour_code.0.weight"].shape[0])
    field.load_state_dict(part)
    return field
