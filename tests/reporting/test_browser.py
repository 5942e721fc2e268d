"""The page in a real browser: what its script does, and that nothing goes in or out."""

from __future__ import annotations

import csv
import importlib.util
import os
import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from sknninterp import IntegratedGradientsExplainer
from sknninterp.reporting import _rows
from sknninterp.reporting._page import render
from sknninterp.reporting._ranking import rank
from sknninterp.reporting._report import make_page, write
from sknninterp.reporting._rows import explain_rows
from sknninterp.reporting._scores import score

from .conftest import HOSTILE  # isort: skip

BROWSER = os.environ.get("CHROMIUM") or shutil.which("chromium")

pytestmark = pytest.mark.skipif(
    BROWSER is None or importlib.util.find_spec("playwright") is None,
    reason="needs Playwright, and Chromium on the path or named in CHROMIUM",
)


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def opened(browser, tmp_path):
    """Open a study's page; fail if its console says anything or it asks for anything."""
    contexts, said, asked = [], [], []

    def opened(study, ranking=None, width=1280, made=None, **options):
        ranking = rank(study) if ranking is None else ranking
        options = {"evaluate": False, **options}
        made = made or make_page(study, "A report", ranking, score(study), None, **options)
        path = write(render(made), tmp_path / "report.html")
        context = browser.new_context(
            viewport={"width": width, "height": 900}, color_scheme="light", accept_downloads=True
        )
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(path.as_uri())
        page.wait_for_selector("html[data-ready]", state="attached", timeout=20_000)
        return page

    yield opened
    for context in contexts:
        context.close()
    assert said == []
    assert {url.split(":")[0] for url in asked} <= {"file", "blob", "data"}
    assert sum(url.startswith("file") for url in asked) == len(contexts)


def texts(page, selector):
    return page.locator(selector).all_inner_texts()


def downloaded(page, button):
    with page.expect_download() as download:
        page.click(button)
    with open(download.value.path(), encoding="utf-8-sig", newline="") as file:
        return download.value.suggested_filename, list(csv.reader(file))


def wide(study):
    """A ranking of 120 features, as if the study had so many."""
    names = [f"gene {i}" for i in range(115)]
    importance = np.concatenate([rank(study).importance, np.linspace(0.01, 0.001, 115)])
    return replace(
        rank(study), names=[*rank(study).names, *names], importance=importance, each=None
    )


def test_search_and_pages(opened, single):
    page = opened(single, wide(single), n_rows=0)
    assert page.inner_text("#feature-count") == "120 features"
    assert page.locator("#features tbody tr").count() == 50
    page.click("#feature-pager button:has-text('More')")
    assert "51 to 100 of 120" in page.inner_text("#feature-pager")
    page.fill("#feature-search", "GENE 11")
    assert texts(page, "#features tbody th") == ["gene 11", *[f"gene {i}" for i in range(110, 115)]]
    assert page.inner_text("#feature-count") == "6 features"
    assert page.get_attribute("#feature-count", "aria-live") == "polite"
    page.fill("#feature-search", "no such thing")
    assert page.inner_text("#feature-count") == "No features found."


def test_sort(opened, binary):
    page, ranking = opened(binary), rank(binary)
    by_importance = [ranking.names[i] for i in ranking.order]
    assert texts(page, "#features tbody th") == by_importance
    head = "#features th[data-column={}]"
    for column, expected in (
        ("name", sorted(by_importance)),
        ("importance", by_importance),
        ("place", by_importance),
    ):
        page.click(f"{head.format(column)} button")
        assert texts(page, "#features tbody th") == expected
        assert page.locator("[aria-sort]").count() == 1
    assert page.get_attribute(head.format("place"), "aria-sort") == "ascending"
    page.click(f"{head.format('place')} button")
    assert texts(page, "#features tbody th") == by_importance[::-1]


def test_a_row_is_chosen(opened, single):
    explainer = IntegratedGradientsExplainer(single.estimator, baseline="mean").fit(single.X)
    study = replace(single, explainer=explainer)
    page = opened(study)
    page.fill("#row-search", "p95")
    assert page.inner_text("#row-title") == "Row p95"
    probability = study.estimator.predict_proba(study.X)[15]
    assert f"Predicted {['ill', 'well'][probability.argmax()]} with" in page.inner_text(
        "#row-about"
    )
    names = texts(page, "#waterfall tbody th")
    values = explainer.explain(study.X[15:16])
    values = (values[..., 1].values - values[..., 0].values)[0]
    order = np.argsort(-np.abs(values))
    assert names == ["Base value", *[study.X.columns[i] for i in order], "Log-odds"]
    shown = [float(t.replace("−", "-")) for t in texts(page, "#waterfall tbody td.number")]
    np.testing.assert_allclose(shown[1:-1], values[order], atol=1e-3)
    assert shown[-1] == pytest.approx(sum(shown[:-1]), abs=5e-3)
    cells = texts(page, "#waterfall tbody td:nth-child(2)")
    assert cells[1] == f"{study.X.iloc[15, order[0]]:.6g}"


