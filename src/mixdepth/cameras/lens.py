"""The lens of an original image: intrinsics with distortion, as COLMAP names them. Everything after undistortion is a
:class:`~mixdepth.cameras.camera.Camera`."""

import itertools
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.polynomial import Polynomial

from mixdepth.errors import DamagedFile
from mixdepth.files.io import read_json, write_json
from mixdepth.files.shapes import LENSES

# Order of the parameters, as in COLMAP's src/colmap/sensor/models.h; but for BROWN4, which COLMAP does not have:
# Brown's polynomial up to r^8, whose term nerfstudio, Metashape and RealityCapture call k4 (here k4 is OpenCV's).
MODELS = {
    "SIMPLE_PINHOLE": ("f", "cx", "cy"),
    "PINHOLE": ("fx", "fy", "cx", "cy"),
    "SIMPLE_RADIAL": ("f", "cx", "cy", "k1"),
    "RADIAL": ("f", "cx", "cy", "k1", "k2"),
    "OPENCV": ("fx", "fy", "cx", "cy", "k1", "k2", "p1", "p2"),
    "FULL_OPENCV": ("fx", "fy", "cx", "cy", "k1", "k2", "p1", "p2", "k3", "k4", "k5", "k6"),
    "BROWN4": ("fx", "fy", "cx", "cy", "k1", "k2", "p1", "p2", "k3", "r8"),
    "SIMPLE_RADIAL_FISHEYE": ("f", "cx", "cy", "k1"),
    "RADIAL_FISHEYE": ("f", "cx", "cy", "k1", "k2"),
    "OPENCV_FISHEYE": ("fx", "fy", "cx", "cy", "k1", "k2", "k3", "k4"),
}
NEWTON_STEPS = 20  # at most; from a good start 3 to 5 reach the last bit
TABLE = 1024  # angles at which `undistort` looks the radius up to start from
MARGIN = 1.02  # how much farther than the farthest corner a lens is fitted, as a factor of the radius
ROUNDS = 6  # of reweighting in `nearest_quotient`; two would do
DENOMINATORS = [list(terms) for count in (1, 2, 3) for terms in itertools.combinations((3, 4, 5), count)]
DAMPING = 1e-5  # weight of the coefficients' own size
LEAST_BELOW = 0.05  # a denominator that comes nearer to 0 has a pole near by


