"""Where the time goes: the machine's limits, Triton's kernels beside plain PyTorch, a step by parts and its needs."""

import contextlib
import pkgutil
import statistics
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import torch
from findings import Found
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from mixdepth import kernels
from mixdepth.fields.vm import VMGrid
from mixdepth.kernels import dispatch
from mixdepth.train.dynamic import DynamicTrainer
from mixdepth.train.static import StaticTrainer

# What is timed, by the name under which it is called. A name that is gone is told as not there.
STATIC_STEP = {
    "mixdepth.train.static.sample_rays": "rays",
    "mixdepth.train.static.visible_samples": "densities for culling",
    "mixdepth.train.static.shade_static": "fields, composite",
    "mixdepth.train.static._depth_loss": "depth loss",
    "mixdepth.train.static.smooth": "total variation",
}
DYNAMIC_STEP = {
    "mixdepth.train.dynamic.sample_rays": "rays",
    "mixdepth.rendering.mixed.StaticCache.layers": "static samples",
    "mixdepth.train.dynamic.shade_mixed": "fields, composite",
    "mixdepth.train.dynamic.MovingPixels.colours": "colours",
    "mixdepth.train.dynamic.smooth": "total variation",
}
ANY_STEP = {"torch.Tensor.backward": "backward", "torch.optim.Adam.step": "Adam"}
SET_UP = {
    "mixdepth.train.dynamic.render_depth": "static views",
    "mixdepth.train.dynamic.on_surface": "surfaces",
    "mixdepth.train.dynamic._kept": "moving colours",
    "mixdepth.train.dynamic.carve": "hull",
    "mixdepth.train.dynamic.cache_static": "static samples",
}


def synchronise(device: torch.device) -> None:
    """Wait for what ``device`` has been told to do."""
    if device.type == "cuda":
        torch.cuda.synchronize()


def milliseconds(function: Callable[[], Any], device: torch.device, repeats: int = 20) -> float:
    """Median of calls, each awaited, after two that compile."""
    times = []
    for _ in range(2 + repeats):
        synchronise(device)
        start = time.perf_counter()
        function()
        synchronise(device)
        times.append(1e3 * (time.perf_counter() - start))
    return statistics.median(times[2:])


def triton_choices(device: torch.device) -> tuple[bool, ...]:
    """Without and with Triton's kernels, where they can run."""
    return (False, True) if device.type == "cuda" else (False,)


@contextlib.contextmanager
def triton(on: bool) -> Iterator[str]:
    """With Triton's kernels or without; what to add to a label."""
    before, dispatch.use_triton = dispatch.use_triton, on
    try:
        yield " (Triton)" if on else ""
    finally:
        dispatch.use_triton = before


@contextlib.contextmanager
def patched(changes: Mapping[str, Callable[[Callable], Callable]]) -> Iterator[list[str]]:
    """What full names mean replaced by what a function makes of it; the names that are not there."""
    before, missing = [], []
    for path, change in changes.items():
        owner_path, _, name = path.rpartition(".")
        try:
            owner = pkgutil.resolve_name(owner_path)
            before.append((owner, name, getattr(owner, name)))
        except (ImportError, AttributeError):
            missing.append(path)
        else:
            setattr(owner, name, change(getattr(owner, name)))
    try:
        yield missing
    finally:
        for owner, name, value in before:
            setattr(owner, name, value)


@contextlib.contextmanager
def timed(parts: Mapping[str, str], device: torch.device) -> Iterator[dict[str, float | None]]:
    """Seconds by part while the context lasts, the device awaited; None for a part whose name is not there."""
    spent: dict[str, float | None] = dict.fromkeys(parts.values(), 0.0)

    def change(part: str, function: Callable) -> Callable:
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            synchronise(device)
            start = time.perf_counter()
            found = function(*args, **kwargs)
            synchronise(device)
            spent[part] += time.perf_counter() - start
            return found

        return wrapped

    with patched({path: partial(change, part) for path, part in parts.items()}) as missing:
        yield spent
        spent |= {parts[path]: None for path in missing}


