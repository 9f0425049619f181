"""What a single picture asks of a GPU, in launches and bytes, counted without one: 30 a second are within its limits.

Two small pictures are rendered in Triton's interpreter (tests/unit/test_triton.py runs this), and what is counted is
fitted by a constant and a part per ray. The model has the sizes of the preset T; along its rays lies as much as along
the demo's, which was measured (docs/gpu.md).
"""

import os
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from mixdepth import kernels
from mixdepth.cameras.camera import Camera
from mixdepth.cameras.space import Space
from mixdepth.fields.dynamic import DynamicField
from mixdepth.fields.region import Region
from mixdepth.fields.static import StaticField
from mixdepth.kernels import dispatch
from mixdepth.kernels.launches import Launch, counted
from mixdepth.rendering.mixed_view import FUSED, render_video
from mixdepth.rendering.rays import SpaceMap

SAMPLES, RAYS = 350, 1352 * 1014  # of T's 280, rendered more densely; of a picture as large as N3DV's
SPACE = Space("forward", "test", 1.0, 9.0, np.eye(4).tolist(), [-1.0, -1.0, 0.0], [1.0, 1.0, 1.0], 1.0, 9.0)
ALLOCATES = {"aten::empty", "aten::empty_like", "aten::new_empty", "aten::empty_strided", "aten::new_empty_strided"}


class Operators(TorchDispatchMode):
    """PyTorch's operators that launch something, and the bytes of all that each reads and writes."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[Launch] = []

    def __torch_dispatch__(self, function: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        result = function(*args, **(kwargs or {}))
        schema = function._schema
        is_view = any(part.alias_info is not None and not part.alias_info.is_write for part in schema.returns)
        if not is_view and schema.name not in ALLOCATES:
            tensors = [t for t in tree_leaves((args, kwargs, result)) if isinstance(t, torch.Tensor)]
            sizes = {t.data_ptr(): min(t.nbytes, t.untyped_storage().nbytes()) for t in tensors}
            self.found.append(Launch(schema.name, sum(sizes.values())))
        return result


def fields() -> tuple[StaticField, DynamicField]:
    """A wall, and before it a thin one at three eighths of the rays: of the static branch 69 samples are faint before
    11 show; of the dynamic one 39 are passed, of which 6 show."""
    region = Region(torch.ones(96, 96, 96).int(), torch.tensor([-1.0, -1, -0.8]), torch.tensor([-0.25, 1, -0.577]), 300)
    static, dynamic = StaticField(640, 8, 24, 128, 20), DynamicField(region, 320, 24, 256, 512, cameras=20)
    static.occupancy.mask.view(64, 64, 64)[:, :, :20] = False
    wall = -1 + 2 * (20 / 64 + 69 / SAMPLES)
    with torch.no_grad():
        for grid, below, above, edge in (
            (static.density_grid, -2.0, 1.48, wall),
            (dynamic.density_grid, -16.0, 16.0, 2 * 33 / 39 - 1),
        ):
            along = torch.linspace(-1, 1, grid.resolution)
            grid.planes.zero_()[0, ..., 0] = 1
            grid.lines.zero_()[0, :, 0] = torch.where(along < edge, below, above)
        dynamic.density_frames.zero_()[:, 0] = 1
        dynamic.density_code.weight.zero_()[0, 0] = 1
        dynamic.density_code.bias.zero_()
    return static, dynamic


def test_a_picture_of_1352x1014_is_within_the_limits_of_30_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    if os.environ.get("TRITON_INTERPRET") != "1":
        pytest.skip("TRITON_INTERPRET=1 is not set")
    pytest.importorskip("triton")
    from mixdepth.kernels import gpu_view

    monkeypatch.setattr(dispatch, "use_triton", True)
    for size in ("LANES", "POINTS", "CHUNK", "NARROW"):  # few large blocks, which the interpreter is faster at
        monkeypatch.setattr(gpu_view, size, 512)
    marched, march = [], gpu_view.march_lit
    monkeypatch.setattr(gpu_view, "march_lit", lambda *known: marched.append(march(*known)) or marched[-1])
    static, dynamic = fields()
    sizes, found = [], []
    for width, height in ((16, 12), (24, 16)):
        camera = Camera(width, height, width / 2, height / 2, width / 2, height / 2, np.eye(4))
        with kernels.uncompiled(), counted() as launched, Operators() as operators:
            rgb, _ = render_video(static, dynamic, SpaceMap(SPACE), camera, SAMPLES, torch.tensor([5]))
        assert rgb.any()
        sizes.append(width * height)
        found.append(operators.found + launched)
        lit, rays = marched[-1], sizes[-1]
        assert len(lit.rays) / rays == 0.375
        assert 9 <= len(lit.u) / rays <= 12
        assert 110 <= len(lit.layers.codes) / len(lit.rays) <= 125
        assert 37 <= len(lit.v) / len(lit.rays) <= 41
    few, more = (sum(launch.moved for launch in launches) for launches in found)
    per_ray = (more - few) / (sizes[1] - sizes[0])
    moved = few + per_ray * (RAYS - sizes[0])
    print(f"{len(found[0])} launches, {moved / 1e9:.2f} GB, of which {per_ray:.0f} bytes a ray")
    for one, two in zip(*found, strict=True):
        each = (two.moved - one.moved) / (sizes[1] - sizes[0])
        print(f"{one.kernel:32} {each:8.1f} bytes a ray {(one.moved - each * sizes[0]) / 1e6:8.1f} MB")
    assert RAYS * SAMPLES <= FUSED, "one picture is rendered at once"
    assert len(found[0]) == len(found[1]) <= 200
    assert moved <= 6e9
