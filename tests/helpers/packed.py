"""Small inputs of the kernels' tests, and how close two results have to be. What imports this needs no numba."""

import torch

RAYS, FRAMES = 40, 5


def rand(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def packing(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Offsets and rows of rays of 0 to 12 samples."""
    counts = torch.randint(0, 13, (RAYS,), generator=torch.Generator().manual_seed(seed))
    offsets = torch.cat([torch.zeros(1, dtype=torch.int64), counts.cumsum(0)])
    return offsets, torch.repeat_interleave(torch.arange(RAYS), counts)


def close(one: torch.Tensor, two: torch.Tensor, tolerance: float = 2e-5) -> None:
    torch.testing.assert_close(one, two, rtol=tolerance, atol=tolerance)
