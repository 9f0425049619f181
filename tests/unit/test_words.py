"""The words that messages share."""

import pytest

from mixdepth import words


def test_names_are_listed_sorted_or_as_far_as_they_fit() -> None:
    assert words.listed({"b", "a"}) == "a, b"
    assert words.listed([]) == "none"
    assert words.first_of(["c", "a", "b"]) == "c, a, b"
    assert words.first_of("dcba", 2) == "d, c and 2 more"


def test_a_misspelt_name_is_asked_about() -> None:
    assert words.nearest("scle", ["scale", "frames"]) == '; did you mean "scale"?'
    assert words.nearest("x" * 10_000, ["scale"]) == ""


@pytest.mark.parametrize(("number", "text"), [(0, "0 cameras"), (1, "1 camera"), (2, "2 cameras")])
def test_a_number_has_its_noun(number: int, text: str) -> None:
    assert words.counted(number, "camera") == text


def test_numbers_are_written_as_people_read_them() -> None:
    assert words.percent(0.1234) == "12 %"
    assert words.percent(0.1234, 1) == "12.3 %"
    assert words.signed(-1.25, ".1f") == "−1.2"
    assert words.signed(2, "g") == "+2"
