"""The examples in docstrings."""

import doctest
from importlib import import_module

import pytest
from conftest import REPOSITORY

SOURCE = REPOSITORY / "src"
MODULES = [
    ".".join(path.relative_to(SOURCE).with_suffix("").parts).removesuffix(".__init__")
    for path in sorted(SOURCE.rglob("*.py"))
    if ">>> " in path.read_text()
]


@pytest.mark.parametrize("module", MODULES)
def test_examples_in_docstrings_give_what_they_show(module: str) -> None:
    failed, tried = doctest.testmod(import_module(module))
    assert tried > 0 == failed
