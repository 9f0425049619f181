"""A clock that jumps back: what is counted while a stage runs does not follow it."""

import re

from conftest import REPOSITORY


def test_no_interval_is_measured_by_a_clock_that_can_jump() -> None:
    """Progress and checkpoints go by ``time.monotonic``, which no change of the machine's time moves."""
    sources = [*(REPOSITORY / "src").rglob("*.py"), *(REPOSITORY / "workflow").rglob("*.py")]
    assert len(sources) > 50
    assert [path.name for path in sources if re.search(r"\btime\.time(_ns)?\(|import time_ns", path.read_text())] == []
