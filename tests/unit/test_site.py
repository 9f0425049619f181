"""The documentation site is made offline, and its links lead somewhere."""

import ast
import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote

import pytest

from helpers.checkout import REPOSITORY

ROOMS = sorted((REPOSITORY / "docs/reference").glob("*.md"))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if not all(map(importlib.util.find_spec, ("mkdocs", "mkdocstrings"))):
        pytest.skip("mkdocs or mkdocstrings is not installed (requirements-dev.txt)")
    folder = tmp_path_factory.mktemp("site")
    # Strict: a link or anchor within the pages that leads nowhere is an error, as is a page that the index leaves out.
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    done = subprocess.run(command, cwd=REPOSITORY, text=True, capture_output=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert 'not included in the "nav"' not in done.stderr, done.stderr
    return folder


def test_links_of_the_site_lead_somewhere_and_nothing_is_fetched(site: Path) -> None:
    pages = sorted(site.rglob("*.html"))
    assert len(pages) > 20
    for page in pages:
        text = page.read_text()
        assert not re.search(r'<(?:script|img|link)[^>]*(?:src|href)="(?:https?:)?//', text), page
        for link in set(re.findall(r'(?:href|src)="([^"]*)"', text)):
            path, _, anchor = link.partition("#")
            if ":" in path or page.name == "404.html":  # the latter's are from the site's root
                continue
            target = (page.parent / unquote(path)).resolve() if path else page
            target = target / "index.html" if target.is_dir() else target
            assert target.exists(), f"{page}: {link}"
            if anchor and target.suffix == ".html":
                assert f'id="{unquote(anchor)}"' in target.read_text(), f"{page}: {link}"


@pytest.mark.parametrize("room", ROOMS, ids=lambda path: path.stem)
def test_the_reference_has_every_public_function_of_a_room(site: Path, room: Path) -> None:
    page = (site / "reference" / room.stem / "index.html").read_text()
    for path in (REPOSITORY / "src/mixdepth" / room.stem).rglob("*.py"):
        module = ".".join(path.relative_to(REPOSITORY / "src").with_suffix("").parts).removesuffix(".__init__")
        functions = (node for node in ast.parse(path.read_text()).body if isinstance(node, ast.FunctionDef))
        for name in (node.name for node in functions if ast.get_docstring(node) and node.name[0] != "_"):
            assert f'id="{module}.{name}"' in page, f"{module}.{name}"
