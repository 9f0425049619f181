"""Words that messages, the doctor and the reports share. Standard library only."""

import difflib
from collections.abc import Iterable, Sequence


def listed(names: Iterable[str]) -> str:
    """Names in one line, sorted."""
    return ", ".join(sorted(names)) or "none"


def first_of(names: Sequence[str], most: int = 3) -> str:
    """The first names in one line, and how many more there are."""
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def nearest(name: str, known: Iterable[str]) -> str:
    """The known name that ``name`` may be meant for, as a question to put behind it; empty where none is near."""
    # The time that difflib takes grows with the square of the length.
    close = difflib.get_close_matches(name[:100], list(known), n=1, cutoff=0.5)
    return f'; did you mean "{close[0]}"?' if close else ""


def counted(number: int, noun: str) -> str:
    """A number with its noun: "1 camera", "3 cameras"."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def percent(share: float, digits: int = 0) -> str:
    """A share of 1 as "12 %"."""
    return f"{100 * share:.{digits}f} %"


def signed(value: float, form: str) -> str:
    """A number with its sign, and a real minus: "+5", "−5"."""
    return format(value, f"+{form}").replace("-", "−")
