"""What `make` installs is held to the hashes of its published files, all but torch and its CUDA."""

import re
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from helpers.checkout import REPOSITORY

FILES = ("build.txt", "run.txt", "dev.txt")
PIN = re.compile(r"(?m)^([\w.-]+)==(\S+)((?: \\\n    --hash=sha256:[0-9a-f]{64})+)$")


def plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def pinned(path: Path) -> dict[str, str]:
    return {plain(name): version for name, version in re.findall(r"(?m)^([\w.-]+)==(\S+)", path.read_text())}


@pytest.mark.parametrize("file", FILES)
def test_every_line_is_a_pin_with_hashes_and_no_address(file: str) -> None:
    text = (REPOSITORY / "envs" / "hashes" / file).read_text()
    comment, _, rest = text.partition("\n")
    assert comment.startswith("# ")
    assert PIN.sub("", rest).strip() == ""
    assert len(PIN.findall(rest)) == len(pinned(REPOSITORY / "envs" / "hashes" / file)) > 0
    assert "://" not in text


def test_everything_that_is_pinned_is_hashed_once_in_the_same_version_but_torch() -> None:
    hashed = [pinned(REPOSITORY / "envs" / "hashes" / file) for file in FILES]
    every = pinned(REPOSITORY / "constraints.txt")
    assert sum(map(len, hashed)) == len(every) - 1
    assert {name: version for part in hashed for name, version in part.items()} | {"torch": every["torch"]} == every


@pytest.mark.parametrize("file", ["requirements.txt", "requirements-dev.txt"])
def test_what_is_installed_for_users_and_for_tests_is_all_that_it_needs_and_no_more(file: str) -> None:
    """pip is told to look up no dependency of what is hashed (`--no-deps`)."""
    base = needed(pinned(REPOSITORY / "requirements.txt"))
    wanted = base if file == "requirements.txt" else needed(pinned(REPOSITORY / file)) - base
    parts = ("build.txt", "run.txt") if file == "requirements.txt" else ("dev.txt",)
    hashed = {name for part in parts for name in pinned(REPOSITORY / "envs" / "hashes" / part)}
    # Of torch: what its default build for GPUs needs is in no list, and not here where it is the CPU's.
    cuda = {name for name in wanted if re.match("cuda-|nvidia-|triton", name)}
    assert wanted - cuda - {"torch"} == hashed


def needed(names: dict[str, str]) -> set[str]:
    """Packages with all that they need in turn, as their metadata tell."""
    found: set[str] = set()
    queue = [(name, "") for name in names]
    while queue:
        name, extra = queue.pop()
        found.add(name)
        try:
            lines = requires(name) or []
        except PackageNotFoundError:
            pytest.skip(f"{name} is not installed")
        for requirement in map(Requirement, lines):
            if requirement.marker is None or requirement.marker.evaluate({"extra": extra}):
                new = [(plain(requirement.name), one) for one in ("", *requirement.extras)]
                queue += [one for one in new if one[0] not in found or one[1]]
    return found


def test_make_and_the_container_install_by_hashes() -> None:
    for path in ("Makefile", "envs/Dockerfile"):
        text = (REPOSITORY / path).read_text()
        assert not re.search(r"pip install[^\n]*-r \S*requirements", text)
        assert "--require-hashes" in text
