"""The loops of rendering on CPU, where nothing takes a gradient: what is skipped need never be written down.

As in :mod:`mixdepth.kernels.cpu`; but exponentials are polynomials here, for many samples or frames at once, good to
float32's last two bits.
"""

import numpy as np

from mixdepth.kernels.arguments import DOUBTFUL, DYNAMIC, FORWARD, LANES, STATIC, UNBOUNDED
from mixdepth.kernels.cpu import HALF, INDEX, ONE, compiled

MOVES, NOTHING = np.uint8(DYNAMIC), np.uint8(0)
ZERO, TWO, LARGEST, SMALLEST = np.float32(0), np.float32(2), np.float32(80), np.float32(1e-20)
# Where what is kept per frame lies, each LANES numbers.
LIGHT, ABSORBED, DEPTH, RED, GREEN, BLUE, FAINT, TAU, OPACITY = (INDEX(LANES * k) for k in range(9))
LOG2E = np.float32(1.4426950408889634)
# 2^r for -1/2 <= r <= 1/2 (Cephes, exp2f), from the highest power.
E6, E5, E4 = np.float32(1.535336188319500e-4), np.float32(1.339887440266574e-3), np.float32(9.618437357674640e-3)
E3, E2, E1 = np.float32(5.550332471162809e-2), np.float32(2.402264791363012e-1), np.float32(6.931472028550421e-1)
# atanh(s) / s in s^2.
A1, A2, A3, A4, A5, A6, A7 = (np.float32(1 / (2 * k + 1)) for k in range(1, 8))


@compiled
def _exponential(room, source, target, bits):
    """exp(-x) of LANES numbers, none below zero, in two factors: of those of ``room`` from ``source`` on, the first
    less one is written from ``target`` on (the same, or others), the bits of the second to ``bits`` [LANES] int32."""
    for i in range(INDEX(LANES)):
        y = -min(room[source + i], LARGEST) * LOG2E
        whole = np.floor(y + HALF)
        r = y - whole
        bits[i] = (np.int32(whole) + np.int32(127)) << np.int32(23)
        room[target + i] = (((((E6 * r + E5) * r + E4) * r + E3) * r + E2) * r + E1) * r


@compiled
def _opacity(room, source, target, bits):
    """1 - exp(-x), to float32's precision also where it is next to nothing; as :func:`_exponential`."""
    powers = bits.view(np.float32)
    _exponential(room, source, target, bits)
    for i in range(INDEX(LANES)):
        room[target + i] = (ONE - powers[i]) - powers[i] * room[target + i]


@compiled
def _softplus(room, source, target, bits):
    """log(1 + exp(x)) of LANES numbers; as :func:`_exponential`, but not to the same place."""
    powers = bits.view(np.float32)
    for i in range(INDEX(LANES)):
        room[target + i] = abs(room[source + i])
    _exponential(room, target, target, bits)
    for i in range(INDEX(LANES)):
        e = powers[i] + powers[i] * room[target + i]
        s = e / (TWO + e)
        q = s * s
        series = ((((((A7 * q + A6) * q + A5) * q + A4) * q + A3) * q + A2) * q + A1) * q + ONE
        room[target + i] = max(room[source + i], ZERO) + TWO * s * series


