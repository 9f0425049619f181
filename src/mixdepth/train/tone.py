"""Affine colour between what a model shows and what a camera saw."""

import numpy as np

RIDGE = 1e-2  # pulls towards the identity: decides where there is little contrast to learn from
ROUNDS = 3  # of dropping the worst-fitting pixels


def fit_tone(rendered: np.ndarray, seen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Gain [3] and offset [3] with ``seen ~ gain * rendered + offset``, per channel, robust to outliers.

    Args:
        rendered, seen: [N, 3] colours in 0..1 of the same pixels. With fewer than 100 the identity is returned.
    """
    gain, offset = np.ones(3), np.zeros(3)
    if len(rendered) < 100:
        return gain, offset
    for channel in range(3):
        x, y = rendered[:, channel].astype(np.float64), seen[:, channel].astype(np.float64)
        keep = np.ones(len(x), dtype=bool)
        for _ in range(ROUNDS):
            a = np.stack([x[keep], np.ones(keep.sum())], axis=1)
            residual = y[keep] - x[keep]  # what the identity leaves
            normal = a.T @ a / len(a) + RIDGE * np.eye(2) * np.array([x.var() + 1e-3, 1e-2])
            da, db = np.linalg.solve(normal, a.T @ residual / len(a))
            gain[channel], offset[channel] = 1 + da, db
            error = np.abs(y - (gain[channel] * x + offset[channel]))
            keep = error <= 3 * max(np.median(error), 1e-3)
    return np.clip(gain, 0.2, 5.0), offset
