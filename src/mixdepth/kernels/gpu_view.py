"""The kernels of rendering on CUDA, in Triton, where nothing takes a gradient: what is skipped is never written down.

As in :mod:`mixdepth.kernels.gpu`, and off by the same switch; :mod:`mixdepth.kernels.cpu_view` is what a CPU does.
:class:`mixdepth.fields.static.StaticField` and :class:`mixdepth.fields.dynamic.DynamicField` have each by single
operations, and are what these are tested against. Each launch declares the bytes that it must move: of samples what it
reads or writes, and grids and masks once, as what is read of these again comes from caches.
"""

from collections.abc import Sequence

import torch
import triton
import triton.language as tl
from torch import Tensor

from mixdepth.kernels.arguments import (
    BOUNDED,
    DOUBTFUL,
    FORWARD,
    STATIC,
    UNBOUNDED,
    Coordinates,
    Density,
    Lit,
    Passed,
    Rays,
    Views,
)  # fmt: skip
from mixdepth.kernels.gpu import launch, look_up, opacity, read_point

LANES = 32  # rays that one program follows, a warp
POINTS = 64  # whose network one program computes
CHUNK, NARROW = 64, 16  # channels of a hidden layer at once; of the first of two
IN_FORWARD, IN_BOX, CONTRACTED = (tl.constexpr(kind) for kind in (FORWARD, BOUNDED, UNBOUNDED))
STILL, UNSURE = tl.constexpr(STATIC), tl.constexpr(DOUBTFUL)
ALONE = {"num_warps": 1, "maxnreg": 224}  # of what marches: left to itself the compiler spills two, to save registers
VARYING = ["samples", "points", "cells", "count", "features", "width"]


def _padded(size: int) -> int:
    """``size`` as products of blocks can have it."""
    return max(16, triton.next_power_of_2(size))


@triton.jit
def _softplus(x):
    """log(1 + exp(x)), precise also where it is next to nothing."""
    e = tl.exp(-tl.abs(x))
    return tl.maximum(x, 0.0) + tl.where(e < 0.01, e * (1 - e * (0.5 - e / 3)), tl.log(1 + e))


@triton.jit
def _depth(k, samples, near, far, KIND: tl.constexpr):
    """z-depth of sample ``k`` of rays, in the middle of its bin."""
    share = (k + 0.5) / samples
    return near + (far - near) * share if KIND == IN_BOX else 1.0 / ((1.0 - share) / near + share / far)


@triton.jit
def _normalise(space, x, y, z, KIND: tl.constexpr):
    """Normalised coordinates of world points; ``space``: :func:`_numbers`."""
    low, scale, right, down, ahead, centre, disparity = space
    if KIND == IN_FORWARD:
        x, y, z = x - centre[0], y - centre[1], z - centre[2]
        across = x * right[0] + y * right[1] + z * right[2]
        along = x * down[0] + y * down[1] + z * down[2]
        inverse = 1.0 / tl.maximum(x * ahead[0] + y * ahead[1] + z * ahead[2], disparity[0])
        x, y, z = across * inverse, along * inverse, (disparity[1] - inverse) * disparity[2]
    x = (x - low[0]) * scale[0] - 1.0
    y = (y - low[1]) * scale[1] - 1.0
    z = (z - low[2]) * scale[2] - 1.0
    if KIND == CONTRACTED:
        size = tl.maximum(1.0, tl.maximum(tl.abs(x), tl.maximum(tl.abs(y), tl.abs(z))))
        shrink = (2.0 - 1.0 / size) / size * 0.5
        x, y, z = x * shrink, y * shrink, z * shrink
    return x, y, z


@triton.jit
def _cell(x, y, z, size: tl.constexpr):
    half: tl.constexpr = 0.5 * size
    i = tl.minimum(tl.maximum(((x + 1.0) * half).to(tl.int32), 0), size - 1)
    j = tl.minimum(tl.maximum(((y + 1.0) * half).to(tl.int32), 0), size - 1)
    k = tl.minimum(tl.maximum(((z + 1.0) * half).to(tl.int32), 0), size - 1)
    return (i * size + j) * size + k