@compiled
def _normalise_ray(space, rays, ray, depths, u):
    """Normalised coordinates ``u`` [3, N] of the points at ``depths`` [N] of a ray, N the same for all."""
    ox, oy, oz = rays.origins[ray, 0], rays.origins[ray, 1], rays.origins[ray, 2]
    dx, dy, dz = rays.directions[ray, 0], rays.directions[ray, 1], rays.directions[ray, 2]
    x, y, z = u[0], u[1], u[2]
    if space.kind == FORWARD:
        # The coordinates of the reference frame are linear along a ray.
        ox, oy, oz = ox - space.centre[0], oy - space.centre[1], oz - space.centre[2]
        right, down, ahead = space.right, space.down, space.ahead
        a, da = ox * right[0] + oy * right[1] + oz * right[2], dx * right[0] + dy * right[1] + dz * right[2]
        b, db = ox * down[0] + oy * down[1] + oz * down[2], dx * down[0] + dy * down[1] + dz * down[2]
        c, dc = ox * ahead[0] + oy * ahead[1] + oz * ahead[2], dx * ahead[0] + dy * ahead[1] + dz * ahead[2]
        for k in range(len(depths)):
            t = depths[k]
            inverse = ONE / max(c + t * dc, space.nearest)
            x[k] = ((a + t * da) * inverse - space.low[0]) * space.scale[0] - ONE
            y[k] = ((b + t * db) * inverse - space.low[1]) * space.scale[1] - ONE
            near = (space.inverse_near - inverse) * space.per_disparity
            z[k] = (near - space.low[2]) * space.scale[2] - ONE
        return
    for k in range(len(depths)):
        t = depths[k]
        x[k] = (ox + t * dx - space.low[0]) * space.scale[0] - ONE
        y[k] = (oy + t * dy - space.low[1]) * space.scale[1] - ONE
        z[k] = (oz + t * dz - space.low[2]) * space.scale[2] - ONE
    if space.kind == UNBOUNDED:
        for k in range(len(depths)):
            size = max(max(ONE, abs(x[k])), max(abs(y[k]), abs(z[k])))
            shrink = (TWO - ONE / size) / size * HALF
            x[k] *= shrink
            y[k] *= shrink
            z[k] *= shrink


@compiled
def _cells(u, n, box, reach, out):
    """Cells ``out`` [N] int32, among n^3 of a box (low 3, scale 3), nearest to points ``u`` [3, N]; -1 of those that
    are farther from its middle than ``reach`` halves of it."""
    x, y, z = u[0], u[1], u[2]
    x0, y0, z0, x1, y1, z1 = box[0], box[1], box[2], box[3], box[4], box[5]
    scale, last = HALF * np.float32(n), np.float32(n - 1)
    for k in range(len(out)):
        a, b, c = (x[k] - x0) * x1, (y[k] - y0) * y1, (z[k] - z0) * z1
        i = np.int32(min(max(a * scale, ZERO), last))
        j = np.int32(min(max(b * scale, ZERO), last))
        m = np.int32(min(max(c * scale, ZERO), last))
        away = max(max(abs(a - ONE), abs(b - ONE)), abs(c - ONE))
        out[k] = (i * np.int32(n) + j) * np.int32(n) + m if away <= reach else np.int32(-1)


@compiled
def _gaps(u, out):
    """Distances ``out`` [N - 1] of points ``u`` [3, N], each to the next."""
    x, y, z = u[0], u[1], u[2]
    for k in range(len(x) - 1):
        a, b, c = x[k + 1] - x[k], y[k + 1] - y[k], z[k + 1] - z[k]
        out[k] = np.sqrt(a * a + b * b + c * c)


@compiled
def _candidates(mask, inside, sets, parts, wanted, held, at):
    """Which samples of a ray lie where something may be: their numbers ``at``, how many, and of all what ``held`` them.

    Written without branches, which no processor could foresee."""
    for k in range(len(inside)):
        held[k] = mask.cells[INDEX(inside[k])]
    if sets.size:
        for k in range(len(inside)):
            held[k] |= MOVES if parts[k] >= 0 and sets.cells[INDEX(max(parts[k], 0))] & wanted else NOTHING
    count = 0
    for k in range(len(inside)):
        at[INDEX(count)] = k
        count += held[k] != 0
    return count


@compiled
def _share(x, cells):
    """Cell and share of the way to the next, of a coordinate in [-1, 1] along ``cells`` grid points."""
    last = np.float32(cells - 1)
    x = min(max((x + ONE) * HALF * last, ZERO), last)
    cell = min(np.int32(x), np.int32(cells - 2))
    return INDEX(cell), x - np.float32(cell)


