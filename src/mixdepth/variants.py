"""The variants: what each learns from, in which words and colours it is shown.

The report's charts have colours and dashes of their own in its style sheet (report/templates/_style.css.j2), chosen for
contrast with the page, light and dark; these are for print.

Standard library only: the Snakefile asks at every start.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Variant:
    """One way to supervise the dynamic model, and a folder of results."""

    name: str
    sparse: bool  # learns from COLMAP's points, or falls back on them
    distilled: bool  # learns from the static model's depth maps
    inherited: bool  # takes the static model itself over
    meaning: str  # the depth that it learns from, in words
    colour: str  # of Okabe and Ito, "Color Universal Design", 2008
    marker: str  # of matplotlib; each of colour, marker and dash is enough to tell a variant
    dash: Literal["-"] | tuple[int, tuple[float, ...]]  # of matplotlib

    @property
    def needs_static(self) -> bool:
        """Whether the static model has to be trained before it."""
        return self.distilled or self.inherited


TABLE = {
    variant.name: variant
    for variant in (
        Variant("none", False, False, False, "no depth", "#000000", "o", (0, (1, 1.2))),
        Variant("colmap", True, False, False, "sparse COLMAP depth", "#0072B2", "s", (0, (5, 1.5))),
        Variant("distilled", True, True, False, "static model's depth", "#E69F00", "^", (0, (5, 1.2, 1, 1.2))),
        Variant("inherited", True, True, True, "static model itself", "#009E73", "D", "-"),
    )
}
VARIANTS = tuple(TABLE)
# Variants that differ from `none` in depth and in nothing else: what depth is worth. The others take colours over, too.
DEPTH_ALONE = tuple(variant.name for variant in TABLE.values() if variant.sparse and not variant.inherited)


def needs_static(names: Iterable[str]) -> bool:
    """Whether any of these variants needs the static model."""
    return any(TABLE[name].needs_static for name in names)