@triton.jit
def _follow(
    rays, space, mask, sets, boxes, bits, planes, lines, sure, out, starts, samples, cells, density, dark,
    KIND: tl.constexpr, SIDE: tl.constexpr, PARTS: tl.constexpr, channels: tl.constexpr, PADDED: tl.constexpr,
    LANES: tl.constexpr, WRITE: tl.constexpr,
):  # fmt: skip
    """Follow rays until ``dark`` of the light is left, samples that are doubtful as thick as ``sure`` lets them be.

    Returns how many samples are shown, how many are passed, how many are dynamic and how many doubtful; the light that
    is left, and the median depth. With WRITE what is wanted of the samples is written, from ``starts`` on.
    """
    live, ox, oy, oz, dx, dy, dz, near, far = rays
    u_out, rows_out, weights_out, codes_out, tau_out, v_out, delta_out, parts_out, row_out = out
    first_shown, first_along, first_own, place, moves_at_all = starts
    scale, slope, shift = density
    channel = tl.arange(0, PADDED)
    z = _depth(0, samples, near, far, KIND)
    x0, y0, w0 = _normalise(space, ox + z * dx, oy + z * dy, oz + z * dz, KIND)
    light, gap, edge, middle = live.to(tl.float32), near * 0, near, far
    nothing = live.to(tl.int32) * 0
    shown, along, owned, doubts = nothing, nothing, nothing, nothing
    k = 0
    while (k < samples) & (tl.max(light, 0) > dark):
        last = k + 1 >= samples
        after = tl.where(last, z, _depth(k + 1, samples, near, far, KIND))
        x1, y1, w1 = _normalise(space, ox + after * dx, oy + after * dy, oz + after * dz, KIND)
        next_gap = tl.sqrt((x1 - x0) * (x1 - x0) + (y1 - y0) * (y1 - y0) + (w1 - w0) * (w1 - w0))
        next_gap = tl.where(last, gap, next_gap)
        gap = tl.where(k == 0, next_gap, gap)
        next_edge = tl.where(last, far, 0.5 * (z + after))
        here = light > dark
        held = tl.load(mask + _cell(x0, y0, w0, SIDE), here, 0).to(tl.int32)
        a = (x0 - tl.load(boxes)) * tl.load(boxes + 3) - 1.0
        b = (y0 - tl.load(boxes + 1)) * tl.load(boxes + 4) - 1.0
        c = (w0 - tl.load(boxes + 2)) * tl.load(boxes + 5) - 1.0
        within = here & (tl.maximum(tl.abs(a), tl.maximum(tl.abs(b), tl.abs(c))) <= 1.0)
        parts = tl.load(sets + _cell(a, b, c, PARTS), within, 0)
        moves = (parts & bits) != 0
        still, unsure = here & ((held & STILL) != 0), here & ((held & UNSURE) != 0)
        delta = 0.5 * (gap + next_gap)
        tau = light * 0
        if tl.max(still.to(tl.int32), 0) > 0:
            inside = still[:, None] & (channel < channels)[None]
            total = tl.zeros([LANES, PADDED], tl.float32)
            for orientation in tl.static_range(3):
                _, _, _, _, _, p, q = look_up(planes, lines, x0, y0, w0, channel, inside, cells, orientation, channels)
                total += p * q
            tau = tl.where(still, _softplus(tl.sum(total, 1) * slope - shift) * (scale * delta), 0.0)
        tau = tl.where(unsure, tau * sure, tau)
        weight = light * opacity(tau)
        bright, hold = weight > dark, still | moves
        if WRITE:
            at = first_shown + shown
            tl.store(u_out + 3 * at, x0, bright)
            tl.store(u_out + 3 * at + 1, y0, bright)
            tl.store(u_out + 3 * at + 2, w0, bright)
            tl.store(rows_out + at, tl.program_id(0) * LANES + tl.arange(0, LANES), bright)
            tl.store(weights_out + at, weight, bright)
            wanted, row, own = hold & moves_at_all, first_along + along, first_own + owned
            tl.store(codes_out + row, k * 4 + bright.to(tl.int32) * 2 + moves.to(tl.int32), wanted)
            tl.store(tau_out + row, tau, wanted)
            tl.store(v_out + 3 * own, a, moves)
            tl.store(v_out + 3 * own + 1, b, moves)
            tl.store(v_out + 3 * own + 2, c, moves)
            tl.store(delta_out + own, delta, moves)
            tl.store(parts_out + own, parts, moves)
            tl.store(row_out + own, place, moves)
        half = (light > 0.5) & (light - weight <= 0.5)
        between = (light - 0.5) / tl.maximum(weight, 1e-20) - 0.5
        middle = tl.where(half, z + (next_edge - edge) * between, middle)
        shown += bright.to(tl.int32)
        along += hold.to(tl.int32)
        owned += moves.to(tl.int32)
        doubts += unsure.to(tl.int32)
        light -= weight
        gap, edge, z, x0, y0, w0 = next_gap, next_edge, after, x1, y1, w1
        k += 1
    return shown, along, owned, doubts, light, middle


