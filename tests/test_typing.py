"""The type hints, which editors and the type checkers of users read."""

from __future__ import annotations

import ast
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

import sknninterp

PACKAGE = Path(sknninterp.__file__).parent
MODULES = [path.relative_to(PACKAGE) for path in sorted(PACKAGE.rglob("*.py"))]


def public_functions(body: list[ast.stmt], owner: str = "") -> Iterator[tuple[str, ast.AST]]:
    """Functions and methods without an underscore, and special methods."""
    for node in body:
        if not isinstance(node, ast.ClassDef | ast.FunctionDef):
            continue
        if node.name.startswith("_") and not node.name.endswith("__"):
            continue
        if isinstance(node, ast.ClassDef):
            yield from public_functions(node.body, f"{owner}{node.name}.")
        else:
            yield f"{owner}{node.name}", node


def without_hint(function: ast.FunctionDef) -> list[str]:
    """The function's arguments that lack a hint, and its result."""
    given = function.args
    arguments = [*given.posonlyargs, *given.args, *given.kwonlyargs, given.vararg, given.kwarg]
    lacking = [
        one.arg
        for one in arguments
        if one is not None and one.annotation is None and one.arg not in ("self", "cls")
    ]
    if function.returns is None and function.name != "__init__":
        lacking.append("return")
    return lacking


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_public_functions_have_type_hints(module):
    tree = ast.parse((PACKAGE / module).read_text(encoding="utf-8"))
    found = {name: without_hint(function) for name, function in public_functions(tree.body)}
    assert {name: lacking for name, lacking in found.items() if lacking} == {}


def test_type_checkers_are_told_that_there_are_hints():
    assert (PACKAGE / "py.typed").is_file()
    settings = tomllib.loads((PACKAGE.parent / "pyproject.toml").read_text(encoding="utf-8"))
    assert "py.typed" in settings["tool"]["setuptools"]["package-data"]["sknninterp"]
