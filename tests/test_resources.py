"""What jobs ask a cluster for."""

import pytest

from mixdepth.resources import memory_mb

DEMO, LARGE = 5 * 24 * 320 * 240, 20 * 300 * 1352 * 1014


@pytest.mark.parametrize(("pixels", "peak"), [(DEMO, 750), (LARGE, 5500)])
def test_measured_peaks_fit_with_room_and_little_waste(pixels: int, peak: int) -> None:
    assert 1.3 * peak <= memory_mb(pixels) <= 2.1 * peak


def test_each_retry_asks_for_twice_as_much() -> None:
    for pixels in (None, DEMO, LARGE):
        assert memory_mb(pixels, 3) == 2 * memory_mb(pixels, 2) == 4 * memory_mb(pixels)
