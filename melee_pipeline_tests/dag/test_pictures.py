"""Small drawings: small enough for Dagster to show them on the page itself, and to scale."""

from __future__ import annotations

import base64
import re
from dataclasses import replace
from itertools import pairwise
from xml.etree import ElementTree

import pytest

from melee_pipeline.dag.pictures import game_lengths, lines
from melee_pipeline.replays.index import KEPT, IndexRow

SHOWN_ON_THE_PAGE = 1000  # characters of Markdown, in Dagster 1.13


def drawing(markdown: str) -> ElementTree.Element:
    """The SVG of a picture."""
    assert len(markdown) < SHOWN_ON_THE_PAGE
    found = re.fullmatch(r"!\[\]\(data:image/svg\+xml;base64,(.*)\)", markdown)
    assert found
    return ElementTree.fromstring(base64.b64decode(found[1]))


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("length", [1, 2, 20, 5000])
def test_lines_fall_where_their_values_do(count: int, length: int) -> None:
    values = [12345.678 / (i + 1) for i in range(length)]
    svg = drawing(lines({f"a long model's name {n}": values for n in range(count)}))
    drawn = [line.attrib["points"] for line in svg.iter("{http://www.w3.org/2000/svg}polyline")]
    assert len(drawn) == count
    points = [tuple(map(int, point.split(","))) for point in drawn[0].split()]
    assert all(x < x2 and y <= y2 for (x, y), (x2, y2) in pairwise(points)), "down, to the right"
    texts = [text.text or "" for text in svg.iter("{http://www.w3.org/2000/svg}text")]
    assert texts[0].startswith("a long model's name 0 1.23e+04 → ")


def test_what_is_missing_is_left_out() -> None:
    assert lines({"a": [None, float("nan")], "b": []}) == "nothing to draw"
    svg = drawing(lines({"a": [1.0, None, 2.0], "b": [None]}))
    assert len(list(svg.iter("{http://www.w3.org/2000/svg}polyline"))) == 1


def test_lengths_of_many_games() -> None:
    row = IndexRow("", "", 0, KEPT, None, None, "")
    rows = [replace(row, frames=3600 * (1 + i % 8) + i) for i in range(22_000)]
    svg = drawing(game_lengths(rows))
    [text] = [text.text for text in svg.iter("{http://www.w3.org/2000/svg}text")]
    assert text == "22,000 games, 1.0 to 14.1 minutes"
    assert game_lengths([]) == "no games"
