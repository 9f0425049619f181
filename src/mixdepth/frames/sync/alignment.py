"""The lags between signals of one event, found from all pairs together, and how sure they are."""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mixdepth.frames.sync.signals import Signal

_OVERLAP = 0.4  # least share of the shorter of two signals that must overlap the other
_PARTS = 4  # of the time; each is left out once, to see what the estimate hangs on


@dataclass(frozen=True)
class Pair:
    """How well camera b fits camera a at every lag."""

    fits: np.ndarray  # [2 * span + 1] evidence at the lags -span..span, columns: see `_fits`
    alike: np.ndarray  # [2 * span + 1] the same before it is weighed by the length of the overlap
    votes: np.ndarray  # [_PARTS + 1] best lags, sub-column: of everything, and with each part of the time left out


def align(signals: Sequence[Signal]) -> tuple[np.ndarray, np.ndarray]:
    """What :func:`align_pairs` finds for one signal of each camera, with the first frames of the signals added."""
    span = max((signal.values.shape[2] for signal in signals), default=0)
    pairs: dict[tuple[int, int], Pair] = {}
    for i, a in enumerate(signals[:-1]):
        pairs |= {(i, j): pair for j, pair in enumerate(compared(a, signals[i + 1 :], span), start=i + 1)}
    rate = signals[0].rate if signals else 1.0
    offsets, confidence = align_pairs(pairs, [signal.values.shape[2] for signal in signals], span, rate)
    starts = np.array([signal.start for signal in signals])
    return offsets + starts - starts[:1], confidence


def align_pairs(
    pairs: Mapping[tuple[int, int], Pair], lengths: Sequence[int], span: int, rate: float = 1.0, blur: float = 4.0
) -> tuple[np.ndarray, np.ndarray]:
    """Offsets [N] to the first camera, frames, and the confidence [N] in 0..1 that a camera is in its place.

    A camera's lag is where it fits all others best, not a mean of its best lags: many pairs know nothing of each other.
    Confidence is relative to the surest camera: a product of the share of the evidence that agrees within half a frame,
    of :func:`_sharp` and of :func:`_single`; and no more than the share that agrees within a frame between any two
    cameras on the best way to that one from pair to pair, so that two groups may not each be sure of another time.

    Args:
        pairs: how every two cameras (their numbers, ascending) fit at the lags -span..span.
        lengths: columns of each camera.
        rate: columns per frame.
        blur: see :func:`_sharp`.
    """
    count = len(lengths)
    if count < 2:
        return np.zeros(count), np.zeros(count)
    lags = _solved(pairs, count, span)
    fits = [_total_fit(pairs, lags, c, span) for c in range(count)]
    offsets = np.array([_summit(fit, lag + 2 * span) - 2 * span for fit, lag in zip(fits, lags, strict=True)])
    weight, agree, near = np.full((count, count), 1e-9), np.zeros((count, count)), np.zeros((count, count))
    for (i, j), pair in pairs.items():
        weight[i, j] = weight[j, i] = pair.fits.max()
        apart = np.abs(pair.votes + offsets[i] - offsets[j])
        agree[i, j] = agree[j, i] = np.mean(apart <= rate / 2)
        near[i, j] = near[j, i] = np.mean(apart <= rate)
    confidence = (weight * agree).sum(axis=1) / weight.sum(axis=1)
    for c, fit in enumerate(fits):
        top = lags[c] + 2 * span
        confidence[c] *= _sharp(fit / (count - 1), top, lengths[c], blur * rate)
        confidence[c] *= _single(_total_fit(pairs, lags, c, span, alike=True), top, fit)
    reach = np.zeros(count)
    reach[confidence.argmax()] = 1
    for _ in range(count):
        reach = np.maximum(reach, np.minimum(near, reach).max(axis=1))
    return (offsets - offsets[0]) / rate, np.minimum(confidence, reach)


