"""The loops of the model on CPU, compiled by numba: PyTorch needs several passes over memory where these need one.

Every function works on a part of the rays, samples or planes, so that :mod:`mixdepth.kernels` can hand parts to
threads. No two parts write to the same place and no sum crosses parts, so results do not depend on how many threads
there are. The same mathematics in plain PyTorch is in :mod:`mixdepth.kernels.plain`.

Nothing is compiled before its first call, and nothing is cached on disk: numba's cache is pickled.
"""

import math

import numpy as np
from numba import njit

from mixdepth.kernels.arguments import DYNAMIC, FORWARD, STATIC, UNBOUNDED

# Not `fastmath=True`: it may assume that nothing is NaN, and NaN must reach the check of the losses.
compiled = njit(nogil=True, fastmath={"reassoc", "contract", "arcp", "nsz"}, error_model="numpy")

INDEX = np.uint64  # unsigned, so that numba does not look for negative indices; never mixed with signed ones
ONE, HALF = np.float32(1), np.float32(0.5)


@compiled
def _locate(x, cells):
    """Cell and share of the way to the next, of a coordinate in [-1, 1] along ``cells`` grid points."""
    x = min(max((x + ONE) * HALF * np.float32(cells - 1), np.float32(0)), np.float32(cells - 1))
    cell = min(int(x), cells - 2)
    return cell, x - np.float32(cell)


@compiled
def _axes(u, i, orientation):
    """Coordinates of point ``i`` along the rows and columns of a plane and along its line."""
    if orientation == 0:
        return u[i, 0], u[i, 1], u[i, 2]
    if orientation == 1:
        return u[i, 0], u[i, 2], u[i, 1]
    return u[i, 1], u[i, 2], u[i, 0]


@compiled
def _corners(u, i, orientation, cells, stride):
    """Places in flat planes and lines of what point ``i`` lies between, and its shares: everything a look-up needs."""
    x, y, z = _axes(u, i, orientation)
    row, a = _locate(x, cells)
    column, b = _locate(y, cells)
    cell, c = _locate(z, cells)
    p00 = INDEX((orientation * cells + row) * cells + column) * stride
    q0 = INDEX(orientation * cells + cell) * stride
    w11 = a * b
    return p00, p00 + INDEX(cells) * stride, q0, ONE - a - b + w11, b - w11, a - w11, w11, c


@compiled
def grid_sum_at(planes, lines, u, i, cells, n):
    """The sum over orientations and ``n`` channels of plane times line at point ``i``."""
    total = np.float32(0)
    for orientation in range(3):
        p0, p1, q0, w00, w01, w10, w11, c = _corners(u, i, orientation, cells, n)
        for k in range(n):
            upper = planes[p0 + k] * w00 + planes[p0 + n + k] * w01
            lower = planes[p1 + k] * w10 + planes[p1 + n + k] * w11
            total += (upper + lower) * (lines[q0 + k] * (ONE - c) + lines[q0 + n + k] * c)
    return total


@compiled
def sum_forward(planes, lines, u, cells, channels, first, last, out):
    """out[i] = sum over orientations and channels of plane times line, for the points first..last."""
    n = INDEX(channels)
    for i in range(first, last):
        out[i] = grid_sum_at(planes, lines, u, i, cells, n)


@compiled
def features_forward(planes, lines, u, cells, channels, first, last, out):
    """out[i, orientation * channels + k] = plane times line, for the points first..last; ``out`` is flat."""
    n = INDEX(channels)
    at = INDEX(first) * INDEX(3) * n
    for i in range(first, last):
        for orientation in range(3):
            p0, p1, q0, w00, w01, w10, w11, c = _corners(u, i, orientation, cells, n)
            for k in range(n):
                upper = planes[p0 + k] * w00 + planes[p0 + n + k] * w01
                lower = planes[p1 + k] * w10 + planes[p1 + n + k] * w11
                out[at + k] = (upper + lower) * (lines[q0 + k] * (ONE - c) + lines[q0 + n + k] * c)
            at += n


