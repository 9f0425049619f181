"""What tests share: fixtures. Functions are in tests/helpers."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from helpers.browser import chromium  # noqa: F401 (a fixture)
from helpers.checkout import REPOSITORY

if TYPE_CHECKING:
    from helpers.jobs import Made
    from helpers.workflow import Job


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with slow tests come first, so that in the end nobody waits for one of them alone."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of captures that are not part of the project: $MIXDEPTH_DATA, else ../shared/data."""
    path = Path(os.environ.get("MIXDEPTH_DATA", REPOSITORY.parent / "shared" / "data"))
    if not path.is_dir():
        pytest.skip(f"no captures at {path} (set MIXDEPTH_DATA)")
    return path


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> "Made":
    """Every output of every rule, of tiny scenes (tests/helpers/jobs.py). Tests leave it as it is."""
    from helpers.jobs import make_everything

    return make_everything(tmp_path_factory.mktemp("made"))


@pytest.fixture(scope="session")
def jobs(tmp_path_factory: pytest.TempPathFactory) -> list["Job"]:
    """Everything that there is to make of a capture with given poses, three cameras that train, and photos."""
    from helpers.captures import write_capture
    from helpers.workflow import plan

    everything = ["video.mp4", "comparison.png", "report.html", "contact_sheet.jpg", "provenance.json"]
    return plan(write_capture(tmp_path_factory.mktemp("x")), *(f"results/x/{name}" for name in everything))