@triton.jit(do_not_specialize=VARYING)
def _march_forward(
    origins, directions, near_of, far_of, mask, sets, boxes, wanted, planes, lines, counts, ends, sure_of, depth,
    u, rows, weights, codes, tau, v, delta, parts, row, rays_out, offsets, first_shown, first_own,
    space, density, dark, count, samples, cells,
    KIND: tl.constexpr, SIDE: tl.constexpr, PARTS: tl.constexpr, channels: tl.constexpr, PADDED: tl.constexpr,
    LANES: tl.constexpr, WRITE: tl.constexpr,
):  # fmt: skip
    """Without WRITE: ``counts`` [4, R] of the samples that are shown, of those on moving rays, of dynamic ones, and of
    moving rays; what passes all that is not doubtful, and the median depth. With it: those samples."""
    ray = tl.program_id(0).to(tl.int64) * LANES + tl.arange(0, LANES)
    live = ray < count
    ox, oy, oz = read_point(origins, ray, live)
    dx, dy, d = read_point(directions, ray, live)
    rays = live, ox, oy, oz, dx, dy, d, tl.load(near_of + ray, live, 1.0), tl.load(far_of + ray, live, 2.0)
    out = u, rows, weights, codes, tau, v, delta, parts, row
    bits = tl.load(wanted + ray, live, 0)
    if WRITE:
        sure, moves = tl.load(sure_of + ray, live, 0.0), tl.load(counts + 3 * count + ray, live, 0)
        place = tl.load(ends + 3 * count + ray, live, 0) - moves
        shown = tl.load(ends + ray, live, 0) - tl.load(counts + ray, live, 0)
        last = tl.load(ends + count + ray, live, 0)
        along = last - tl.load(counts + count + ray, live, 0)
        first = tl.load(ends + 2 * count + ray, live, 0) - tl.load(counts + 2 * count + ray, live, 0)
        tl.store(rays_out + place, ray, moves > 0)
        tl.store(offsets + place + 1, last, moves > 0)
        tl.store(first_shown + place, shown, moves > 0)
        tl.store(first_own + place, first, moves > 0)
        starts = shown, along, first, place.to(tl.int32), moves > 0
        _follow(
            rays, space, mask, sets, boxes, bits, planes, lines, sure, out, starts, samples, cells, density, dark,
            KIND, SIDE, PARTS, channels, PADDED, LANES, True,
        )  # fmt: skip
    else:
        # As if what is doubtful let all light pass; then, where anything is, with as much of it as passes the rest.
        sure, starts = live.to(tl.float32) * 0, (ray, ray, ray, ray, live)
        shown, along, owned, doubts, light, middle = _follow(
            rays, space, mask, sets, boxes, bits, planes, lines, sure, out, starts, samples, cells, density, dark,
            KIND, SIDE, PARTS, channels, PADDED, LANES, False,
        )  # fmt: skip
        sure = tl.where(light > dark, light, 0.0)
        if tl.max(doubts, 0) > 0:
            shown, along, owned, doubts, light, middle = _follow(
                rays, space, mask, sets, boxes, bits, planes, lines, sure, out, starts, samples, cells, density, dark,
                KIND, SIDE, PARTS, channels, PADDED, LANES, False,
            )  # fmt: skip
        tl.store(counts + ray, shown, live)
        tl.store(counts + count + ray, tl.where(owned > 0, along, 0), live)
        tl.store(counts + 2 * count + ray, owned, live)
        tl.store(counts + 3 * count + ray, (owned > 0).to(tl.int32), live)
        tl.store(sure_of + ray, sure, live)
        tl.store(depth + ray, middle, live)


