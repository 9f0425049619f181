"""The exception for mistakes that a user can mend, and words that such messages share."""

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """A mistake in the input or the configuration.

    The message names the file or key, what was found, what was expected and what to do. Workflow scripts print it
    alone, without a traceback (see ``mixdepth.stage``).
    """


class Interrupted(UserError):
    """Stopped by a signal, after a checkpoint."""


def nearest(name: str, known: Iterable[str]) -> str:
    """The known name that ``name`` may be meant for, as a question to put behind it; empty where none is near."""
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f'; did you mean "{close[0]}"?' if close else ""


def listed(names: Iterable[str]) -> str:
    """Names in one line, sorted."""
    return ", ".join(sorted(names)) or "none"
