"""The documentation: every public name has its page, links are good, and the guide's code runs."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

import sknninterp
from sknninterp import datasets, distributed, evaluation, plotting

ROOT = Path(__file__).parents[1]
PAGES = sorted([*(ROOT / "docs").glob("**/*.rst"), *(ROOT / "docs").glob("*.md")])
PAGES = [
    p for p in PAGES if not {"generated", "auto_examples", "_build", "_templates"} & set(p.parts)
]


def listed() -> dict[str, set[str]]:
    """Names of the API reference, by module."""
    found, module = {}, None
    for line in (ROOT / "docs" / "api.rst").read_text(encoding="utf-8").splitlines():
        if match := re.match(r"\.\. currentmodule:: (\S+)", line):
            module = match[1]
        elif match := re.match(r"    (\w+)$", line):
            found.setdefault(module, set()).add(match[1])
    return found


@pytest.mark.parametrize("module", [sknninterp, evaluation, plotting, datasets, distributed])
def test_every_public_name_is_in_the_reference(module):
    # What two modules offer is listed under one of them, or both.
    elsewhere = set(evaluation.__all__) if module is sknninterp else set()
    assert set(module.__all__) - elsewhere <= listed()[module.__name__] <= set(module.__all__)


def test_every_name_of_the_reference_is_there():
    for module, names in listed().items():
        for name in names:
            if not hasattr(importlib.import_module(module), name):
                importlib.import_module(f"{module}.{name}")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_links_of_a_page(page):
    text = page.read_text(encoding="utf-8")
    for name in re.findall(r":ref:`sphx_glr_auto_examples_(plot_\w+\.py)`", text):
        assert (ROOT / "examples" / name).exists(), name
    for target in re.findall(r":doc:`(?:[^`<]*<)?([^`>]+)>?`", text):
        base = ROOT / "docs" if target.startswith("/") else page.parent
        assert (base / f"{target.lstrip('/')}.rst").exists(), target
    for path in re.findall(r":(?:class|func|meth|mod):`~?(sknninterp[\w.]+)`", text):
        found, parts = sknninterp, path.split(".")[1:]
        for part in parts:
            if not hasattr(found, part):
                importlib.import_module(f"{found.__name__}.{part}")
            found = getattr(found, part)


def test_every_page_is_in_a_table_of_contents():
    told = " ".join(page.read_text(encoding="utf-8") for page in PAGES if page.stem == "index")
    for page in PAGES:
        generated = page.stem == "sg_execution_times"
        assert (
            generated
            or page.stem == "index"
            or re.search(rf"^ +/?(guide/)?{page.stem}$", told, re.M)
        )


def code_blocks():
    guide = [page for page in PAGES if page.parent.name == "guide"]
    return [
        pytest.param(block, id=f"{page.stem}-{number}")
        for page in guide
        for number, block in enumerate(
            re.findall(
                r"\.\. code-block:: python\n\n((?:(?:    .*)?\n)+)",
                page.read_text(encoding="utf-8"),
            )
        )
    ]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("block", code_blocks())
def test_code_of_the_guide_runs(block):
    code = re.sub("^    ", "", block, flags=re.M)
    exec(compile(code, "guide", "exec"), {"__name__": "guide"})


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_code_of_the_readme_runs(monkeypatch, tmp_path):
    pytest.importorskip("skops")
    monkeypatch.chdir(tmp_path)
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", text, re.S)
    assert len(blocks) == 4
    names = {"__name__": "readme"}
    for block in blocks:
        exec(compile(block, "README.md", "exec"), names)
    assert {path.name for path in tmp_path.iterdir()} == {"report.html", "model.safetensors"}


def test_links_that_lead_nowhere_are_found(tmp_path):
    (tmp_path / "picture.png").touch()
    (tmp_path / "guide").mkdir()
    (tmp_path / "guide" / "one.html").write_text('<p id="here"><a href="../index.html#top">up</a>')
    (tmp_path / "index.html").write_text(
        '<a href="guide/one.html#here">1</a><a href="#">2</a><img src="picture.png">'
        '<a href="https://example.org/none">3</a><a href="mailto:a@example.org">4</a>'
    )
    (tmp_path / "_static").mkdir()
    (tmp_path / "_static" / "template.html").write_text('<a href="{{ none }}">no page</a>')
    script = [sys.executable, ROOT / "docs" / "check_links.py", tmp_path]
    assert subprocess.run(script, check=True, capture_output=True, text=True).stdout == ""
    bad = ["guide/none.html", "guide/one.html#none", "#none", "none.png"]
    (tmp_path / "bad.html").write_text("".join(f'<a href="{link}">x</a>' for link in bad))
    found = subprocess.run(script, check=False, capture_output=True, text=True)
    assert found.returncode == 1
    assert found.stdout.splitlines() == [f"bad.html: {link}" for link in bad]