def limits(device: torch.device, small: bool) -> Found:
    """What this machine can do: the denominators of everything else."""
    count, side = (1 << 20, 256) if small else (1 << 28, 8192)
    source, target = torch.rand(count, device=device), torch.empty(count, device=device)
    yield "copy, GB/s", 8e-6 * count / milliseconds(lambda: target.copy_(source), device)
    matrix = torch.randn(side, side, device=device)

    def products(values: Tensor) -> float:
        return 2e-9 * side**3 / milliseconds(lambda: values @ values, device, 5)

    yield "float32 products, TFLOP/s", products(matrix)
    before, torch.backends.cuda.matmul.allow_tf32 = torch.backends.cuda.matmul.allow_tf32, True
    try:
        fast = products(matrix)
    finally:
        torch.backends.cuda.matmul.allow_tf32 = before
    yield "TF32 products, TFLOP/s", fast
    yield "bfloat16 products, TFLOP/s", products(matrix.bfloat16())
    few = torch.zeros(16, device=device)
    yield "us per small operator", milliseconds(lambda: [few.add_(1) for _ in range(1000)], device, 3)
    yield "us per .item()", 5 * milliseconds(lambda: [few[0].item() for _ in range(200)], device, 3)
    part, host = target[: count // 4], torch.empty(count // 4)
    yield "to the device, pageable, GB/s", 1e-6 * host.nbytes / milliseconds(lambda: part.copy_(host), device, 3)
    yield "from the device, pageable, GB/s", 1e-6 * host.nbytes / milliseconds(part.cpu, device, 3)


def compare_kernels(device: torch.device, small: bool) -> Found:
    """Each of Triton's kernels beside plain PyTorch, at the sizes of the preset T: milliseconds and differences."""
    draw = torch.Generator(device).manual_seed(0)

    def rand(*shape: int) -> Tensor:
        return torch.rand(shape, generator=draw, device=device)

    fewer, coarser = (512, 8) if small else (1, 1)
    for cells, channels, points, look_up in (
        (640, 8, 131072, kernels.grid_sum),
        (640, 24, 108000, kernels.grid_features),
        (320, 24, 287000, kernels.grid_features),
    ):
        size = cells // coarser
        grids = [rand(3, size, size, channels) - 0.5, rand(3, size, channels) - 0.5]
        u = rand(points // fewer, 3) * 2.1 - 1.05
        what = f"{look_up.__name__}, {size} cells, {channels} channels, {len(u)} points"
        yield from _compare(what, lambda *grids, f=look_up, u=u: [f(*grids, u)], grids)
    rays, frames = 8192 // fewer, 16
    counts = torch.randint(5, 80, (rays,), generator=draw, device=device)
    offsets = torch.cat([counts.new_zeros(1), counts.cumsum(0)])
    rows = torch.repeat_interleave(torch.arange(rays, device=device), counts)
    moving = (rand(len(rows)) < 0.85).nonzero().squeeze(1)
    index = torch.full((len(rows),), -1, device=device)
    index[moving] = torch.arange(len(moving), device=device)
    tau_s = 0.3 * rand(len(rows)) * (index < 0)
    rgb_s = rand(len(rows), 3) * (tau_s > 0)[:, None]
    tau_d = 0.2 * rand(len(moving), frames) ** 4
    yield from _compare(
        f"composite_mixed, {rays} rays, {len(rows)} samples, {frames} frames",
        lambda tau: kernels.composite_mixed(tau_s, rgb_s, index, tau, offsets, rows)[:3],
        [tau_d],
    )


def _compare(what: str, function: Callable[..., Any], inputs: list[Tensor]) -> Found:
    results, device = {}, inputs[0].device

    def measured(on: bool) -> dict[str, float]:
        leaves, weights = [value.clone().requires_grad_() for value in inputs], []

        def both() -> list[Tensor]:
            for leaf in leaves:
                leaf.grad = None
            out = function(*leaves)
            if not weights:
                draw = torch.Generator(device).manual_seed(1)
                weights.extend(torch.rand(part.shape, generator=draw, device=device) for part in out)
            sum((part * weight).sum() for part, weight in zip(out, weights, strict=True)).backward()
            return [*(part.detach() for part in out), *(leaf.grad for leaf in leaves)]

        start = time.perf_counter()
        results[on] = both()
        synchronise(device)
        return {"first call, s": time.perf_counter() - start, "forward and backward, ms": milliseconds(both, device)}

    for on in triton_choices(device):
        with triton(on) as label:
            yield what + label, partial(measured, on)
    if len(results) == 2:
        pairs = zip(results[False], results[True], strict=True)
        differences = [float((fused - plain).norm() / plain.norm().clamp_min(1e-30)) for plain, fused in pairs]
        yield f"{what}: relative differences", differences


def step_parts(trainer: StaticTrainer | DynamicTrainer, count: int) -> dict[str, float | None]:
    """Milliseconds of a step at the end of training, whole and by parts; parts are timed with the device awaited."""
    device, last = trainer.space.device, trainer.options.steps

    def steps() -> float:
        synchronise(device)
        start = time.perf_counter()
        for step in range(last - count, last):
            trainer.step(step)
        synchronise(device)
        return time.perf_counter() - start

    steps()
    whole = steps()
    of_kind = STATIC_STEP if isinstance(trainer, StaticTrainer) else DYNAMIC_STEP
    with timed(of_kind | ANY_STEP, device) as spent:
        awaited = steps()
    spent["rest"] = awaited - sum(value or 0 for value in spent.values())
    scale = 1e3 / count
    return {"step": scale * whole} | {k: None if v is None else scale * v for k, v in spent.items()}


def step_needs(trainer: StaticTrainer | DynamicTrainer) -> dict[str, float]:
    """GB that a step must move at least, GFLOP of its networks (2 per multiply-add), and points looked up by grid.

    Bytes: 28 per grid value (Adam reads weight, gradient and two moments and writes all but the gradient), and per
    looked-up point 6 values of 4 bytes (4 corners of a plane, 2 of a line) times orientations and components: once, or
    four times where there is a gradient (read forward and backward, read and written in adding). Rays, compositing and
    activations are not counted. Operations: what PyTorch counts of the matrix products, forward and backward.
    """
    names = {id(m): f"points in {name}" for name, m in trainer.field.named_modules() if isinstance(m, VMGrid)}
    looked_up, points = 0.0, Counter()

    def counted(function: Callable) -> Callable:
        def wrapped(grid: VMGrid, u: Tensor) -> Tensor:
            nonlocal looked_up
            learns = torch.is_grad_enabled()
            looked_up += len(u) * grid.features * 6 * 4 * (4 if learns else 1)
            points[names.get(id(grid), "points in the static branch") + ("" if learns else ", no gradient")] += len(u)
            return function(grid, u)

        return wrapped

    look_ups = ("mixdepth.fields.vm.VMGrid.forward", "mixdepth.fields.vm.VMGrid.sum")
    with patched(dict.fromkeys(look_ups, counted)), FlopCounterMode(display=False) as flops:
        trainer.step(trainer.options.steps - 2)
    grids = 28 * sum(parameter.numel() for parameter in trainer.field.parameters())
    return {"GB": (grids + looked_up) / 1e9, "GFLOP": flops.get_total_flops() / 1e9} | points


def step_findings(part: str, trainer: StaticTrainer | DynamicTrainer, count: int) -> Found:
    """What a step needs and takes, without and with Triton's kernels."""
    yield f"{part} step needs at least", partial(step_needs, trainer)
    tensors, rest = trainer.state()
    kept = {name: value.clone() for name, value in tensors.items()}
    for on in triton_choices(trainer.space.device):
        with triton(on) as label:
            yield f"{part} step{label}, ms", partial(step_parts, trainer, count)
    trainer.load_state(kept, rest)  # a kernel that is wrong spoils nothing that comes after it