@compiled
def _gradient(grad, i, orientation, channels, is_sum, out):
    """The gradient of point ``i``'s features of one orientation, into ``out``; whether there is any.

    Points without one (those that compositing never reached) cost little.
    """
    if is_sum:
        out[:] = grad[i]
        return grad[i] != 0
    at, some = (INDEX(i) * INDEX(3) + INDEX(orientation)) * INDEX(channels), np.float32(0)
    for k in range(INDEX(channels)):
        out[k] = grad[at + k]
        some += abs(out[k])
    return some != 0


@compiled
def planes_backward(lines, u, cells, channels, orientation, parity, grad, is_sum, d_planes):
    """Add the gradients of every other row of one orientation's plane, from row ``parity``; all but ``u`` are flat.

    A point lies between two rows, one of each kind, so that two tasks share a plane evenly and never meet. ``grad`` is
    that of :func:`features_forward`, or of :func:`sum_forward` where ``is_sum``.
    """
    n, g = INDEX(channels), np.empty(channels, np.float32)
    for i in range(len(u)):
        if not _gradient(grad, i, orientation, channels, is_sum, g):
            continue
        x, y, z = _axes(u, i, orientation)
        row, a = _locate(x, cells)
        column, b = _locate(y, cells)
        cell, c = _locate(z, cells)
        w11 = a * b
        w0, w1 = ONE - a - b + w11, b - w11
        if row % 2 != parity:
            row, w0, w1 = row + 1, a - w11, w11
        p, q = INDEX((orientation * cells + row) * cells + column) * n, INDEX(orientation * cells + cell) * n
        for k in range(n):
            g[k] *= lines[q + k] * (ONE - c) + lines[q + n + k] * c
        # Both loads before the stores: a loop per corner is several times slower.
        for k in range(n):
            v0, v1 = d_planes[p + k] + g[k] * w0, d_planes[p + n + k] + g[k] * w1
            d_planes[p + k], d_planes[p + n + k] = v0, v1


@compiled
def lines_backward(planes, u, cells, channels, orientation, grad, is_sum, d_lines):
    """The same of one orientation's line."""
    n, g = INDEX(channels), np.empty(channels, np.float32)
    for i in range(len(u)):
        if not _gradient(grad, i, orientation, channels, is_sum, g):
            continue
        p0, p1, q0, w00, w01, w10, w11, c = _corners(u, i, orientation, cells, n)
        for k in range(n):
            upper = planes[p0 + k] * w00 + planes[p0 + n + k] * w01
            lower = planes[p1 + k] * w10 + planes[p1 + n + k] * w11
            g[k] *= upper + lower
        for k in range(n):
            v0, v1 = d_lines[q0 + k] + g[k] * (ONE - c), d_lines[q0 + n + k] + g[k] * c
            d_lines[q0 + k], d_lines[q0 + n + k] = v0, v1


@compiled
def roughness_backward(values, weight, first, last, grad):
    """Add the gradient of ``weight / 2`` times the squared differences of neighbours along axes 1 and 2.

    ``values`` [3, rows, columns, channels]; rows first..last of 3 * rows. Lines are planes of one column.
    """
    _, rows, columns, channels = values.shape
    width = INDEX(columns * channels)
    flat, out = values.reshape(-1), grad.reshape(-1)
    for line in range(first, last):
        at = INDEX(line) * width
        if line % rows > 0:
            for k in range(width):
                out[at + k] += weight * (flat[at + k] - flat[at - width + k])
        if line % rows < rows - 1:
            for k in range(width):
                out[at + k] += weight * (flat[at + k] - flat[at + width + k])
        step = INDEX(channels)
        for k in range(width - step):
            out[at + step + k] += weight * (flat[at + step + k] - flat[at + k])
            out[at + k] += weight * (flat[at + k] - flat[at + step + k])


