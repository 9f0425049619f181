"""The dynamic branch: every point has a temporal code whose inner product with a learnt embedding of each frame gives
its density and colour at all wanted frames at once (MixVoxels, Wang et al. 2023, section 3.3).

A code is the last, linear layer of a network, so the frames' embeddings are multiplied into that layer first: there are
far fewer frames than points, and no code is ever written down.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mixdepth import kernels
from mixdepth.compute.device import mixed_precision
from mixdepth.fields.region import Region
from mixdepth.fields.static import DENSITY_SCALE, DENSITY_SHIFT, DENSITY_SLOPE
from mixdepth.fields.vm import VMGrid


def cosine_codes(frames: int, codes: int) -> Tensor:
    """Initial embedding [T, codes] of the frames: cosines of rising frequency (DCT-II), mean square 1.

    Frames start apart from each other and neighbours alike. With random embeddings single frames got stuck with their
    mover at a wrong depth (arc8: 18.6 dB in one frame where its neighbours had 24).
    """
    time = (torch.arange(frames) + 0.5) / frames
    basis = torch.cos(torch.pi * time[:, None] * (torch.arange(codes) % frames))
    return basis / basis.square().mean().sqrt()


def embedded(table: Tensor, frames: Tensor) -> Tensor:
    """Embeddings [..., codes] of ``frames`` [...] from ``table`` [T, codes]: its rows for numbers of frames (int64);
    for times (floating point, in 0 .. T - 1) mixed linearly, and exactly the row at whole times."""
    if not frames.is_floating_point():
        return table[frames]
    before = frames.floor().long()
    share = (frames - before).to(table.dtype)[..., None]
    return (1 - share) * table[before] + share * table[frames.ceil().long()]


class DynamicField(nn.Module):
    """Densities and colours over time, in the box of a :class:`Region` only.

    Frames are given in groups: ``frames`` [G, F] of the first ``counts[0]`` points, the next ``counts[1]``, ...; rays
    that look at neighbouring frames then share what is evaluated. They are numbers of frames (int64), or times between
    them (float64), at which the embeddings of the two neighbouring frames are mixed.

    Args:
        region: where and when something may move.
        resolution: cells of the VM grids along every axis of the region's box.
        components: of the density and of the appearance grid, per orientation.
        codes: length of the temporal codes.
        width: of the colour network.
        cameras: C, that train.
    """

    gain: Tensor

    def __init__(
        self,
        region: Region,
        resolution: int,
        components: int,
        codes: int,
        width: int,
        generator: torch.Generator | None = None,
        cameras: int = 1,
    ):
        super().__init__()
        self.region, self.codes, self.width = region, codes, width
        self.density_grid = VMGrid(components, resolution, generator=generator)
        self.colour_grid = VMGrid(components, resolution, generator=generator)
        features = self.density_grid.features
        self.density_code = nn.Linear(features, codes)
        self.colour_code = nn.Sequential(nn.Linear(features, width), nn.ReLU(inplace=True), nn.Linear(width, 3 * codes))
        self.density_frames = nn.Parameter(cosine_codes(region.frames, codes))
        self.colour_frames = nn.Parameter(cosine_codes(region.frames, codes))
        # Exposure of the frames of C training cameras, by the usual one: measured, not learnt (frames/motion.py).
        self.register_buffer("gain", torch.ones(cameras, region.frames, 3))
        self.reproduced: float | None = None  # PSNR of what moves in the training pictures, dB, where trained here
        self.amp = False  # whether the colours' features may be computed in bfloat16

    @property
    def frames(self) -> int:
        """T, number of frames."""
        return len(self.density_frames)

    def exposure(self, camera: int | None) -> Tensor:
        """Gains [T, 3] of the frames as the training camera of that number has them; None: the mean of all, in logs."""
        return self.gain.log().mean(0).exp() if camera is None else self.gain[camera]

    def density_features(self, v: Tensor) -> Tensor:
        """What the densities of points [N, 3] of the box are linear in, the same at every frame: [N, features]."""
        return self.density_grid(v)

    def colour_features(self, v: Tensor) -> Tensor:
        """The same for colours: [N, width]."""
        first, relu, _ = self.colour_code
        features = self.colour_grid(v)
        with mixed_precision(v.device, self.amp):
            return relu(first(features)).to(features.dtype)

    def thickness(self, features: Tensor, delta: Tensor, frames: Tensor, counts: Sequence[int]) -> Tensor:
        """Optical thickness [N, F] of samples by their :meth:`density_features` and lengths ``delta`` [N], normalised
        units: :func:`mixdepth.fields.static.density` times length, with the constants in the small factors."""
        weight, bias = self._density_layer(frames)
        return F.softplus(_Products.apply(features, weight, bias, counts)) * (DENSITY_SCALE * delta)[:, None]

    def series(self, v: Tensor) -> Tensor:
        """What :meth:`thickness_at` needs of points [N, 3]: their :meth:`density_features`; or on a GPU the points
        themselves, as to look up again is cheaper than to keep."""
        return v if kernels.fused(v) else self.density_features(v)

    def thickness_at(self, series: Tensor, delta: Tensor, frames: Tensor) -> Tensor:
        """:meth:`thickness` [N, F] of samples by their :meth:`series`, all at ``frames`` [F]; for rendering."""
        if not kernels.fused(delta):
            return self.thickness(series, delta, frames[None], [len(series)])
        weight, bias = self._density_layer(frames)
        grid = self.density_grid
        return kernels.triton_view().thickness(grid.planes, grid.lines, series, delta, weight, bias, DENSITY_SCALE)

    def colour_at(self, v: Tensor, lit: Tensor, frames: Tensor) -> Tensor:
        """:meth:`colour` [L, F, 3] of the points ``lit`` [L] of [N, 3], all at ``frames`` [F]; for rendering."""
        if not kernels.fused(v):
            return self.colour(self.colour_features(v[lit]), frames[None], [len(lit)])
        grid, hidden = self.colour_grid, [*self.colour_code[0].parameters()]
        known = grid.planes, grid.lines, v, lit, hidden, self._colour_layer(frames), self.amp
        return kernels.triton_view().dynamic_colours(*known).unflatten(1, (-1, 3))

    def _density_layer(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        """The last layer of densities at ``frames`` [..., F]: weight [..., F, features] and bias [..., F]."""
        embedding = embedded(self.density_frames, frames) * (DENSITY_SLOPE / self.codes**0.5)
        return embedding @ self.density_code.weight, embedding @ self.density_code.bias - DENSITY_SHIFT

    def _colour_layer(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        """That of colours: weight [..., F * 3, width] and bias [..., F * 3]."""
        layer = self.colour_code[-1]
        assert isinstance(layer, nn.Linear)
        embedding = embedded(self.colour_frames, frames) / self.codes**0.5
        weight = torch.einsum("...fk,ckw->...fcw", embedding, layer.weight.view(3, self.codes, -1)).flatten(-3, -2)
        return weight, torch.einsum("...fk,ck->...fc", embedding, layer.bias.view(3, self.codes)).flatten(-2)

    def colour(self, features: Tensor, frames: Tensor, counts: Sequence[int]) -> Tensor:
        """Colours [N, F, 3] in 0..1 of points by their :meth:`colour_features`."""
        weight, bias = self._colour_layer(frames)
        return torch.sigmoid(_Products.apply(features, weight, bias, counts)).unflatten(1, (-1, 3))


class _Products(torch.autograd.Function):
    """A linear layer per group: ``features`` [N, K], of which ``counts`` [G] belong to each group, by its ``weight``
    [G, O, K] and ``bias`` [G, O]; [N, O]. Groups are written where they belong, not put together afterwards."""

    @staticmethod
    def forward(ctx, features: Tensor, weight: Tensor, bias: Tensor, counts: Sequence[int]) -> Tensor:
        ctx.save_for_backward(features, weight)
        ctx.counts = list(counts)
        out = features.new_empty(len(features), weight.shape[1])
        for x, y, w, b in zip(features.split(ctx.counts), out.split(ctx.counts), weight, bias, strict=True):
            torch.addmm(b, x, w.t(), out=y)
        return out

    @staticmethod
    def backward(ctx, grad: Tensor):
        features, weight = ctx.saved_tensors
        d_features, d_weight = torch.empty_like(features), torch.empty_like(weight)
        d_bias = weight.new_empty(weight.shape[:2])
        groups = (part.split(ctx.counts) for part in (grad, features, d_features))
        for g, x, d_x, w, d_w, d_b in zip(*groups, weight, d_weight, d_bias, strict=True):
            torch.mm(g, w, out=d_x)
            torch.mm(g.t(), x, out=d_w)
            torch.sum(g, 0, out=d_b)
        return d_features, d_weight, d_bias, None