@compiled
def _grid_sum(planes, lines, x, y, z, cells, channels):
    """:func:`mixdepth.kernels.cpu.grid_sum_at` in half the time: all orientations at once, and as many channels as the
    tuple ``channels`` is long, a number that the compiler knows, so that they are one vector."""
    n = INDEX(len(channels))
    i, a = _share(x, cells)
    j, b = _share(y, cells)
    k, c = _share(z, cells)
    a0, b0, c0 = ONE - a, ONE - b, ONE - c
    ab, ac, bc = a * b, a * c, b * c
    row, page = INDEX(cells) * n, INDEX(cells) * INDEX(cells) * n
    xy, xz, yz = i * row + j * n, page + i * row + k * n, page + page + j * row + k * n
    along_z, along_y, along_x = k * n, row + j * n, row + row + i * n
    total = ZERO
    for h in range(n):
        one = planes[xy + h] * (a0 - b + ab) + planes[xy + n + h] * (b - ab)
        one += planes[xy + row + h] * (a - ab) + planes[xy + row + n + h] * ab
        two = planes[xz + h] * (a0 - c + ac) + planes[xz + n + h] * (c - ac)
        two += planes[xz + row + h] * (a - ac) + planes[xz + row + n + h] * ac
        three = planes[yz + h] * (b0 - c + bc) + planes[yz + n + h] * (c - bc)
        three += planes[yz + row + h] * (b - bc) + planes[yz + row + n + h] * bc
        one *= lines[along_z + h] * c0 + lines[along_z + n + h] * c
        two *= lines[along_y + h] * b0 + lines[along_y + n + h] * b
        three *= lines[along_x + h] * a0 + lines[along_x + n + h] * a
        total += one + two + three
    return total


@compiled
def _length(gaps, k):
    """What sample ``k`` stands for: half of both its ``gaps`` to its neighbours, normalised units."""
    return HALF * (gaps[max(k - 1, 0)] + gaps[max(min(k, len(gaps) - 1), 0)])


@compiled
def _thickness(density, channels, u, gaps, held, at, room, bits):
    """Optical thickness of up to LANES samples ``at`` of a ray, zero where ``held`` has them not as static, into
    ``room`` from LANES on, and how much of the light each takes, from 2 * LANES on."""
    x, y, z = u[0], u[1], u[2]
    for i in range(len(at)):
        k = INDEX(at[i])
        if held[k] & STATIC:
            total = _grid_sum(density.planes, density.lines, x[k], y[k], z[k], density.size, channels)
            room[i] = total * density.slope - density.shift
    _softplus(room, INDEX(0), INDEX(LANES), bits)
    for i in range(len(at)):
        k = at[i]
        room[INDEX(LANES + i)] *= density.scale * _length(gaps, k) if held[k] & STATIC else ZERO
    _opacity(room, INDEX(LANES), INDEX(2 * LANES), bits)


@compiled
def _light_past_sure(density, channels, u, gaps, held, at, dark, room, bits):
    """Of the light of a ray what passes all of the samples ``at`` that are static and not DOUBTFUL; 1 where none is."""
    doubtful = False
    for i in range(len(at)):
        doubtful |= held[at[i]] & DOUBTFUL != 0
    light = 1.0
    if not doubtful:
        return light
    for start in range(0, len(at), LANES):
        here = at[start : start + LANES]
        _thickness(density, channels, u, gaps, held, here, room, bits)
        for i in range(len(here)):
            if not held[here[i]] & DOUBTFUL:
                light -= light * room[INDEX(2 * LANES + i)]
        if light <= dark:
            return 0.0
    return light


