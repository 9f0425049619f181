"""What tests share."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from browser import chromium  # noqa: F401 (a fixture)

if TYPE_CHECKING:
    from jobs import Made

REPOSITORY = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of captures that are not part of the project: $MIXDEPTH_DATA, else ../shared/data."""
    path = Path(os.environ.get("MIXDEPTH_DATA", REPOSITORY.parent / "shared" / "data"))
    if not path.is_dir():
        pytest.skip(f"no captures at {path} (set MIXDEPTH_DATA)")
    return path


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> "Made":
    """Every output of every rule, of tiny scenes (tests/jobs.py). Tests leave it as it is."""
    from jobs import make_everything

    return make_everything(tmp_path_factory.mktemp("made"))
