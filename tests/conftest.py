"""What tests share."""

import os
from pathlib import Path

import pytest
from browser import chromium  # noqa: F401 (a fixture)

REPOSITORY = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of captures that are not part of the project: $MIXDEPTH_DATA, else ../shared/data."""
    path = Path(os.environ.get("MIXDEPTH_DATA", REPOSITORY.parent / "shared" / "data"))
    if not path.is_dir():
        pytest.skip(f"no captures at {path} (set MIXDEPTH_DATA)")
    return path
