"""Cells of a box, by number."""

from torch import Tensor


def cells(points: Tensor, resolution: int) -> Tensor:
    """Flat cell index [...] of points [..., 3] in the box [-1, 1], ``resolution`` cells along every axis; of points
    outside, that of the nearest cell.

    >>> import torch
    >>> cells(torch.tensor([[-1.0, -1.0, -0.4], [0.9, 0.9, 5.0]]), resolution=4)
    tensor([ 1, 63])
    """
    i = ((points + 1) * (0.5 * resolution)).long().clamp_(0, resolution - 1)
    return (i[..., 0] * resolution + i[..., 1]) * resolution + i[..., 2]