def compared(a: Signal, others: Sequence[Signal], span: int) -> list[Pair]:
    """A signal with each of the ``others`` at the lags -span..span."""
    length = a.values.shape[2]
    keep = np.ones((_PARTS + 1, length), np.float32)  # everything, and all but one part of the time
    for block, columns in enumerate(np.array_split(np.arange(length), _PARTS), start=1):
        keep[block, columns] = 0
    found = []
    for b, fits in zip(others, _fits(a, others, keep, span), strict=True):
        votes = np.array([_summit(fit, int(fit.argmax())) - span for fit in fits])
        overlap = _slide(keep[0], np.ones(b.values.shape[2], np.float32), span, _fast_size(2 * span))
        found.append(Pair(fits[0].copy(), fits[0] * length / np.maximum(overlap, 1), votes))
    return found


def _fits(a: Signal, others: Sequence[Signal], keep: np.ndarray, span: int) -> list[np.ndarray]:
    """How well other signals, moved by each lag -span..span, fit the columns of ``a`` that each row of ``keep`` marks.

    The correlation rho of the two pictures where they overlap in time, at the best of some shifts and scales of rows
    (nothing moves above and below a picture), as evidence: -log(1 - rho^2), twice the logarithm per column by which
    related Gaussian signals are likelier than unrelated ones, times the share of the columns that overlap.

    Returns:
        [len(keep), 2 * span + 1] for each of ``others``.
    """
    _, rows, length = a.values.shape
    size = _fast_size(2 * span), _fast_size(rows + a.shift)
    spectra = [_spectrum(b.values, size) for b in others]
    rho = np.zeros((len(others), len(keep), 2 * span + 1), np.float32)
    for scale, (k, kept) in itertools.product(a.scales, enumerate(keep)):
        values = _stretched(a.values, scale) * kept
        spectrum = np.conj(_spectrum(values, size))
        energy = (values**2).sum(axis=(0, 1))
        for n, b in enumerate(others):
            product = np.fft.irfft2((spectrum * spectra[n]).sum(axis=0), s=size)
            best = np.maximum(_centred(product, span)[:, np.arange(-a.shift, a.shift + 1)].max(axis=1), 0)
            norm = _norm(kept, energy, (b.values**2).sum(axis=(0, 1)), span, size[0])
            rho[n, k] = np.maximum(rho[n, k], best / norm)
    fits = []
    for n, b in enumerate(others):
        present = np.ones(b.values.shape[2], np.float32)
        common = np.stack([_slide(kept, present, span, size[0]) for kept in keep])
        enough = common[0] >= _OVERLAP * min(length, len(present))
        fits.append(np.where(enough, -np.log(1 - np.minimum(rho[n], 0.99) ** 2) * common / length, 0))
    return fits


def _norm(kept: np.ndarray, energy: np.ndarray, other: np.ndarray, span: int, size: int) -> np.ndarray:
    """Root of the product of two signals' energies where they overlap, at each lag, [2 * span + 1].

    A twentieth of the mean energy per column is added, so that two still parts do not fit.
    """
    present = np.ones(len(other), np.float32)
    common = _slide(kept, present, span, size)
    first = _slide(energy, present, span, size) + 0.05 * energy.sum() / max(kept.sum(), 1) * common
    second = _slide(kept, other, span, size) + 0.05 * other.mean() * common
    return np.sqrt(np.maximum(first * second, 1e-12)) + 1e-6


def _fast_size(least: int) -> int:
    return 1 << (least - 1).bit_length()


