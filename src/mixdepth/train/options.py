"""Training options as dataclasses. Defaults and explanations are in workflow/schemas/config.schema.yaml; where to
compute has a default here as well, for those who call from Python."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class StaticOptions:
    """How a static field is built and trained; see the schema's ``static`` section."""

    steps: int
    resolution: int
    start_resolution: int
    density_components: int
    colour_components: int
    width: int
    view_dependence: bool
    tone: bool
    samples: int
    start_samples: int
    batch_samples: int
    grid_rate: float
    network_rate: float
    total_variation: float
    depth_loss: str
    depth_weight: float
    depth_sigma: float
    guided_samples: int
    threads: int
    seed: int
    device: str = "cpu"
    amp: bool = False


@dataclass(frozen=True)
class DynamicOptions:
    """How the dynamic branch is built and trained; see the schema's ``dynamic`` section."""

    steps: int
    resolution: int
    start_resolution: int
    components: int
    codes: int
    width: int
    samples: int
    start_samples: int
    rays: int
    frames_per_step: int
    windows: int
    grid_rate: float
    network_rate: float
    total_variation: float
    moving_threshold: float
    hull_vote: float
    sparsity: float
    surface_weight: float
    threads: int
    seed: int
    device: str = "cpu"
    amp: bool = False


def from_mapping(kind: type[T], values: Mapping) -> T:
    """Options of ``kind`` from a configuration section; other keys of the section are left alone."""
    return kind(**{field.name: values[field.name] for field in fields(kind)})