def march_lit(
    coordinates: Coordinates, rays: Rays, samples: int, mask: Tensor, region: tuple[Tensor, Tensor, Tensor],
    density: Density, dark: float,
) -> Lit:  # fmt: skip
    """:func:`mixdepth.kernels.march_density` with what follows from it: of ``samples`` in the middles of equal parts of
    each ray those that are shown, with a weight above ``dark``, and on rays that meet the region all up to where no
    more than ``dark`` of the light is left.

    Args:
        mask: bits STATIC and DOUBTFUL of n^3 cells, uint8.
        region: sets of m^3 cells of a box, that box (low 3, scale 3), and each ray's own set [R] int32.
    """
    count, near = len(rays.near), rays.near
    counts = torch.empty(4, count, dtype=torch.int32, device=near.device)
    sure, depth = torch.empty_like(near), torch.empty_like(near)
    given = [t.contiguous() for t in (*rays[:4], mask, *region, *density[:2])]
    numbers = [(*map(float, three),) for three in (*coordinates[1:7], coordinates[7:])]
    constants = [float(value) for value in density[4:]]
    rest = (*numbers,), (*constants,), dark, count, samples, density.size
    sides = [round(len(cells) ** (1 / 3)) for cells in (mask, region[0])]
    kind = coordinates.kind, *sides, density.channels, triton.next_power_of_2(density.channels), LANES
    programs, known = triton.cdiv(count, LANES), sum(tensor.nbytes for tensor in given)
    nothing = [near] * 13
    moved = known + counts.nbytes + sure.nbytes + depth.nbytes
    launch(_march_forward, programs, moved, *given, counts, counts, sure, depth, *nothing, *rest, *kind, False, **ALONE)
    ends = counts.cumsum(1)
    shown, along, own, moving = ends[:, -1].tolist() if count else [0] * 4
    whole = [torch.empty(size, dtype=torch.int32, device=near.device) for size in (shown, along, own, own)]
    rows, codes, parts, row = whole
    u, weights, tau = near.new_empty(shown, 3), near.new_empty(shown), near.new_empty(along)
    v, delta = near.new_empty(own, 3), near.new_empty(own)
    found, first_shown, first_own = (ends.new_empty(moving) for _ in range(3))
    offsets = ends.new_zeros(moving + 1)
    kept = u, rows, weights, codes, tau, v, delta, parts, row, found, offsets, first_shown, first_own
    moved = known + counts.nbytes + ends.nbytes + sure.nbytes + sum(tensor.nbytes for tensor in kept)
    launch(_march_forward, programs, moved, *given, counts, ends, sure, depth, *kept, *rest, *kind, True, **ALONE)
    passed = offsets, first_shown, first_own, codes, tau, rays.near, rays.far, near.new_empty(0, 3)
    layers = Passed(*passed, coordinates.kind, samples)
    return Lit(depth, u, rows, weights, counts[0], ends[0], layers, found, row, v, delta, parts)


@triton.jit
def _product(x, weight, o, k, o_inside, k_inside, stride, AMP: tl.constexpr):
    """``x`` [POINTS, K] times ``weight`` [O, K] of which rows ``o`` and columns ``k`` are wanted, [POINTS, O]."""
    w = tl.load(weight + o[None] * stride + k[:, None], o_inside[None] & k_inside[:, None], 0.0)
    # "tf32x3" is as precise as float32, and does not need its registers.
    return tl.dot(x.to(tl.bfloat16), w.to(tl.bfloat16)) if AMP else tl.dot(x, w, input_precision="tf32x3")


@triton.jit
def _sine(x):
    """Of angles up to 2, by its series: what libraries have for larger ones needs memory."""
    s = x * x
    return x * (1 - s / 6 * (1 - s / 20 * (1 - s / 42 * (1 - s / 72 * (1 - s / 110 * (1 - s / 156))))))


@triton.jit
def _cosine(x):
    """The same."""
    s = x * x
    return 1 - s / 2 * (1 - s / 12 * (1 - s / 30 * (1 - s / 56 * (1 - s / 90 * (1 - s / 132 * (1 - s / 182))))))


