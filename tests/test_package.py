"""What holds for the package as a whole: its names, docstrings, tests, imports and version."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from numpydoc.validate import validate
from packaging.requirements import Requirement
from packaging.version import Version

import sknninterp

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "sknninterp"
MODULES = sorted(
    module.name for module in pkgutil.walk_packages(sknninterp.__path__, prefix="sknninterp.")
)

# numpydoc's codes: no docstring; parameters missing, unknown, or in another order.
DOCSTRING_ERRORS = {"GL08", "PR01", "PR02", "PR03"}
NO_EXAMPLE = "EX01"


def public_objects() -> dict[str, object]:
    """Classes and functions that the package or one of its modules lists in ``__all__``."""
    found = {}
    for module_name in ["sknninterp", *MODULES]:
        module = importlib.import_module(module_name)
        for name in getattr(module, "__all__", []):
            value = getattr(module, name)
            listed_before = any(value is other for other in found.values())
            if (inspect.isclass(value) or inspect.isfunction(value)) and not listed_before:
                found[f"{module_name}.{name}"] = value
    return found


def is_ours(value: object) -> bool:
    return (getattr(value, "__module__", None) or "").split(".")[0] == "sknninterp"


def public_methods() -> list[str]:
    """Public methods of the public classes, but those that another library's class documents."""
    found = []
    for path, value in public_objects().items():
        if inspect.isclass(value):
            foreign = [base for base in value.__mro__ if not is_ours(base)]
            found += [
                f"{path}.{name}"
                for name, method in inspect.getmembers(value, inspect.isroutine)
                if not name.startswith("_")
                and is_ours(method)
                and not any(hasattr(base, name) for base in foreign)
            ]
    return found


def docstring_errors(path: str, codes: set[str]) -> list[str]:
    return [f"{code}: {text}" for code, text in validate(path)["errors"] if code in codes]


def test_public_names_are_sorted_and_exist():
    names = sknninterp.__all__
    assert names == sorted(names)
    assert len(names) == len(set(names))
    missing = [name for name in names if not hasattr(sknninterp, name)]
    assert not missing


@pytest.mark.parametrize("path", public_objects())
def test_public_docstring_agrees_with_signature_and_has_an_example(path):
    assert docstring_errors(path, DOCSTRING_ERRORS | {NO_EXAMPLE}) == []


@pytest.mark.parametrize("path", public_methods())
def test_method_docstring_agrees_with_signature(path):
    assert docstring_errors(path, DOCSTRING_ERRORS) == []


@pytest.mark.parametrize(
    "module",
    [path.relative_to(PACKAGE) for path in sorted(PACKAGE.rglob("*.py"))],
    ids=str,
)
def test_module_has_a_test_file_of_its_name(module):
    if module.name == "__init__.py":
        return
    expected = ROOT / "tests" / module.parent / f"test_{module.stem.lstrip('_')}.py"
    assert expected.is_file(), f"{module} has no {expected.relative_to(ROOT)}"


def test_import_raises_no_warning_and_is_light():
    code = "import sys, sknninterp; print(*sys.modules)"
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert result.returncode == 0, result.stderr
    packages = {name.split(".")[0] for name in result.stdout.split()}
    assert "sknninterp" in packages
    assert packages.isdisjoint({"captum", "dask", "jinja2", "matplotlib", "shap"})


@pytest.mark.parametrize(
    ("file", "pattern"),
    [
        ("CITATION.cff", r"^version: (\S+)$"),
        ("CHANGELOG.md", r"^## \[(\d\S*)\]"),  # the newest comes first
    ],
)
def test_version_is_the_same_everywhere(file, pattern):
    found = re.search(pattern, (ROOT / file).read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert found is not None, f"{file} names no version"
    assert found.group(1) == sknninterp.__version__


def test_the_oldest_versions_tested_are_the_bounds():
    root = Path(sknninterp.__file__).parents[1]
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    tested = dict(
        line.split("==")
        for line in (root / "constraints-oldest.txt").read_text(encoding="utf-8").splitlines()
        if "==" in line
    )
    bounds = {}
    for line in project["dependencies"]:
        requirement = Requirement(line)
        bounds[requirement.name] = requirement.specifier
    for name, specifier in bounds.items():
        (least,) = (Version(bound.version) for bound in specifier if bound.operator == ">=")
        assert Version(tested[name]) == least, name
