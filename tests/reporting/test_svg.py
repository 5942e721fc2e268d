from __future__ import annotations

import re
from xml.etree import ElementTree

import numpy as np
import pytest

from sknninterp.reporting._svg import Line, line_chart, nice_ticks, shortened, swarm


def parsed(text):
    return ElementTree.fromstring(f"<div>{text}</div>")


def test_lines_are_where_the_values_are():
    chart = line_chart([Line("up", [0, 1, 2], [0, 5, 10])], "x", "y", "t", width=466, height=250)
    (d,) = re.findall(r'<path class="line c0" d="(M\d[^"]*)"', chart.split("<ul")[0])
    points = [[float(v) for v in one.split()] for one in re.split("[ML]", d)[1:]]
    # Inside the margins: from the left bottom to the right top.
    assert points == [[52, 210], [252, 110], [452, 10]]
    assert parsed(chart) is not None


def test_steps_bands_and_single_points():
    step = line_chart([Line("s", [0, 1], [2, 1], step=True)], "x", "y", "t", from_zero=True)
    assert re.search(r'class="line c0" d="M[\d.]+ [\d.]+H[\d.]+V[\d.]+"', step)
    assert ">0</text>" in step
    band = line_chart([Line("b", [0, 1], [2, 1], band=([1, 0], [3, 2]))], "x", "y", "t")
    assert 'class="band c0"' in band and ">3</text>" in band
    dot = line_chart([Line("d", [1], [2.0], "c1")], "x", "y", "t")
    assert 'class="dot c1"' in dot


def test_gaps_are_left_out():
    chart = line_chart([Line("g", [0, 1, 2], [1, np.nan, 3])], "x", "y", "t")
    assert "nan" not in chart


@pytest.mark.parametrize("text", ['<b>"', "a & b"])
def test_texts_are_escaped(text):
    chart = line_chart([Line(text, [0, 1], [0, 1])], text, text, text)
    tree = parsed(chart)
    assert tree.find("svg").get("aria-label") == text
    assert tree.find("p").text == text
    points = swarm(np.ones((2, 1)), np.ones((2, 1)), [text], text, text)
    assert parsed(points).find(".//title").text == text


def test_swarm():
    values = np.array([[1.0, -2], [1, 0], [1, 2]])
    shades = np.array([[0, 0.5], [0.5, np.nan], [1, 1]])
    tree = parsed(swarm(values, shades, ["first", "second"], "label", "title"))
    drawn = [(p.get("class"), p.get("d")) for p in tree.iter("path") if "swarm" in p.get("class")]
    assert [kind for kind, _ in drawn] == [
        "swarm s0", "swarm s3", "swarm s6", "swarm none", "swarm s3", "swarm s6",
    ]  # fmt: skip
    x = [float(d[1:].split()[0]) for _, d in drawn]
    assert x[0] == x[1] == x[2]  # the same value, at three heights
    assert len({d.split()[1] for _, d in drawn[:3]}) == 3
    # From -2, at the left end, to 2, at the right one.
    assert sorted(x[3:]) == [210, 475, 740]


def test_swarm_of_nothing_but_zeros():
    assert "nan" not in swarm(np.zeros((2, 1)), np.zeros((2, 1)), ["a"], "l", "t")


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0, 1, [0, 0.2, 0.4, 0.6, 0.8, 1]),
        (-3, 3, [-4, -2, 0, 2, 4]),
        (0.31, 0.97, [0.2, 0.4, 0.6, 0.8, 1.0]),
        (5, 5, [5, 6, 7, 8, 9, 10]),
        (0, 1e-7, [0, 2e-8, 4e-8, 6e-8, 8e-8, 1e-7]),
    ],
    ids=str,
)
def test_ticks(low, high, expected):
    assert nice_ticks(low, high) == pytest.approx(expected, abs=1e-12)


def test_long_names_keep_both_ends():
    assert shortened("short", 10) == "short"
    assert shortened("0123456789abcdef", 10) == "012345…def"