@triton.jit
def _features(planes, lines, x, y, z, inside, k, cells, channels: tl.constexpr):
    """Features [POINTS, PADDED] of points, of each of the three orientations."""
    mask = inside[:, None] & (k < channels)[None]
    _, _, _, _, _, p0, q0 = look_up(planes, lines, x, y, z, k, mask, cells, 0, channels)
    _, _, _, _, _, p1, q1 = look_up(planes, lines, x, y, z, k, mask, cells, 1, channels)
    _, _, _, _, _, p2, q2 = look_up(planes, lines, x, y, z, k, mask, cells, 2, channels)
    return p0 * q0, p1 * q1, p2 * q2


@triton.jit
def _hidden(features, weight, bias, o, k, inside, stride, channels: tl.constexpr, AMP: tl.constexpr):
    """Columns ``o`` of a layer over features, before it is cut off at 0."""
    first, second, third = features
    wanted = k < channels
    out = _product(first, weight, o, k, inside, wanted, stride, AMP)
    out += _product(second, weight + channels, o, k, inside, wanted, stride, AMP)
    out += _product(third, weight + 2 * channels, o, k, inside, wanted, stride, AMP)
    return out + tl.load(bias + o, inside, 0.0)[None]


@triton.jit(do_not_specialize=VARYING)
def _still_forward(
    planes, lines, u, directions, rows, w1, b1, w2, b2, w3, b3, background, out, points, cells, features, width,
    channels: tl.constexpr, PADDED: tl.constexpr, WIDTH: tl.constexpr, CHUNK: tl.constexpr, VIEWS: tl.constexpr,
    POINTS: tl.constexpr, AMP: tl.constexpr,
):  # fmt: skip
    """Colours less the background's: features, direction of view and two hidden layers are all kept on the chip."""
    i = tl.program_id(0).to(tl.int64) * POINTS + tl.arange(0, POINTS)
    inside = i < points
    x, y, z = read_point(u, i, inside)
    k, c = tl.arange(0, PADDED), tl.arange(0, WIDTH)
    found, within = _features(planes, lines, x, y, z, inside, k, cells, channels), c < width
    # Columns 0-2: the unit direction of view; then three each of its sine, its cosine, and both at twice the frequency.
    j = tl.arange(0, 16)
    view = tl.zeros([POINTS, 16], tl.float32)
    if VIEWS:
        dx, dy, dz = read_point(directions, tl.load(rows + i, inside, 0), inside)
        length = tl.maximum(tl.sqrt(dx * dx + dy * dy + dz * dz), 1e-12)
        axis, kind = (j % 3)[None], (j // 3)[None]
        d = tl.where(axis == 0, dx[:, None], tl.where(axis == 1, dy[:, None], dz[:, None])) / length[:, None]
        wave = tl.where(kind >= 3, 2.0, 1.0) * d
        view = tl.where(kind == 0, d, tl.where(kind % 2 == 1, _sine(wave), _cosine(wave)))
    hidden = tl.zeros([POINTS, WIDTH], tl.float32)
    for start in range(0, width, CHUNK):
        o = start + tl.arange(0, CHUNK)
        here = o < width
        first = _hidden(found, w1, b1, o, k, here, features, channels, AMP)
        if VIEWS:
            first += _product(view, w1 + 3 * channels, o, j, here, j < 15, features, AMP)
        hidden += _product(tl.maximum(first, 0.0), w2, c, o, within, here, width, AMP)
    hidden = tl.maximum(hidden + tl.load(b2 + c, within, 0.0)[None], 0.0)
    if AMP:
        hidden = hidden.to(tl.bfloat16).to(tl.float32)
    red = tl.sum(hidden * tl.load(w3 + c, within, 0.0)[None], 1) + tl.load(b3)
    green = tl.sum(hidden * tl.load(w3 + width + c, within, 0.0)[None], 1) + tl.load(b3 + 1)
    blue = tl.sum(hidden * tl.load(w3 + 2 * width + c, within, 0.0)[None], 1) + tl.load(b3 + 2)
    tl.store(out + 3 * i, tl.sigmoid(red) - tl.load(background), inside)
    tl.store(out + 3 * i + 1, tl.sigmoid(green) - tl.load(background + 1), inside)
    tl.store(out + 3 * i + 2, tl.sigmoid(blue) - tl.load(background + 2), inside)


def still_colours(
    planes: Tensor, lines: Tensor, u: Tensor, directions: Tensor, rows: Tensor, layers: Sequence[Tensor],
    background: Tensor, amp: bool,
) -> Tensor:  # fmt: skip
    """Colours [S, 3] in 0..1, less the ``background`` [3], of points ``u`` [S, 3] as the static branch has them.

    Args:
        planes, lines: of the grid of features.
        directions: [R, 3] of rays; the first layer also takes them where it has room for their 15 numbers.
        rows: [S] int32, the ray of each point.
        layers: weights and biases of three layers.
        amp: whether the products but for the last are of bfloat16 numbers.
    """
    points, channels, width = len(u), planes.shape[3], len(layers[0])
    out = u.new_empty(points, 3)
    given = [t.contiguous() for t in (planes, lines, u, directions, rows, *layers, background)]
    moved = sum(tensor.nbytes for tensor in (*given, out))
    sizes = points, planes.shape[1], layers[0].shape[1], width, channels, _padded(channels), _padded(width)
    more = min(NARROW, _padded(width)), layers[0].shape[1] > 3 * channels, POINTS, amp
    launch(_still_forward, triton.cdiv(points, POINTS), moved, *given, out, *sizes, *more, num_warps=8)
    return out


@triton.jit(do_not_specialize=VARYING)
def _sum_forward(weights, colours, counts, ends, background, out, count, LANES: tl.constexpr):
    """Colours of rays over the background, of those of their samples."""
    ray = tl.program_id(0).to(tl.int64) * LANES + tl.arange(0, LANES)
    live = ray < count
    end, samples = tl.load(ends + ray, live, 0), tl.load(counts + ray, live, 0)
    red, green, blue = live.to(tl.float32) * 0, live.to(tl.float32) * 0, live.to(tl.float32) * 0
    most = tl.max(samples, 0)
    i = 0
    while i < most:
        at, here = end - samples + i, i < samples
        weight = tl.load(weights + at, here, 0.0)
        x, y, z = read_point(colours, at, here)
        red += weight * x
        green += weight * y
        blue += weight * z
        i += 1
    tl.store(out + 3 * ray, red + tl.load(background), live)
    tl.store(out + 3 * ray + 1, green + tl.load(background + 1), live)
    tl.store(out + 3 * ray + 2, blue + tl.load(background + 2), live)


def sum_still(weights: Tensor, colours: Tensor, counts: Tensor, ends: Tensor, background: Tensor) -> Tensor:
    """Colours [R, 3] of rays over the ``background`` [3]: sums of ``weights`` [S] times ``colours`` [S, 3] of the
    ``counts`` [R] samples of each that end before ``ends`` [R]."""
    out = colours.new_empty(len(counts), 3)
    given = [t.contiguous() for t in (weights, colours, counts, ends, background)]
    moved = sum(tensor.nbytes for tensor in (*given, out))
    launch(_sum_forward, triton.cdiv(len(counts), LANES), moved, *given, out, len(counts), LANES, num_warps=1)
    return out


@triton.jit(do_not_specialize=VARYING)
def _thickness_forward(
    planes, lines, v, delta, weight, bias, out, points, cells, scale,
    channels: tl.constexpr, PADDED: tl.constexpr, frames: tl.constexpr, FRAMES: tl.constexpr, POINTS: tl.constexpr,
):  # fmt: skip
    """Optical thickness of points at ``frames``, without their features ever being written down."""
    i = tl.program_id(0).to(tl.int64) * POINTS + tl.arange(0, POINTS)
    inside = i < points
    x, y, z = read_point(v, i, inside)
    k, f = tl.arange(0, PADDED), tl.arange(0, FRAMES)
    found = _features(planes, lines, x, y, z, inside, k, cells, channels)
    total = _hidden(found, weight, bias, f, k, f < frames, 3 * channels, channels, False)
    tau = _softplus(total) * (scale * tl.load(delta + i, inside, 0.0))[:, None]
    tl.store(out + i[:, None] * frames + f[None], tau, inside[:, None] & (f < frames)[None])


def thickness(
    planes: Tensor, lines: Tensor, v: Tensor, delta: Tensor, weight: Tensor, bias: Tensor, scale: float
) -> Tensor:
    """Optical thickness [D, F] of samples of length ``delta`` [D] at points ``v`` [D, 3]: ``scale * delta *
    softplus(features @ weight.T + bias)``, with ``weight`` [F, features] and ``bias`` [F]."""
    points, channels, frames = len(v), planes.shape[3], len(weight)
    out = v.new_empty(points, frames)
    given = [t.contiguous() for t in (planes, lines, v, delta, weight, bias)]
    moved = sum(tensor.nbytes for tensor in (*given, out))
    sizes = points, planes.shape[1], scale, channels, _padded(channels)
    padded = _padded(frames)
    launch(_thickness_forward, triton.cdiv(points, POINTS), moved, *given, out, *sizes, frames, padded, POINTS)
    return out


@triton.jit(do_not_specialize=VARYING)
def _frames_forward(
    offsets, first_shown, first_own, codes, still, near_of, far_of, colours, rays, tau, sets, parts,
    rgb, faint, depth, shown, lit, samples, count, dark, visible,
    KIND: tl.constexpr, frames: tl.constexpr, FRAMES: tl.constexpr, LANES: tl.constexpr,
):  # fmt: skip
    """Both branches along rays, sample after sample, at all frames at once."""
    at = tl.program_id(0).to(tl.int64) * LANES + tl.arange(0, LANES)
    live, f = at < count, tl.arange(0, FRAMES)
    wanted = f < frames
    ray = tl.load(rays + at, live, 0)
    first, end = tl.load(offsets + at, live, 0), tl.load(offsets + at + 1, live, 0)
    bits = tl.load(parts + f, wanted, 0)[None]
    light = tl.where(live[:, None] & wanted[None], 1.0, 0.0)
    red, green, blue, pale = light * 0, light * 0, light * 0, light * 0
    near, far = tl.load(near_of + ray, live, 1.0), tl.load(far_of + ray, live, 2.0)
    own, at_colour = tl.load(first_own + at, live, 0), tl.load(first_shown + at, live, 0)
    middle = light * 0 + far[:, None]
    i = 0
    most = tl.max(end - first, 0)
    while i < most:
        j = first + i
        here = j < end
        code = tl.load(codes + j, here, 0)
        moves, bright_still, k = (code & 1) != 0, (code & 2) != 0, code // 4
        z = _depth(k, samples, near, far, KIND)
        edge = tl.where(k == 0, near, 0.5 * (_depth(k - 1, samples, near, far, KIND) + z))
        next_edge = tl.where(k + 1 >= samples, far, 0.5 * (z + _depth(k + 1, samples, near, far, KIND)))
        where = own[:, None] * frames + f[None]
        within = moves[:, None] & wanted[None]
        seen = within & ((tl.load(sets + own, moves, 0)[:, None] & bits) != 0)
        ts = tl.load(still + j, here, 0.0)[:, None]
        td = tl.load(tau + where, seen, 0.0)
        weight = tl.where(light > dark, light * opacity(ts + td), 0.0)
        middle_of = (light - 0.5) / tl.maximum(weight, 1e-20) - 0.5
        half = (light > 0.5) & (light - weight <= 0.5)
        middle = tl.where(half, z[:, None] + (next_edge - edge)[:, None] * middle_of, middle)
        light -= weight
        own_weight = weight * (td / tl.maximum(ts + td, 1e-20))
        bright = tl.where(own_weight > visible, own_weight, 0.0)
        tl.store(shown + where, bright, within)
        tl.store(lit + own, (tl.max(bright, 1) > 0).to(tl.uint8), moves)
        pale += own_weight - bright
        weight -= own_weight
        r, g, b = read_point(colours, at_colour, bright_still)
        red += weight * r[:, None]
        green += weight * g[:, None]
        blue += weight * b[:, None]
        own += moves.to(tl.int64)
        at_colour += bright_still.to(tl.int64)
        i += 1
    out, each = at[:, None] * frames + f[None], live[:, None] & wanted[None]
    tl.store(rgb + 3 * out, red, each)
    tl.store(rgb + 3 * out + 1, green, each)
    tl.store(rgb + 3 * out + 2, blue, each)
    tl.store(faint + out, pale, each)
    tl.store(depth + out, middle, each)


def composite_frames(
    layers: Passed, rays: Tensor, tau: Tensor, sets: Tensor, parts: Tensor, dark: float, visible: float
) -> tuple[Views, Tensor, Tensor]:
    """See :func:`mixdepth.kernels.composite_frames`: views, weights [D, F], and whether [D] any is shown."""
    frames, count = tau.shape[1], len(rays)
    views = Views(*(tau.new_empty(count, frames, *rest) for rest in ((3,), (), ())))
    shown, lit = torch.empty_like(tau), torch.empty_like(sets, dtype=torch.uint8)
    known, out = (*layers[:8], rays, tau.contiguous(), sets, parts), (*views, shown, lit)
    padded = triton.next_power_of_2(frames)
    lanes = LANES if padded == 1 else max(1, 2 * LANES // padded)
    whole = sum(tensor.nbytes for tensor in (*known, *out))
    # Of the ends and the colours of all rays those of moving ones alone are read.
    whole += 8 * count - layers.near.nbytes - layers.far.nbytes - layers.colours.nbytes

    def moved() -> int:
        return whole + 12 * int((layers.codes & 2 != 0).sum())

    sizes = layers.samples, count, dark, visible, layers.kind, frames, padded, lanes
    launch(_frames_forward, triton.cdiv(count, lanes), moved, *known, *out, *sizes, num_warps=1)
    return views, shown, lit


@triton.jit(do_not_specialize=VARYING)
def _colours_forward(
    planes, lines, v, lit, w1, b1, w2, b2, out, points, cells, width,
    channels: tl.constexpr, PADDED: tl.constexpr, columns: tl.constexpr, COLUMNS: tl.constexpr, CHUNK: tl.constexpr,
    POINTS: tl.constexpr, AMP: tl.constexpr,
):  # fmt: skip
    """Colours of the points ``lit`` at all frames; the hidden layer is made, and used up, a few channels at a time."""
    at = tl.program_id(0).to(tl.int64) * POINTS + tl.arange(0, POINTS)
    inside = at < points
    x, y, z = read_point(v, tl.load(lit + at, inside, 0), inside)
    k, c = tl.arange(0, PADDED), tl.arange(0, COLUMNS)
    found, wanted = _features(planes, lines, x, y, z, inside, k, cells, channels), c < columns
    total = tl.zeros([POINTS, COLUMNS], tl.float32) + tl.load(b2 + c, wanted, 0.0)[None]
    for start in range(0, width, CHUNK):
        o = start + tl.arange(0, CHUNK)
        here = o < width
        hidden = tl.maximum(_hidden(found, w1, b1, o, k, here, 3 * channels, channels, AMP), 0.0)
        if AMP:
            hidden = hidden.to(tl.bfloat16).to(tl.float32)
        total += _product(hidden, w2, c, o, wanted, here, width, False)
    tl.store(out + at[:, None] * columns + c[None], tl.sigmoid(total), inside[:, None] & wanted[None])


def dynamic_colours(
    planes: Tensor,
    lines: Tensor,
    v: Tensor,
    lit: Tensor,
    hidden: Sequence[Tensor],
    last: Sequence[Tensor],
    amp: bool,
) -> Tensor:
    """Sigmoids [L, O] of two layers, weight and bias of each, of the features of the points ``lit`` [L] of [D, 3].

    Args:
        amp: whether the products of the first are of bfloat16 numbers.
    """
    points, channels, columns, width = len(lit), planes.shape[3], len(last[0]), len(hidden[0])
    out = v.new_empty(points, columns)
    given = [t.contiguous() for t in (planes, lines, v, lit, *hidden, *last)]
    moved = planes.nbytes + lines.nbytes + points * 20 + sum(t.nbytes for t in (*given[4:], out))
    sizes = points, planes.shape[1], width, channels, _padded(channels)
    padded = _padded(columns)
    launch(
        _colours_forward, triton.cdiv(points, POINTS), moved, *given, out, *sizes, columns, padded, CHUNK, POINTS, amp
    )
    return out