@compiled
def march_density(space, rays, depths, mask, sets, density, channels, dark, first, last, kept):
    """Like :func:`mixdepth.kernels.cpu.march`, with the optical thickness and weight of the static branch at each
    sample, up to where it lets no more than ``dark`` of the light pass. The thickness of samples that the mask has as
    DOUBTFUL is multiplied by the light that passes all others.

    Args:
        depths: [R, N], or [1, N] where they are the same along every ray.
        density, kept: see :mod:`mixdepth.kernels.arguments`; ``kept`` is written.
        channels: a tuple as long as the density's grid has channels.
    """
    samples = depths.shape[1]
    u, gaps = np.empty((3, samples), np.float32), np.zeros(max(samples - 1, 1), np.float32)
    cube = np.array([-1, -1, -1, 1, 1, 1], np.float32)
    inside, parts = np.empty(samples, np.int32), np.empty(samples, np.int32)
    at, held = np.empty(samples, np.int64), np.empty(samples, np.uint8)
    room, bits = np.zeros(3 * LANES, np.float32), np.empty(LANES, np.int32)
    wanted = np.int32(0)
    end = first * samples
    for ray in range(first, last):
        along = depths[ray if len(depths) > 1 else 0]
        kept.starts[ray] = end
        _normalise_ray(space, rays, ray, along, u)
        _gaps(u, gaps)
        _cells(u, mask.size, cube, np.float32(np.inf), inside)
        if sets.size:
            _cells(u, sets.size, sets.box, ONE, parts)
            wanted = sets.wanted[ray]
        found = _candidates(mask, inside, sets, parts, wanted, held, at)
        sure = np.float32(_light_past_sure(density, channels, u, gaps, held, at[:found], dark, room, bits))
        light = 1.0
        for start in range(0, found, LANES):
            if light <= dark:
                break
            here = at[start : min(start + LANES, found)]
            _thickness(density, channels, u, gaps, held, here, room, bits)
            for i in range(len(here)):
                if light <= dark:
                    break
                k = here[i]
                near = HALF * (along[k - 1] + along[k]) if k else rays.near[ray]
                far = HALF * (along[k] + along[k + 1]) if k + 1 < samples else rays.far[ray]
                tau, opacity = room[INDEX(LANES + i)], room[INDEX(2 * LANES + i)]
                if held[k] & DOUBTFUL:
                    tau *= sure
                    opacity = -np.expm1(-tau)
                row = INDEX(end)
                kept.z[row], kept.dz[row], kept.delta[row] = along[k], far - near, _length(gaps, k)
                kept.u[row, 0], kept.u[row, 1], kept.u[row, 2] = u[0, k], u[1, k], u[2, k]
                kept.tau[row], kept.weights[row] = tau, light * opacity
                kept.holds[row] = held[k] & (STATIC | DYNAMIC)
                light -= light * opacity
                end += 1
        kept.counts[ray] = end - kept.starts[ray]


@compiled
def pack_lit(kept, offsets, first, last, rows, packed):
    """Move what :func:`march_density` kept of these rays, the same part as it was given, to its place in ``packed``."""
    at, end, start = offsets[first], offsets[last], kept.starts[first]
    for ray in range(first, last):
        rows[offsets[ray] : offsets[ray + 1]] = ray
    here, there = slice(at, end), slice(start, start + end - at)
    packed.z[here], packed.dz[here], packed.delta[here] = kept.z[there], kept.dz[there], kept.delta[there]
    packed.u[here], packed.holds[here] = kept.u[there], kept.holds[there]
    packed.tau[here], packed.weights[here] = kept.tau[there], kept.weights[there]


@compiled
def _pass_still(room, opacity, z, dz, red, green, blue):
    """A sample of the static branch alone is passed, at all frames; the sum of the light that is left."""
    left = ZERO
    for f in range(INDEX(LANES)):
        light = room[LIGHT + f]
        weight, before = light * opacity, room[ABSORBED + f]
        within = z + dz * ((HALF - before) / max(weight, SMALLEST) - HALF)
        room[DEPTH + f] = within if before < HALF and before + weight >= HALF else room[DEPTH + f]
        room[ABSORBED + f] = before + weight
        room[LIGHT + f] = light - weight
        left += light - weight
        room[RED + f] += weight * red
        room[GREEN + f] += weight * green
        room[BLUE + f] += weight * blue
    return left