def test_next_previous_and_arrows(opened, single):
    page = opened(single)
    title = page.locator("#row-title")
    assert title.inner_text() == "Row p80" and page.is_disabled("#row-previous")
    page.click("#row-next")
    assert title.inner_text() == "Row p81"
    page.focus("#row-table tbody tr:nth-child(2) button")
    for _ in range(16):
        page.keyboard.press("ArrowDown")
    # On the second page of the list by now, and still in it.
    assert title.inner_text() == "Row p97"
    assert page.evaluate("document.activeElement.textContent") == "p97"
    assert texts(page, "#row-table tr[aria-current] th") == ["p97"]
    page.keyboard.press("ArrowUp")
    assert title.inner_text() == "Row p96"


def test_wrong_ones_only(opened, single):
    truth = single.y.copy()
    truth[[3, 7]] = np.where(single.outputs[[3, 7]].argmax(1) == 0, "well", "ill")
    truth[np.setdiff1d(np.arange(40), [3, 7])] = single.labels[
        single.outputs[np.setdiff1d(np.arange(40), [3, 7])].argmax(1)
    ]
    page = opened(replace(single, y=truth))
    page.check("#row-wrong")
    assert texts(page, "#row-table tbody th") == ["p83", "p87"]
    assert "wrongly: it is" in page.inner_text("#row-about")


def test_downloads(opened, binary):
    page, ranking = opened(binary), rank(binary)
    name, lines = downloaded(page, "#feature-csv")
    assert name == "ranking.csv"
    assert lines[0][:3] == ["rank", "feature", "importance"]
    assert [line[1] for line in lines[1:]] == [ranking.names[i] for i in ranking.order]
    np.testing.assert_allclose(
        [float(line[2]) for line in lines[1:]], ranking.importance[ranking.order], rtol=1e-6
    )
    np.testing.assert_allclose(
        [float(line[4]) for line in lines[1:]], ranking.limits[1][ranking.order], rtol=1e-6
    )
    name, lines = downloaded(page, "#row-csv")
    assert name == "row-p80.csv" and lines[0] == ["feature", "value", "contribution towards well"]
    assert {line[0] for line in lines[1:]} == {*"abdef", "Sum"}
    total = sum(float(line[2]) for line in lines[1:-1])
    assert float(lines[-1][2]) == pytest.approx(total, abs=1e-5)


def test_classes_have_rankings_of_their_own(opened, multiclass):
    page, of_class = opened(multiclass), rank(multiclass).of_class
    page.select_option("#feature-class", label="low")
    order = np.argsort(-of_class[1], kind="stable")
    assert texts(page, "#features tbody th") == [[*"abdef"][i] for i in order]
    assert texts(page, "#features tbody td.number")[1] == f"{of_class[1].max():.4f}"


def test_theme(opened, single):
    page = opened(single)
    colour = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(colour)
    assert page.get_attribute("#theme", "aria-pressed") == "false"
    page.click("#theme")
    assert page.evaluate(colour) != light
    assert page.get_attribute("#theme", "aria-pressed") == "true"
    page.click("#theme")
    assert page.evaluate(colour) == light
    page.emulate_media(color_scheme="dark", media="print")
    assert page.evaluate(colour) == light


def contrast(page, selector):
    """Contrast of text and background, by WCAG's formula."""
    return page.evaluate(
        """selector => {
        const element = document.querySelector(selector);
        const numbers = text => text.match(/[\\d.]+/g).map(Number);
        const light = ([r, g, b]) => [r, g, b].map(c => c / 255)
            .map(c => c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
            .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
        let behind = element;
        const shade = one => numbers(getComputedStyle(one).backgroundColor);
        while (shade(behind).length === 4 && shade(behind)[3] === 0) behind = behind.parentElement;
        const pair = [light(numbers(getComputedStyle(element).color)), light(shade(behind))];
        return (Math.max(...pair) + 0.05) / (Math.min(...pair) + 0.05);
    }""",
        selector,
    )


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_contrast(opened, binary, theme):
    page = opened(binary, evaluate=True)
    if theme == "dark":
        page.click("#theme")
    selectors = (
        "body; .lead; .explain; nav a; .cautions strong; .cautions span; #theme; caption;"
        ".facts dt; figcaption; #row-table tbody button; .passed; .matrix .h4; tr.own td"
    )
    for selector in selectors.split(";"):
        assert contrast(page, selector) >= 4.5, selector


def too_wide(page, width):
    """Elements that reach beyond the screen and are not inside a region that scrolls."""
    return page.evaluate(
        """width => document.documentElement.scrollWidth <= width ? [] :
        [...document.querySelectorAll("main *, header *, footer *")]
            .filter(one => one.getBoundingClientRect().right > width && !one.closest(".scroll"))
            .map(one => one.outerHTML.slice(0, 80))""",
        width,
    )


