"""The exception for mistakes that a user can mend."""

from mixdepth.words import listed, nearest  # noqa: F401 (for those who raise)

LONGEST, TAIL = 3000, 1000  # characters of a message, and of these at its end where it is cut: what to do is there


class UserError(Exception):
    """What a user can mend; one of the kinds below wherever it fits.

    The message names the file or key, what was found, what was expected and what to do. Workflow scripts print it
    alone, without a traceback (see ``mixdepth.workflow.job``).

    Names come from files, so what a terminal would obey or cannot show is escaped, and what is too long is cut.
    """

    def __init__(self, message: str):
        if len(message) > LONGEST:
            message = f"{message[: LONGEST - TAIL]} [...] {message[-TAIL:]}"
        super().__init__(printable(message))


class ConfigurationError(UserError):
    """The configuration, or a command, asks for what cannot be or is not there."""


class CaptureError(UserError):
    """Videos, photos or cameras that the user brought are missing, contradict each other or cannot be used."""


class DamagedFile(UserError):
    """A file, whoever wrote it, is missing, cut short, changed, or not what it should be."""


class OutOfRoom(UserError):
    """There is not enough memory, or no space on a disk. What was raised of memory has a MemoryError for its cause."""


def printable(text: str) -> str:
    """``text`` with what a terminal would obey or cannot show escaped."""
    return "".join(c if c.isprintable() or c == "\n" else ascii(c)[1:-1] for c in text)


class Interrupted(UserError):
    """Stopped by a signal, after a checkpoint."""