@compiled
def composite_forward(tau, offsets, stop, first, last, weights):
    """Rendering weights of the rays first..last; zero once less than ``stop`` of the light is left."""
    for ray in range(first, last):
        light = 1.0
        for i in range(offsets[ray], offsets[ray + 1]):
            if light < stop:
                weights[i] = 0
                continue
            passes = math.exp(-tau[i])
            weights[i] = light * (1 - passes)
            light *= passes


@compiled
def composite_backward(weights, offsets, stop, grad, first, last, d_tau):
    """d weights / d tau: grad_k T_(k+1) - sum over i > k of grad_i w_i."""
    for ray in range(first, last):
        behind = 0.0
        for i in range(offsets[ray], offsets[ray + 1]):
            behind += grad[i] * weights[i]
        light = 1.0
        for i in range(offsets[ray], offsets[ray + 1]):
            if light < stop:
                d_tau[i] = 0
                continue
            light -= weights[i]
            behind -= grad[i] * weights[i]
            d_tau[i] = grad[i] * light - behind


@compiled
def mixed_forward(tau_s, rgb_s, index, tau_d, offsets, first, last, weight_d, rgb, left):
    """Static and dynamic branch of the rays first..last at F frames; see :func:`mixdepth.kernels.composite_mixed`."""
    frames = tau_d.shape[1]
    light = np.empty(frames)
    for ray in range(first, last):
        light[:] = 1
        for i in range(offsets[ray], offsets[ray + 1]):
            d, ts = index[i], np.float64(tau_s[i])
            if d < 0 and ts == 0:
                continue
            opaque = 1 - math.exp(-ts)
            red, green, blue = np.float64(rgb_s[i, 0]), np.float64(rgb_s[i, 1]), np.float64(rgb_s[i, 2])
            for f in range(frames):
                if d < 0:
                    weight = light[f] * opaque
                    still = weight
                else:
                    td = np.float64(tau_d[d, f])
                    weight = light[f] * (1 - math.exp(-ts - td))
                    moves = weight * td / max(ts + td, 1e-20)
                    weight_d[d, f] = moves
                    still = weight - moves
                light[f] -= weight
                rgb[ray, f, 0] += still * red
                rgb[ray, f, 1] += still * green
                rgb[ray, f, 2] += still * blue
        left[ray] = light


@compiled
def mixed_backward(tau_s, rgb_s, index, tau_d, offsets, g_weight, g_rgb, g_left, first, last, d_tau):
    """Gradient of :func:`mixed_forward` by the dynamic optical thickness, [D, F].

    With mix = the loss per unit of weight, dL/d tau_k = T_(k+1) mix_k - sum over i > k of w_i mix_i - T_end g_left,
    and the dynamic share of w_k changes as well.
    """
    frames = tau_d.shape[1]
    light, behind = np.empty(frames), np.empty(frames)
    for ray in range(first, last):
        start, end = offsets[ray], offsets[ray + 1]
        moves = False
        for i in range(start, end):
            moves |= index[i] >= 0
        if not moves:
            continue
        weights, mixes = np.zeros((end - start, frames)), np.zeros((end - start, frames))
        light[:] = 1
        behind[:] = 0
        for i in range(start, end):
            d, ts = index[i], np.float64(tau_s[i])
            if d < 0 and ts == 0:
                continue
            opaque = 1 - math.exp(-ts)
            for f in range(frames):
                mix = rgb_s[i, 0] * np.float64(g_rgb[ray, f, 0]) + rgb_s[i, 1] * np.float64(g_rgb[ray, f, 1])
                mix += rgb_s[i, 2] * np.float64(g_rgb[ray, f, 2])
                weight = light[f] * opaque
                if d >= 0:
                    td = np.float64(tau_d[d, f])
                    weight = light[f] * (1 - math.exp(-ts - td))
                    mix += (g_weight[d, f] - mix) * td / max(ts + td, 1e-20)
                light[f] -= weight
                weights[i - start, f], mixes[i - start, f] = weight, mix
                behind[f] += weight * mix
        for f in range(frames):
            behind[f] += light[f] * g_left[ray, f]
        light[:] = 1
        for i in range(start, end):
            d, ts = index[i], np.float64(tau_s[i])
            for f in range(frames):
                weight, mix = weights[i - start, f], mixes[i - start, f]
                light[f] -= weight
                behind[f] -= weight * mix
                if d >= 0:
                    # mix = m + (g - m) share, so that (g - m) = (g - mix) / (1 - share).
                    total = max(ts + tau_d[d, f], 1e-20)
                    change = weight * (g_weight[d, f] - mix) / total if ts > 0 else 0.0
                    d_tau[d, f] = light[f] * mix - behind[f] + change