@compiled
def _pass_both(room, bits, visible, tau, z, dz, red, green, blue):
    """A sample of both branches is passed; TAU, the dynamic one's thickness, becomes its weights where ``visible``."""
    for f in range(INDEX(LANES)):
        room[OPACITY + f] = tau + room[TAU + f]
    _opacity(room, OPACITY, OPACITY, bits)
    left = ZERO
    for f in range(INDEX(LANES)):
        light = room[LIGHT + f]
        weight, before = light * room[OPACITY + f], room[ABSORBED + f]
        within = z + dz * ((HALF - before) / max(weight, SMALLEST) - HALF)
        room[DEPTH + f] = within if before < HALF and before + weight >= HALF else room[DEPTH + f]
        room[ABSORBED + f] = before + weight
        room[LIGHT + f] = light - weight
        left += light - weight
        moves = weight * room[TAU + f] / max(room[TAU + f] + tau, SMALLEST)
        room[TAU + f] = moves if moves > visible else ZERO
        room[FAINT + f] += moves - room[TAU + f]
        room[RED + f] += (weight - moves) * red
        room[GREEN + f] += (weight - moves) * green
        room[BLUE + f] += (weight - moves) * blue
    return left


@compiled
def frames_forward(layers, opacity, rays, tau, sets, parts, dark, visible, first, last, views, shown, lit):
    """Both branches along ``rays[first:last]`` at up to LANES frames; see :func:`mixdepth.kernels.composite_frames`.

    Args:
        layers, views: see :mod:`mixdepth.kernels.arguments`; ``views`` is written.
        opacity: [M] share of the light that each sample of the static branch takes.
        shown: [D, F] weights above ``visible``, written where ``lit`` [D] is set.
    """
    count, every = INDEX(len(parts)), np.int32(0)
    for f in range(count):
        every |= parts[f]
    # All in one array: of several, LLVM does not know that none is part of another, and computes one number at a time.
    room, bits = np.zeros(9 * LANES, np.float32), np.empty(LANES, np.int32)
    for at in range(first, last):
        ray = rays[at]
        for f in range(INDEX(LANES)):
            room[LIGHT + f] = ONE if f < count else ZERO
            room[DEPTH + f], room[ABSORBED + f] = layers.far[ray], ZERO
            room[RED + f], room[GREEN + f], room[BLUE + f], room[FAINT + f] = ZERO, ZERO, ZERO, ZERO
        left = ONE
        for i in range(layers.offsets[ray], layers.offsets[ray + 1]):
            if left <= dark:
                break
            d, still = layers.moving[i], layers.tau[i]
            seen = layers.z[i], layers.dz[i], layers.rgb[i, 0], layers.rgb[i, 1], layers.rgb[i, 2]
            if d >= 0 and sets[d] & every:
                row, bright = INDEX(d), 0
                for f in range(count):
                    room[TAU + f] = tau[row, f] if sets[row] & parts[f] else ZERO
                left = _pass_both(room, bits, visible, still, *seen)
                for f in range(count):
                    shown[row, f] = room[TAU + f]
                    bright += room[TAU + f] > 0
                lit[row] = bright > 0
            elif still > 0:
                left = _pass_still(room, opacity[i], *seen)
        for f in range(count):
            views.rgb[at, f, 0], views.rgb[at, f, 1], views.rgb[at, f, 2] = (
                room[RED + f],
                room[GREEN + f],
                room[BLUE + f],
            )
            views.faint[at, f], views.depth[at, f] = room[FAINT + f], room[DEPTH + f]


@compiled
def add_and_cut(start, rows, first, last, hidden):
    """Add to ``hidden`` [N, W] what belongs to the ray of each, ``start`` [R, W] or [1, W]; then relu."""
    one = len(start) == 1
    for i in range(first, last):
        row = INDEX(0 if one else rows[i])
        for k in range(hidden.shape[1]):
            hidden[i, k] = max(hidden[i, k] + start[row, k], ZERO)


@compiled
def three_sums(hidden, bias, weight, end, first, last, out):
    """The last layer, ``weight`` [3, W] and ``end`` [3], of the relu of ``hidden`` [N, W] plus ``bias`` [W]."""
    for i in range(first, last):
        red, green, blue = ZERO, ZERO, ZERO
        for k in range(hidden.shape[1]):
            h = max(hidden[i, k] + bias[k], ZERO)
            red += h * weight[0, k]
            green += h * weight[1, k]
            blue += h * weight[2, k]
        out[i, 0], out[i, 1], out[i, 2] = red + end[0], green + end[1], blue + end[2]
