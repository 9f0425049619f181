"""The lens of an original image: intrinsics with distortion, as COLMAP names them. Everything after undistortion is a
:class:`~mixdepth.cameras.camera.Camera`."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from mixdepth.errors import UserError
from mixdepth.io import read_json, write_json

# Order of the parameters, as in COLMAP's src/colmap/sensor/models.h.
MODELS = {
    "SIMPLE_PINHOLE": ("f", "cx", "cy"),
    "PINHOLE": ("fx", "fy", "cx", "cy"),
    "SIMPLE_RADIAL": ("f", "cx", "cy", "k1"),
    "RADIAL": ("f", "cx", "cy", "k1", "k2"),
    "OPENCV": ("fx", "fy", "cx", "cy", "k1", "k2", "p1", "p2"),
}


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
    def is_pinhole(self) -> bool:
        """True where there is no distortion."""
        return not any(self._get("k1", "k2", "p1", "p2"))

    def distort(self, xy: np.ndarray) -> np.ndarray:
        """Pixels [N, 2] of the original image for normalised pinhole coordinates ``xy`` [N, 2] = (x/z, y/z).

        Brown-Conrady as in OpenCV and COLMAP's OPENCV model; SIMPLE_RADIAL and RADIAL are its special cases.
        """
        k1, k2, p1, p2 = self._get("k1", "k2", "p1", "p2")
        x, y = xy[:, 0], xy[:, 1]
        r2 = x * x + y * y
        radial = 1 + r2 * (k1 + r2 * k2)
        xd = x * radial + 2 * p1 * x * y + p2 * (r2 + 2 * x * x)
        yd = y * radial + 2 * p2 * x * y + p1 * (r2 + 2 * y * y)
        return np.stack([xd, yd], axis=1) * self.focal + self.principal_point


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
    for group, values in read_json(path).items():
        lenses[group] = {}
        for name, value in values.items():
            try:
                lens = Lens(
                    value["model"], int(value["width"]), int(value["height"]), tuple(map(float, value["params"]))
                )
                lens.is_pinhole  # noqa: B018  looks the parameters up, which finds a wrong model or number of them
            except (KeyError, TypeError, ValueError) as error:
                raise UserError(f"{path}: {group} {name}: {error!r}; expected model, width, height, params") from None
            lenses[group][name] = lens
    return lenses