@compiled
def colours_forward(weights, colours, rows, first, last, rgb):
    """Weighted sums of the colours of the samples of the rays first..last; see :func:`mixdepth.kernels.ray_colours`."""
    frames = weights.shape[1]
    for i in range(np.searchsorted(rows, first), np.searchsorted(rows, last)):
        for f in range(frames):
            for k in range(3):
                rgb[rows[i], f, k] += weights[i, f] * colours[i, f, k]


@compiled
def colours_backward(weights, colours, rows, grad, first, last, d_weights, d_colours):
    """Gradient of :func:`colours_forward` of the samples first..last."""
    frames = weights.shape[1]
    for i in range(first, last):
        for f in range(frames):
            total = np.float32(0)
            for k in range(3):
                g = grad[rows[i], f, k]
                total += g * colours[i, f, k]
                d_colours[i, f, k] = g * weights[i, f]
            d_weights[i, f] = total


@compiled
def median_depth(weights, z, dz, offsets, far, first, last, depth):
    """z-depth at which half of each ray has been absorbed, ``far`` where half passes."""
    for ray in range(first, last):
        absorbed = 0.0
        depth[ray] = far[ray]
        for i in range(offsets[ray], offsets[ray + 1]):
            if absorbed + weights[i] >= 0.5:
                depth[ray] = z[i] + dz[i] * ((0.5 - absorbed) / weights[i] - 0.5)
                break
            absorbed += weights[i]


@compiled
def _normalise(space, x, y, z):
    """Normalised coordinates of a world point; ``space``: :class:`mixdepth.kernels.arguments.Coordinates`."""
    if space.kind == FORWARD:
        x, y, z = x - space.centre[0], y - space.centre[1], z - space.centre[2]
        a = x * space.right[0] + y * space.right[1] + z * space.right[2]
        b = x * space.down[0] + y * space.down[1] + z * space.down[2]
        c = max(x * space.ahead[0] + y * space.ahead[1] + z * space.ahead[2], space.nearest)
        x, y, z = a / c, b / c, (space.inverse_near - ONE / c) * space.per_disparity
    x = (x - space.low[0]) * space.scale[0] - ONE
    y = (y - space.low[1]) * space.scale[1] - ONE
    z = (z - space.low[2]) * space.scale[2] - ONE
    if space.kind == UNBOUNDED:
        size = max(ONE, abs(x), abs(y), abs(z))
        shrink = (np.float32(2) - ONE / size) / size * HALF
        x, y, z = x * shrink, y * shrink, z * shrink
    return x, y, z


@compiled
def _cell(x, y, z, n):
    scale = HALF * np.float32(n)
    i = min(max(int((x + ONE) * scale), 0), n - 1)
    j = min(max(int((y + ONE) * scale), 0), n - 1)
    k = min(max(int((z + ONE) * scale), 0), n - 1)
    return (i * n + j) * n + k


