"""LDR-FLIP of two pictures: Andersson et al. 2020, "FLIP: A Difference Evaluator for Alternating Images" (HPG).

As in the authors' library (flip_evaluator), which the tests compare with: its defaults of a monitor 0.7 m wide with
3840 pixels, seen from 0.7 m; filters as products of a column and a row; the pictures' rims repeated outside.
"""

from functools import cache

import numpy as np

from mixdepth.evaluation.separable import filtered, gaussian, in_strips

PPD = 3840 * np.pi / 180  # pixels per degree: 67
# Parameters a, b of the Gaussians a sqrt(pi / b) exp(-pi^2 x^2 / b), x in degrees, that stand for the contrast
# sensitivity of each opponent channel; that of blue and yellow is a sum of two (section 4.1.1).
CONTRAST = ((1.0, 0.0047), (1.0, 0.0053), (34.1, 0.04), (13.5, 0.025))
FEATURE_WIDTH = 0.082  # degrees: w of the edge and point detectors (4.2)
COLOUR_POWER, FEATURE_POWER = 0.7, 0.5  # q_c, q_f
KNEE, AT_KNEE = 0.4, 0.95  # p_c, p_t: that share of the largest colour difference becomes this value (4.1.3)

# sRGB's primaries in CIE XYZ, each row divided by D65's white: a white pixel is 1, 1, 1.
TO_XYZ = np.array([[10135552, 8788810, 4435075], [2613072, 8788810, 887015], [1425312, 8788810, 70074185]])
TO_XYZ = TO_XYZ / TO_XYZ.sum(1, keepdims=True)
# Y, X - Y and Y - Z: YCxCz (Flynn's linear L*a*b*) without its factors and its offset.
TO_OPPONENT = np.array([[0, 1, 0], [1, -1, 0], [0, 1, -1]]) @ TO_XYZ


def flip_map(render: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """What a person sees when the two pictures are flipped, pixel by pixel: 0 is alike, 1 the most.

    Args:
        render, truth: [H, W, 3] uint8, sRGB.

    Returns:
        [H, W] float32.
    """
    taps = _filters()[0].shape[1]
    rim = (0, 0), (taps // 2, taps // 2), (taps // 2, taps // 2)
    one, two = (np.pad(image.transpose(2, 0, 1), rim, mode="edge") for image in (render, truth))
    return in_strips(_difference, one, two, taps)


def _difference(render: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """FLIP [H - taps + 1, W - taps + 1] of two pictures [3, H, W] uint8, where the filters lie in them."""
    opponent = _mixed(TO_OPPONENT, _linear().take(np.stack((render, truth), axis=1)))  # [3, 2, H, W]
    # Luminance, red and green, twice blue and yellow; then luminance for edges across and down and points the same.
    planes = opponent[[0, 1, 2, 2, 0, 0, 0, 0]]
    across, down = (weights.repeat(2, axis=0) for weights in _filters())
    seen = filtered(planes.reshape(-1, *planes.shape[2:]), across, down)
    seen = seen.reshape(8, 2, *seen.shape[1:])
    seen[2] += seen[3]
    return _colour_difference(seen[:3]) ** (1 - _feature_difference(seen[4:]))


def _colour_difference(opponent: np.ndarray) -> np.ndarray:
    """Difference [H, W], 0..1, of the two pictures' filtered ``opponent`` channels [3, 2, H, W] (4.1.2 and 4.1.3)."""
    linear = np.clip(_mixed(np.linalg.inv(TO_OPPONENT), opponent), 0, 1)
    colours = _hunt_lab(linear)
    green_and_blue = np.array([[0, 0], [1, 0], [0, 1]], np.float32)
    largest = float(_hyab(_hunt_lab(green_and_blue))) ** COLOUR_POWER
    difference = _hyab(colours) ** np.float32(COLOUR_POWER)
    return np.interp(difference, (0, KNEE * largest, largest), (0, AT_KNEE, 1)).astype(np.float32)


def _hunt_lab(linear: np.ndarray) -> np.ndarray:
    """CIE L*a*b* of ``linear`` RGB [3, ...], a* and b* times L* / 100 (Hunt: colours fade in the dark; 4.1.2)."""
    xyz = _mixed(TO_XYZ, linear)
    x, y, z = np.where(xyz > (6 / 29) ** 3, np.cbrt(xyz), xyz * np.float32(29**2 / 108) + np.float32(4 / 29))
    lightness = 116 * y - 16
    return np.stack([lightness, 5 * lightness * (x - y), 2 * lightness * (y - z)])


def _hyab(lab: np.ndarray) -> np.ndarray:
    """HyAB of the two colours in ``lab`` [3, 2, ...]: city block in L*, Euclidean in a*, b* (Abasi et al. 2020)."""
    lightness, a, b = lab[:, 0] - lab[:, 1]
    return np.abs(lightness) + np.sqrt(a * a + b * b)


def _feature_difference(features: np.ndarray) -> np.ndarray:
    """Difference [H, W], 0..1, of edges and points in the two pictures, whose derivatives of luminance, first across
    and down, second across and down, are ``features`` [4, 2, H, W] (4.2)."""
    strength = np.sqrt(features[::2] ** 2 + features[1::2] ** 2)
    edges, points = np.abs(strength[:, 0] - strength[:, 1])
    return (np.maximum(edges, points) / np.float32(np.sqrt(2))) ** np.float32(FEATURE_POWER)


@cache
def _filters() -> tuple[np.ndarray, np.ndarray]:
    """Weights along rows and columns, [8, taps] each: of the colours' Gaussians (luminance, red and green, two of blue
    and yellow) and of the derivatives of luminance (first across and down, second across and down)."""
    widths = [np.sqrt(b / 2) / np.pi * PPD for _, b in CONTRAST]  # standard deviations, pixels
    radius = int(np.ceil(3 * max(widths)))
    contrast = np.stack([gaussian(radius, width) for width in widths])
    # Each sums to 1. The two of blue and yellow do so together, by their heights.
    heights = np.array([a * np.sqrt(np.pi / b) for a, b in CONTRAST]) / contrast[:, radius] ** 2
    shares = np.array([1, 1, *heights[2:] / heights[2:].sum()])

    width = FEATURE_WIDTH / 2 * PPD
    reach = int(np.ceil(3 * width))
    at = np.arange(-reach, reach + 1)
    smooth = gaussian(reach, width)
    first, second = (_balanced(weights) for weights in (-at * smooth, ((at / width) ** 2 - 1) * smooth))
    rim = (0, 0), (radius - reach, radius - reach)
    across, down = (np.pad(rows, rim) for rows in ([first, smooth, second, smooth], [smooth, first, smooth, second]))
    return np.concatenate((contrast * shares[:, None], across)), np.concatenate((contrast, down))


def _balanced(weights: np.ndarray) -> np.ndarray:
    """``weights`` scaled so that the positive ones sum to 1 and the negative ones to -1."""
    return weights / np.where(weights > 0, weights[weights > 0].sum(), -weights[weights < 0].sum())


@cache
def _linear() -> np.ndarray:
    """Linear light [256] float32 of 8-bit sRGB (IEC 61966-2-1)."""
    value = np.arange(256) / 255
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4).astype(np.float32)


def _mixed(matrix: np.ndarray, planes: np.ndarray) -> np.ndarray:
    """``matrix`` [3, 3] times each pixel of ``planes`` [3, ...]; not BLAS, whose sums depend on its threads."""
    return np.einsum("ij,j...->i...", matrix.astype(np.float32), planes)
