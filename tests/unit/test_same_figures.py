"""A small training gives the stored figures on every machine, within the tolerance that docs/reproducibility.md states:
measured over stand-ins for other machines by benchmarks/reproducibility.py."""

import importlib.util
import json
from types import ModuleType

import pytest

from helpers.checkout import REPOSITORY


def load(path: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location("reproducibility", REPOSITORY / path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


BENCHMARK = load("benchmarks/reproducibility.py")
REFERENCE = json.loads(BENCHMARK.REFERENCE.read_text())


@pytest.mark.parametrize("stand_in", ["as it is", "an old processor, 2 threads"])
def test_figures_are_those_of_the_reference_on_other_machines_and_threads(stand_in: str) -> None:
    found, expected, tolerance = BENCHMARK.figures(stand_in, 0), REFERENCE["figures"], REFERENCE["tolerance"]
    assert found.keys() == expected.keys()
    apart = {key: (found[key], expected[key]) for key in found if abs(found[key] - expected[key]) > tolerance[key]}
    assert not apart, f"found and expected; the reference is of {REFERENCE['machine']}, {REFERENCE['versions']}"


def test_the_tolerance_tells_another_training_from_the_same() -> None:
    """Another seed is told by at least half of the figures."""
    told = [key for key, far in REFERENCE["another_seed"].items() if far > REFERENCE["tolerance"][key]]
    assert len(told) >= len(REFERENCE["figures"]) / 2, told


def test_the_page_states_the_tolerance_that_is_tested() -> None:
    page = (REPOSITORY / "docs" / "reproducibility.md").read_text()
    for key, value in REFERENCE["tolerance"].items():
        assert f"| `{key}` | {REFERENCE['figures'][key]:.4g} | {value:.2g} |" in page, key
