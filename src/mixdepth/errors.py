"""The exception for mistakes that a user can mend, and words that such messages share."""

import difflib
from collections.abc import Iterable

LONGEST, TAIL = 3000, 1000  # characters of a message, and of these at its end where it is cut: what to do is there


class UserError(Exception):
    """A mistake in the input or the configuration.

    The message names the file or key, what was found, what was expected and what to do. Workflow scripts print it
    alone, without a traceback (see ``mixdepth.workflow.job``).

    Names come from files, so what a terminal would obey or cannot show is escaped, and what is too long is cut.
    """

    def __init__(self, message: str):
        if len(message) > LONGEST:
            message = f"{message[: LONGEST - TAIL]} [...] {message[-TAIL:]}"
        super().__init__(printable(message))


def printable(text: str) -> str:
    """``text`` with what a terminal would obey or cannot show escaped."""
    return "".join(c if c.isprintable() or c == "\n" else ascii(c)[1:-1] for c in text)


class Interrupted(UserError):
    """Stopped by a signal, after a checkpoint."""


def nearest(name: str, known: Iterable[str]) -> str:
    """The known name that ``name`` may be meant for, as a question to put behind it; empty where none is near."""
    # The time that difflib takes grows with the square of the length.
    close = difflib.get_close_matches(name[:100], list(known), n=1, cutoff=0.5)
    return f'; did you mean "{close[0]}"?' if close else ""


def listed(names: Iterable[str]) -> str:
    """Names in one line, sorted."""
    return ", ".join(sorted(names)) or "none"