@compiled
def march(space, rays, depths, mask, sets, first, last, kept):
    """Keep the samples of rays first..last that lie where either of two masks says that something may be.

    Args:
        space, rays, mask, sets, kept: see :mod:`mixdepth.kernels.arguments`; ``kept`` is written.
        depths: [R, N] z-depths, ascending; those from ``rays.stop`` on are not kept.
    """
    samples = depths.shape[1]
    origins, directions, near, far, stop = rays
    inside, n_inside = mask
    parts, n_parts, box, wanted = sets
    counts, starts, out, holds = kept
    at = first * samples  # one ray's after the other's: what is written is then soon read again
    for ray in range(first, last):
        starts[ray] = at
        ox, oy, oz = origins[ray, 0], origins[ray, 1], origins[ray, 2]
        dx, dy, dz = directions[ray, 0], directions[ray, 1], directions[ray, 2]
        z = depths[ray, 0]
        x0, y0, z0 = _normalise(space, ox + z * dx, oy + z * dy, oz + z * dz)
        gap: float | np.float32
        gap, edge = np.float32(-1), near[ray]
        for k in range(samples):
            if z >= stop[ray]:
                break
            next_gap: float | np.float32 = gap
            next_edge, after = far[ray], z
            x1, y1, z1 = x0, y0, z0
            if k + 1 < samples:
                after = depths[ray, k + 1]
                x1, y1, z1 = _normalise(space, ox + after * dx, oy + after * dy, oz + after * dz)
                next_gap = math.sqrt((x1 - x0) ** 2 + (y1 - y0) ** 2 + (z1 - z0) ** 2)
                next_edge = HALF * (z + after)
            if gap < 0:
                gap = next_gap
            where = 0  # worked out here: a function of its own is not inlined, and the march takes 1.6 times as long
            if n_inside and inside[_cell(x0, y0, z0, n_inside)]:
                where = STATIC
            if n_parts:
                a, b, c = (x0 - box[0]) * box[3] - ONE, (y0 - box[1]) * box[4] - ONE, (z0 - box[2]) * box[5] - ONE
                if max(abs(a), abs(b), abs(c)) <= 1 and parts[_cell(a, b, c, n_parts)] & wanted[ray]:
                    where |= DYNAMIC
            if where:
                out[at, 0] = z
                out[at, 1] = next_edge - edge
                out[at, 2] = HALF * (gap + next_gap)
                out[at, 3] = x0
                out[at, 4] = y0
                out[at, 5] = z0
                holds[at] = where
                at += 1
            gap, edge, z, x0, y0, z0 = next_gap, next_edge, after, x1, y1, z1
        counts[ray] = at - starts[ray]


@compiled
def pack(kept, offsets, first, last, rows, z, dz, delta, u, holds):
    """Move what :func:`march` kept of rays first..last to its place in flat arrays."""
    counts, starts, out, kept_holds = kept
    for ray in range(first, last):
        at, start = INDEX(offsets[ray]), INDEX(starts[ray])
        for k in range(INDEX(counts[ray])):
            rows[at + k] = ray
            z[at + k] = out[start + k, 0]
            dz[at + k] = out[start + k, 1]
            delta[at + k] = out[start + k, 2]
            u[at + k, 0] = out[start + k, 3]
            u[at + k, 1] = out[start + k, 4]
            u[at + k, 2] = out[start + k, 5]
            holds[at + k] = kept_holds[start + k]


@compiled
def merge(pick, from_one, z_one, tau_one, rgb_one, from_two, z_two, offsets, first, last, tau, rgb, index):
    """Samples of rays first..last from two packed lists, in order of depth.

    List one holds static samples of many pixels, of which ray r shows number ``pick[r]``; list two the rays' own
    samples, which get their number as ``index``.
    """
    for ray in range(first, last):
        i, i_end = from_one[pick[ray]], from_one[pick[ray] + 1]
        j, j_end = from_two[ray], from_two[ray + 1]
        for at in range(offsets[ray], offsets[ray + 1]):
            if j == j_end or (i < i_end and z_one[i] <= z_two[j]):
                index[at] = -1
                tau[at] = tau_one[i]
                rgb[at, 0], rgb[at, 1], rgb[at, 2] = rgb_one[i, 0], rgb_one[i, 1], rgb_one[i, 2]
                i += 1
            else:
                index[at] = j
                tau[at] = rgb[at, 0] = rgb[at, 1] = rgb[at, 2] = 0
                j += 1