@pytest.mark.parametrize("width", [320, 390, 1280])
def test_no_page_is_wider_than_its_screen(opened, binary, width):
    page = opened(binary, width=width, evaluate=True)
    assert too_wide(page, width) == []


def test_keyboard(opened, single):
    page = opened(single)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"
    page.focus("#features th[data-column=name] button")
    page.keyboard.press("Enter")
    assert page.get_attribute("#features th[data-column=name]", "aria-sort") == "ascending"
    page.keyboard.press("Tab")
    outline = "getComputedStyle(document.activeElement).outlineStyle"
    assert page.evaluate(outline) == "solid"


def test_pictures_are_painted(opened, images):
    page = opened(images, rank(images, (5, 4)), image_shape=(5, 4))
    for name in ("importance-picture", "row-picture", "row-heat"):
        colours = page.evaluate(
            f"""() => {{
            const canvas = document.getElementById("{name}");
            const {{ width, height }} = canvas;
            const bytes = canvas.getContext("2d").getImageData(0, 0, width, height).data;
            return [width, height, new Set(new Uint32Array(bytes.buffer)).size];
        }}"""
        )
        assert colours[:2] == [4, 5] and colours[2] > 5


def test_what_is_not_shown_is_in_the_rest(opened, images):
    page = opened(images)
    rows = explain_rows(images, rank(images).order, 1000)
    shown = texts(page, "#waterfall tbody td.number")
    shown = [float(text.replace("−", "-")) for text in shown]
    assert len(shown) == 17 and shown[-1] == pytest.approx(rows.sums[0], abs=1e-3)
    page.click("#row-more")
    assert page.locator("#waterfall tbody tr").count() == 21


def test_missing_values_are_called_so(opened, single):
    ranking, rows = rank(single), explain_rows(single, rank(single).order, 5)
    rows.cells[0, 0] = ""
    made = make_page(single, "A report", ranking, None, None, n_rows=0, evaluate=False)
    page = opened(single, made=replace(made, rows=rows))
    assert texts(page, "#waterfall tbody td:nth-child(2)")[0] == "missing"


def test_where_no_few_features_decide_bars_start_at_zero(opened, single, monkeypatch):
    monkeypatch.setattr(_rows, "FEATURES_PER_ROW", 3)
    page = opened(single)
    assert page.locator("#row-apart").is_hidden()
    ranking, rows = rank(single), explain_rows(single, rank(single).order, 5)
    made = make_page(single, "A report", ranking, None, None, n_rows=0, evaluate=False)
    page = opened(single, made=replace(made, rows=replace(rows, rest=rows.rest + 1000)))
    assert page.locator("#row-apart").is_visible()
    bars = page.locator("#waterfall tbody rect")
    widths = [float(bars.nth(i).get_attribute("width")) for i in range(5)]
    assert max(widths[:3]) > 40 and max(widths[3:]) < 1
    assert texts(page, "#waterfall tbody th")[3:] == ["2 other features", "Sum"]


def test_hostile_names(opened, single, tmp_path):
    X = single.X.set_axis(pd.Index((HOSTILE * 5)[:40], dtype=object), axis="index")
    study = replace(single, class_names=(HOSTILE[1], HOSTILE[3]), target=HOSTILE[0])
    object.__setattr__(study, "X", X)
    page = opened(study, replace(rank(single), names=HOSTILE[:5]))
    assert page.title() == "A report"
    assert page.locator("img").count() == 0
    assert HOSTILE[0] in texts(page, "#features tbody th")
    page.fill("#feature-search", "49")
    page.fill("#feature-search", "{{ 7")
    assert texts(page, "#features tbody th") == [HOSTILE[2]]
    page.fill("#feature-search", "")
    _, lines = downloaded(page, "#feature-csv")
    written = {line[1] for line in lines[1:]}
    # As they are, but for what a spreadsheet would run.
    assert written == {*HOSTILE[:3], f"'{HOSTILE[3]}", HOSTILE[4]}
    page.click("#row-next")
    assert HOSTILE[1] in page.inner_text("#row-about") or HOSTILE[3] in page.inner_text(
        "#row-about"
    )
    for width in (390, 1280):
        page.set_viewport_size({"width": width, "height": 900})
        assert too_wide(page, width) == []


def test_without_a_script(browser, tmp_path, single):
    made = make_page(single, "A report", rank(single), score(single), None, evaluate=False)
    path = write(render(made), tmp_path / "report.html")
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(path.as_uri())
    assert texts(page, "#features tbody th") == [single.X.columns[i] for i in rank(single).order]
    assert page.locator("#feature-search").is_hidden()
    assert "Rows can be chosen where scripts run" in page.inner_text("#rows")
    context.close()