@dataclass(frozen=True)
class Lens:
    """Intrinsics and distortion of an original image, in its own pixels."""

    model: str
    width: int
    height: int
    params: tuple[float, ...]

    def _get(self, *names: str) -> list[float]:
        values = dict(zip(MODELS[self.model], self.params, strict=True))
        return [values.get(name, 0.0) for name in names]

    @property
    def focal(self) -> tuple[float, float]:
        """(fx, fy) in pixels."""
        f, fx, fy = self._get("f", "fx", "fy")
        return (fx or f, fy or f)

    @property
    def principal_point(self) -> tuple[float, float]:
        """(cx, cy) in pixels; centre of the top left pixel at 0.5."""
        cx, cy = self._get("cx", "cy")
        return cx, cy

    @property
    def is_fisheye(self) -> bool:
        """True where the radius in the image follows the angle to the axis (equidistant), not its tangent."""
        return self.model.endswith("FISHEYE")

    @property
    def is_pinhole(self) -> bool:
        """True where there is no distortion."""
        return not (any(self._get("k1", "k2", "k3", "k4", "k5", "k6", "p1", "p2", "r8")) or self.is_fisheye)

    def distort(self, xy: np.ndarray) -> np.ndarray:
        """Pixels [N, 2] of the original image for normalised pinhole coordinates ``xy`` [N, 2] = (x/z, y/z).

        Brown-Conrady as in OpenCV and COLMAP's (FULL_)OPENCV model, of which SIMPLE_RADIAL and RADIAL are special
        cases (BROWN4: with a term of r^8 and none below the line); *_FISHEYE is the equidistant projection with a
        polynomial in the angle (Kannala & Brandt 2006), of which points behind the camera, more than 90 degrees from
        its axis, have no pinhole coordinates. Beyond :attr:`largest_radius` the polynomial folds back and its pixels
        mean nothing.
        """
        return self._distort(np.asarray(xy, dtype=np.float64)) * self.focal + self.principal_point

    def undistort(self, uv: np.ndarray) -> np.ndarray:
        """Normalised pinhole coordinates [N, 2] of pixels ``uv`` [N, 2]: the inverse of :meth:`distort`.

        By Newton's method, exact to 1e-9 pixels. NaN for pixels that no ray within :attr:`largest_radius` reaches.
        """
        target = (np.asarray(uv, dtype=np.float64) - self.principal_point) / self.focal
        if self.is_pinhole:
            return target
        # Start where the radial part alone would put the point. Without that, Newton's steps leave the valid range.
        angle = np.linspace(0, min(math.atan(self.largest_radius), math.pi / 2 - 1e-4), TABLE)
        radius = np.tan(angle)
        image_radius = radius * self._radial(radius**2)[0]
        distance = np.linalg.norm(target, axis=1)
        factor = np.interp(distance, image_radius, radius) / np.maximum(distance, 1e-12)
        xy = target * factor[:, None]
        with np.errstate(all="ignore"):
            for _ in range(NEWTON_STEPS):
                ((xx, mixed), (_, yy)), (dx, dy) = self._jacobian(xy).transpose(1, 2, 0), (target - self._distort(xy)).T
                step = np.stack([yy * dx - mixed * dy, xx * dy - mixed * dx], axis=1)
                step = step / (xx * yy - mixed**2)[:, None]
                xy = xy + step
                if np.nanmax(np.abs(step), initial=0) < 1e-15:
                    break
            error = np.abs((self._distort(xy) - target) * self.focal).max(axis=1, initial=0)
            lost = ~(error < 1e-9) | (np.linalg.norm(xy, axis=1) > self.largest_radius)
        xy[lost] = np.nan
        return xy

    def jacobian(self, xy: np.ndarray) -> np.ndarray:
        """d(pixel) / d(normalised coordinate) [N, 2, 2] of :meth:`distort` at ``xy`` [N, 2]."""
        return self._jacobian(np.asarray(xy, dtype=np.float64)) * np.array(self.focal)[:, None]

    @cached_property
    def largest_radius(self) -> float:
        """The normalised radius |(x/z, y/z)| up to which the distorted radius grows; beyond it the polynomial folds
        back, so that a pixel would show two places. Infinite where it grows for ever. Tangential terms are left out."""
        numerator, denominator = self._polynomials()
        distorted = Polynomial([0, 1]) * numerator(Polynomial([0, 0, 1]))
        below = denominator(Polynomial([0, 0, 1]))
        turns = [(distorted.deriv() * below - distorted * below.deriv()).trim(), below]  # slope zero, or a pole
        roots = np.concatenate([p.roots() for p in turns if p.degree() > 0] or [np.zeros(0)])
        real = roots.real[(np.abs(roots.imag) < 1e-9) & (roots.real > 0)]
        largest = float(real.min(initial=math.inf))
        if self.is_fisheye:  # the polynomial is in the angle
            return math.tan(largest) if largest < math.pi / 2 else math.inf
        return largest

    def turned(self, quarters: int) -> "Lens":
        """The lens of the same picture turned clockwise by ``quarters`` times 90 degrees; exact.

        A quarter turn takes (x, y) to (-y, x): cx becomes height - cy, and of the tangential terms p1 becomes p2, p2
        becomes -p1.
        """
        lens = self
        for _ in range(quarters % 4):
            values = dict(zip(MODELS[lens.model], lens.params, strict=True))
            turned = values | {"cx": lens.height - values["cy"], "cy": values["cx"]}
            if "fx" in values:
                turned |= {"fx": values["fy"], "fy": values["fx"]}
            if "p1" in values:
                turned |= {"p1": values["p2"], "p2": -values["p1"]}
            lens = Lens(lens.model, lens.height, lens.width, tuple(turned.values()))
        return lens

    def with_two_focal_lengths(self) -> "Lens":
        """The same lens by a model with fx and fy."""
        if "f" not in MODELS[self.model]:
            return self
        values = dict(zip(MODELS[self.model], self.params, strict=True))
        values |= {"fx": values["f"], "fy": values["f"]}
        model = "OPENCV_FISHEYE" if self.is_fisheye else "PINHOLE" if self.is_pinhole else "OPENCV"
        return replace(self, model=model, params=tuple(values.get(name, 0.0) for name in MODELS[model]))

    @cached_property
    def colmaps(self) -> tuple["Lens", float]:
        """This lens as one that COLMAP has, and by how many pixels they differ at most: BROWN4's polynomial as the
        quotient of two cubic polynomials in r^2 that is nearest to it over the image (inf: none is near)."""
        if self.model != "BROWN4":
            return self, 0.0
        corners = np.array([[x, y] for x in (0, self.width) for y in (0, self.height)], dtype=np.float64)
        reach = np.linalg.norm(self.undistort(corners), axis=1)
        largest = MARGIN * float(np.nan_to_num(reach, nan=self.largest_radius).max())
        unit = np.linspace(0, 1, TABLE)[1:] ** 2  # the squared radius, of its largest
        off, found = nearest_quotient(unit, self._radial(largest**2 * unit)[0])
        k1, k2, k3, k4, k5, k6 = (found / np.tile(largest ** (2.0 * np.arange(1, 4)), 2)).tolist()
        params = (*self.params[:4], k1, k2, *self.params[6:8], k3, k4, k5, k6)
        return replace(self, model="FULL_OPENCV", params=params), off * largest * max(self.focal)

    def _polynomials(self) -> tuple[Polynomial, Polynomial]:
        """Numerator and denominator, in the square of the radius (fisheye: of the angle), of distorted / plain."""
        k1, k2, k3, k4, k5, k6, r8 = self._get("k1", "k2", "k3", "k4", "k5", "k6", "r8")
        if self.is_fisheye:
            return Polynomial([1, k1, k2, k3, k4]), Polynomial([1.0])
        return Polynomial([1, k1, k2, k3, r8]), Polynomial([1, k4, k5, k6])

    def _radial(self, r2: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Distorted over plain radius, and its derivative by the squared plain radius ``r2``."""
        numerator, denominator = self._polynomials()
        if not self.is_fisheye:
            above, below = numerator(r2), denominator(r2)
            return above / below, (numerator.deriv()(r2) - above / below * denominator.deriv()(r2)) / below
        r2 = np.maximum(r2, 1e-16)
        r = np.sqrt(r2)
        angle = np.arctan(r)
        slope = (Polynomial([0, 1]) * numerator(Polynomial([0, 0, 1]))).deriv()(angle) / (1 + r2)  # d image / d r
        factor = angle * numerator(angle**2) / r
        return factor, (slope - factor) / (2 * r2)

    def _distort(self, xy: np.ndarray) -> np.ndarray:
        """:meth:`distort` before the focal length and the principal point."""
        p1, p2 = self._get("p1", "p2")
        x, y = xy[:, 0], xy[:, 1]
        r2 = x * x + y * y
        radial = self._radial(r2)[0]
        xd = x * radial + 2 * p1 * x * y + p2 * (r2 + 2 * x * x)
        yd = y * radial + 2 * p2 * x * y + p1 * (r2 + 2 * y * y)
        return np.stack([xd, yd], axis=1)

    def _jacobian(self, xy: np.ndarray) -> np.ndarray:
        p1, p2 = self._get("p1", "p2")
        x, y = xy[:, 0], xy[:, 1]
        radial, slope = self._radial(x * x + y * y)
        mixed = 2 * slope * x * y + 2 * p1 * x + 2 * p2 * y
        xx = radial + 2 * slope * x * x + 2 * p1 * y + 6 * p2 * x
        yy = radial + 2 * slope * y * y + 2 * p2 * x + 6 * p1 * y
        return np.stack([np.stack([xx, mixed], axis=-1), np.stack([mixed, yy], axis=-1)], axis=-2)


def nearest_quotient(unit: np.ndarray, wanted: np.ndarray) -> tuple[float, np.ndarray]:
    """The largest difference, times the root of x, of the (1 + a x + b x^2 + c x^3) / (1 + d x + e x^2 + f x^3) that is
    nearest to the values ``wanted`` [N] at x = ``unit`` [N] in 0..1, and its coefficients [6].

    Least squares of the numerator less ``wanted`` times the denominator, weighted anew until it is that of the
    quotient (Sanathanan & Koerner 1963). That often has a pole, so that denominators with fewer terms are tried too,
    and all with a little weight on small coefficients; the nearest without a pole is taken.
    """
    powers = unit[:, None] ** np.arange(1, 4)
    every = np.concatenate([powers, -wanted[:, None] * powers], axis=1)
    best = math.inf, np.zeros(6)
    for terms, damping in itertools.product(DENOMINATORS, (0.0, DAMPING)):
        columns, below = [0, 1, 2, *terms], np.ones_like(unit)
        for _ in range(ROUNDS):
            weight = np.sqrt(unit) / below
            system = np.concatenate([every[:, columns] * weight[:, None], damping * np.eye(len(columns))])
            target = np.concatenate([(wanted - 1) * weight, np.zeros(len(columns))])
            found = np.zeros(6)
            found[columns] = np.linalg.lstsq(system, target, rcond=None)[0]
            below = 1 + powers @ found[3:]
            if below.min() < LEAST_BELOW:
                break
        else:
            off = np.abs(np.sqrt(unit) * ((1 + powers @ found[:3]) / below - wanted)).max()
            best = min(best, (float(off), found), key=lambda one: one[0])
    return best


def save_lenses(path: Path, lenses: Mapping[str, Mapping[str, Lens]]) -> None:
    """Write ``{"cameras": {name: {model, width, height, params}}, "photos": {...}}``, sorted by name."""
    write_json(
        path, {group: {name: asdict(lens) for name, lens in sorted(lenses[group].items())} for group in sorted(lenses)}
    )


def load_lenses(path: Path) -> dict[str, dict[str, Lens]]:
    """Read a lenses.json: group ("cameras", "photos") to name to lens.

    Raises:
        UserError: missing file, missing key, unknown model or wrong number of parameters.
    """
    lenses: dict[str, dict[str, Lens]] = {}
    saved = read_json(path, LENSES)
    for group in LENSES:
        lenses[group] = {}
        for name, value in saved[group].items():
            lens = Lens(value["model"], value["width"], value["height"], tuple(map(float, value["params"])))
            if len(lens.params) != len(MODELS.get(lens.model, ())):
                raise DamagedFile(
                    f"{path}: {group} {name}: {lens.model} with {len(lens.params)} params; expected one of"
                    f" {', '.join(MODELS)} with its parameters. Delete it and run the same command again."
                )
            lenses[group][name] = lens
    return lenses