def _spectrum(values: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    return np.fft.rfft2(values.swapaxes(1, 2), s=size)


def _slide(a: np.ndarray, b: np.ndarray, span: int, size: int) -> np.ndarray:
    """Sum over t of a[t] b[t + lag] at the lags -span..span."""
    product = np.fft.irfft(np.conj(np.fft.rfft(a, size)) * np.fft.rfft(b, size), size)
    return np.maximum(_centred(product, span), 0)


def _centred(circular: np.ndarray, span: int) -> np.ndarray:
    """The lags -span..span of a circular correlation along its first axis."""
    return circular[np.arange(-span, span + 1)]


def _stretched(values: np.ndarray, scale: float) -> np.ndarray:
    """``values`` [channels, rows, T] with the rows scaled about their middle; nothing beyond the ends."""
    if scale == 1:
        return values
    rows = values.shape[1]
    place = (np.arange(rows) - (rows - 1) / 2) / scale + (rows - 1) / 2
    weights = np.maximum(1 - np.abs(place[:, None] - np.arange(rows)), 0).astype(np.float32)
    return np.einsum("ij,cjt->cit", weights, values)


def _solved(pairs: Mapping[tuple[int, int], Pair], count: int, span: int) -> np.ndarray:
    """Lags [N] that fit all pairs together, columns: the surest camera first, the next to those placed before."""
    first = max(pairs, key=lambda ends: pairs[ends].fits.max())[0]
    lags = np.zeros(count, int)
    placed = [first]
    while len(placed) < count:
        left = [c for c in range(count) if c not in placed]
        totals = {c: _total_fit(pairs, lags, c, span, placed) for c in left}
        surest = max(left, key=lambda c: totals[c].max())
        lags[surest] = totals[surest].argmax() - 2 * span
        placed.append(surest)
    for _ in range(10):
        before = lags.copy()
        for c in range(count):
            lags[c] = _total_fit(pairs, lags, c, span).argmax() - 2 * span
        if np.array_equal(lags, before):
            break
    return lags


def _total_fit(
    pairs: Mapping[tuple[int, int], Pair],
    lags: np.ndarray,
    camera: int,
    span: int,
    others: list[int] | None = None,
    alike: bool = False,
) -> np.ndarray:
    """Fit (or likeness) of one camera to ``others`` (None: all) at their lags, at its own lags -2 span..2 span."""
    total = np.zeros(4 * span + 1)
    for (i, j), pair in pairs.items():
        other = i if j == camera else j
        if camera in (i, j) and (others is None or other in others):
            curve = pair.alike if alike else pair.fits
            start = span + lags[other]
            low, high = max(start, 0), min(start + len(curve), len(total))
            total[low:high] += (curve if j == camera else curve[::-1])[low - start : high - start]
    return total


def _summit(curve: np.ndarray, top: int) -> float:
    """Place of the maximum of a parabola through the highest point and its neighbours."""
    if not 0 < top < len(curve) - 1:
        return float(top)
    left, middle, right = (float(curve[top + step]) for step in (-1, 0, 1))
    bend = left - 2 * middle + right
    return top + (float(np.clip((left - right) / (2 * bend), -0.5, 0.5)) if bend < 0 else 0.0)


def _width(curve: np.ndarray, top: int) -> tuple[int, int]:
    """Where a peak has fallen to half of its height, before and after ``top``."""
    low = np.flatnonzero(curve[:top] < curve[top] / 2)
    high = np.flatnonzero(curve[top:] < curve[top] / 2)
    return (int(low[-1]) if len(low) else 0), (top + int(high[0]) if len(high) else len(curve) - 1)


def _sharp(fit: np.ndarray, top: int, columns: int, blur: float) -> float:
    """0..1: whether a peak of the mean fit to the others is high and narrow enough to be placed within half a frame.

    For Gaussian signals whose columns are independent beyond the peak's width (2.4 s), the curvature of the likelihood
    gives the variance 5 s^3 / (columns * height) of the place. What cameras see differently moves the peak too, however
    long they watch: by a part of s, times the ratio of the unshared to the shared amplitude. ``blur`` columns for
    both is where captures with known offsets begin to fail, see benchmarks/sync.py: 4 frames, of signals of one camera.
    """
    low, high = _width(fit, top)
    deviation, height = max(high - low - 1, 1) / 2.35, max(float(fit[top]), 1e-9)
    chance = 5 * deviation**3 / (columns * height)
    difference = deviation**2 / math.expm1(height)
    return math.exp(-(chance + difference) / blur**2)


def _single(alike: np.ndarray, top: int, fit: np.ndarray) -> float:
    """0..1: whether no other lag is nearly as alike, as where motion repeats itself: from 0.6 of the best to 0.3."""
    low, high = _width(fit, top)
    margin = high - low
    rest = np.concatenate([alike[: max(top - margin, 0)], alike[top + margin + 1 :]])
    second = float(rest.max(initial=0.0)) / max(float(alike[top]), 1e-9)
    return float(np.clip((0.6 - second) / 0.3, 0, 1))
