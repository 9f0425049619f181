"""The command line, called as its users call it."""

import pytest

from mixdepth.cli import parser as cli


def run(*arguments: str) -> None:
    """A command that must succeed, in the current folder."""
    assert cli.main(arguments) == 0


def told(capsys: pytest.CaptureFixture, *arguments: str, status: int = 1) -> str:
    """What a command that must fail says: one line."""
    capsys.readouterr()
    assert cli.main(arguments) == status
    message = capsys.readouterr().err
    assert "Traceback" not in message
    assert message.count("\n") == 1, message
    return message
