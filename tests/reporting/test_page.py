from __future__ import annotations

import base64
import hashlib
import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest

from sknninterp.reporting._page import embedded, number, packed, payload, render, shades
from sknninterp.reporting._ranking import rank
from sknninterp.reporting._report import make_page
from sknninterp.reporting._scores import Scores, score
from sknninterp.reporting._training import Tried

from .conftest import HOSTILE  # isort: skip


class Reader(HTMLParser):
    """Elements by name, and texts of those that hold raw text."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.raw, self.inside = [], {}, None
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        self.inside = (tag, len(self.elements)) if tag in ("script", "style") else None

    def handle_data(self, data):
        if self.inside:
            self.raw[self.inside] = self.raw.get(self.inside, "") + data

    def handle_endtag(self, tag):
        self.inside = None

    def named(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]


def page_of(study, **options):
    return make_page(study, None, rank(study), score(study), None, **options)


@pytest.fixture(scope="module")
def page(binary):
    return page_of(binary)


@pytest.fixture(scope="module")
def html(page):
    return render(page)


def unpacked(packed_, kind):
    return np.frombuffer(base64.b64decode(packed_["data"]), dtype=f"<{kind}")


def test_data_of_the_script(page, html):
    reader = Reader(html)
    texts = [text for (tag, _), text in reader.raw.items() if tag == "script"]
    data = json.loads(texts[0])
    assert data == payload(page)
    assert data["features"]["names"] == [*"abdef"]
    np.testing.assert_allclose(
        unpacked(data["features"]["importance"], "f4"), page.ranking.importance, rtol=1e-6
    )
    np.testing.assert_allclose(
        unpacked(data["features"]["high"], "f4"), page.ranking.limits[1], rtol=1e-6
    )
    rows = data["rows"]
    shape = page.rows.values.shape
    np.testing.assert_array_equal(
        unpacked(rows["features"], "u4").reshape(shape), page.rows.features
    )
    cells = np.array(rows["texts"])[unpacked(rows["cells"], "u4")].reshape(shape)
    np.testing.assert_array_equal(cells, page.rows.cells)
    assert data["classes"] == ["ill", "well"] and data["towards"] == "well"


def test_the_policy_lets_its_own_style_and_script_run_and_no_other(html):
    reader = Reader(html)
    policy = reader.named("meta")[1]["content"]
    assert policy.startswith("default-src 'none'; ")
    for tag in ("script", "style"):
        text = [text for (name, _), text in reader.raw.items() if name == tag][-1]
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy
    assert not any(
        "style" in attributes or "onclick" in attributes for _, attributes in reader.elements
    )


def test_it_fetches_nothing(html):
    reader = Reader(html)
    for _, attributes in reader.elements:
        for name in ("src", "srcset", "action", "xlink:href"):
            assert name not in attributes
        if "href" in attributes:
            assert attributes["href"].startswith("#") or attributes["href"] == "data:,"
    assert "http" not in re.sub(r"http-equiv|http://www\.w3\.org/2000/svg", "", html)


def test_what_can_be_read_without_a_script(page, html):
    text = re.sub(r"<[^>]+>", " ", html.split('<script type="application/json"')[0])
    for caution in page.cautions:
        assert caution.title in text
    for name in (*"abdef", "this network", "random forest", "Rank correlation", "Training curve"):
        assert name in text


def test_it_can_be_used_with_a_screen_reader(html):
    reader = Reader(html)
    assert reader.named("html") == [{"lang": "en"}]
    assert all("scope" in one for one in reader.named("th"))
    assert len(reader.named("caption")) == len(reader.named("table"))
    labelled = re.findall(r"<label[^>]*>[^<]*<(?:input|select)", html)
    assert len(labelled) == len(reader.named("input")) + len(reader.named("select"))
    ids = [attributes["id"] for _, attributes in reader.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    for link in reader.named("a"):
        assert link["href"].removeprefix("#") in ids
    for drawing in reader.named("svg"):
        assert "aria-label" in drawing or drawing.get("aria-hidden") == "true"


@pytest.mark.parametrize("kind", ["single", "multiclass", "regression"])
def test_other_kinds(kind, request):
    study = request.getfixturevalue(kind)
    text = render(page_of(study, evaluate=False))
    assert ('id="row-wrong"' in text) == study.is_class
    assert ('id="feature-class"' in text) == (kind == "multiclass")
    assert "It was not examined for this page." in text


def test_little_is_known(single):
    study = replace(single, y=None, X_train=None, y_train=None)
    text = render(page_of(study, n_rows=0, evaluate=False))
    assert 'id="scores"' not in text and 'id="rows"' not in text and '"rows":null' in text


def test_images(images):
    text = render(page_of(images, image_shape=(5, 4), evaluate=False))
    assert 'id="row-heat"' in text and 'id="importance-picture"' in text
    assert '"image":[5,4]' in text


def test_notes_search_and_spreads(single):
    page = page_of(single, evaluate=False, notes=("A <note>.",))
    scores = Scores(["AUC"], [False], {"this network": [0.5]}, (np.nan, np.nan), "", [0.25])
    tried = Tried("Tried", ["rate"], [["0.1"], ["0.2"]], 1)
    text = render(replace(page, scores=scores, tried=tried))
    assert "A &lt;note&gt;." in text and "0.500 ± 0.250" in text
    assert re.search(r'<tr class="own"><td>0.2</td><td>chosen</td></tr>', text)


def test_hostile_names(table, single):
    X, y = table
    X = X.iloc[80:].copy()
    X.index = pd.Index((HOSTILE * 5)[:40], dtype=object)
    study = replace(single, target=HOSTILE[0], class_names=(HOSTILE[1], HOSTILE[2]))
    ranking = replace(rank(single), names=HOSTILE[:5])
    object.__setattr__(study, "X", X)
    page = make_page(study, HOSTILE[0], ranking, None, None, evaluate=False)
    text = render(replace(page, scores=score(single)))
    reader = Reader(text)
    assert len(reader.named("script")) == 2 and reader.named("img") == []
    data = json.loads([text for (tag, _), text in reader.raw.items() if tag == "script"][0])
    assert data["features"]["names"] == HOSTILE[:5]
    assert data["rows"]["names"][:8] == HOSTILE


def test_embedded_json_ends_no_script():
    text = embedded({"a": "</script><!--\u2028&"})
    assert not set("<>&") & set(text) and text.isascii()
    assert json.loads(text) == {"a": "</script><!--\u2028&"}
    with pytest.raises(ValueError, match="JSON"):
        embedded([float("nan")])


def test_packed():
    assert packed(None, "f4") is None
    assert unpacked(packed(np.arange(3)[::-1], "u4"), "u4").tolist() == [2, 1, 0]


def test_shades():
    cells = np.array([[1, "a", 5.0], [3, "b", np.nan], [2, "c", 7.0]], dtype=object)
    np.testing.assert_allclose(
        shades(cells), [[0, np.nan, 0], [1, np.nan, np.nan], [0.5, np.nan, 1]]
    )
    np.testing.assert_allclose(shades(np.ones((3, 1))), 0.5)


@pytest.mark.parametrize(
    ("value", "text"), [(0.12345, "0.123"), (np.nan, "–"), (-2.5, "-2.500"), (12345.6, "1.235e+04")]
)
def test_numbers(value, text):
    assert number(value) == text
