"""Pictures: which curves belong together, how they are labelled, and what is in the files."""

from __future__ import annotations

import csv
import re

import numpy as np
import pytest

from accbo._figures import draw, files
from accbo._figures.panel import Curve, Panel, described, legend, local_slopes, table, typeset

pytest.importorskip("matplotlib")
X = np.array([1.0, 2.0, 4.0])
POWER = Panel(
    "A power of ε",
    "…",
    "1/ε",
    "n_t",
    [
        Curve("AccBO", X, 5 * X**3, 4 * X**3, 6 * X**3, group="a"),
        Curve("rival", X, 7 * X**4, group="b"),
        Curve("ε^(−4)", X, 7 * X**4, predicted=True, group="b"),
        Curve("ε^-3", X, 5 * X**3, predicted=True, group="a"),
        Curve("a bound", X, X, predicted=True),
    ],
    log_x=True,
    log_y=True,
    power_law=True,
)
NAMED = Panel("N", "…", "", "ratio", [Curve("r", [0, 1], [2.0, 3.0])], ticks=("one_thing", "two"))


def test_a_measurement_and_its_prediction_look_alike_wherever_they_stand() -> None:
    ours, rival, rivals_line, our_line, bound = draw.looks(POWER.curves)
    assert ours == our_line
    assert rival == rivals_line
    assert len({ours.colour, rival.colour, bound.colour}) == 3
    assert len({ours.marker, rival.marker}) == len({ours.dashes, rival.dashes}) == 2
    assert ours.colour == draw.COLOURS[0]


def test_without_colour_eight_kinds_of_points_differ() -> None:
    looks = draw.looks([Curve(str(k), X, X) for k in range(8)])
    assert len({(look.marker, look.hollow) for look in looks}) == 8


def test_the_legend_has_one_entry_for_both() -> None:
    handles, labels = draw._entries(POWER.curves)
    assert labels == ["AccBO (line: ε$^{-3}$)", "rival (line: ε$^{−4}$)", "a bound"]
    assert [handle.get_marker() for handle in handles] == ["o", "s", ""]
    pair = [Curve("m" * 30, X, X, group="g"), Curve("p" * 30, X, X, predicted=True, group="g")]
    assert legend(pair, 50) == f"{'m' * 30}\n(line: {'p' * 30})"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("T^(−1/3)", "T<−1/3>"),
        ("c·e^D/D", "c·e<D>/D"),
        ("ε^2.5, a", "ε<2.5>, a"),
        ("β²V_{t−1} + s_0", "β²V[t−1] + s[0]"),
        ("Var e_t", "Var e[t]"),
        ("‖e_n‖²/‖e_0‖²", "‖e[n]‖²/‖e[0]‖²"),
        ("(1 − s)^(2n)", "(1 − s)<2n>"),
        ("lower_tracking", "lower_tracking"),
    ],
)
def test_what_is_raised_and_lowered(text: str, expected: str) -> None:
    assert typeset(text, lambda part: f"<{part}>", lambda part: f"[{part}]") == expected


def test_the_data_of_a_picture_read_back() -> None:
    rows = list(csv.DictReader(table(POWER).splitlines()))
    assert len(rows) == sum(len(curve.x) for curve in POWER.curves)
    for curve in POWER.curves:
        own = [row for row in rows if row["curve"] == curve.label]
        assert {row["kind"] for row in own} == {"predicted" if curve.predicted else "measured"}
        np.testing.assert_array_equal([float(row["y"]) for row in own], curve.y)
        if curve.low is not None:
            np.testing.assert_array_equal([float(row["low"]) for row in own], curve.low)
        else:
            assert {row["low"] + row["high"] for row in own} == {""}


def test_local_slopes_of_a_power_are_its_exponent() -> None:
    middles, slopes = local_slopes(Curve("", X[::-1], 5 * X[::-1] ** -3))
    np.testing.assert_allclose(slopes, -3.0, rtol=1e-12)
    np.testing.assert_allclose(middles, np.sqrt(X[1:] * X[:-1]))
    figure = draw.figure(POWER)
    drawn = [line.get_ydata() for line in figure.axes[1].lines]
    np.testing.assert_allclose(np.concatenate(drawn[:2]), [3, 3, 4, 4], rtol=1e-12)


def test_the_files_hold_text_and_the_same_bytes_each_time() -> None:
    made = files.files("p", POWER)
    assert set(made) == {"p.pdf", "p.svg", "p.png", "p.csv"}
    picture = bytes(made["p.svg"]).decode()
    assert re.search(r"<text[^>]*>\s*a bound\s*</text>", picture)
    assert not re.search(r"\d{4}-\d\d-\d\dT", picture)
    assert bytes(made["p.pdf"]).startswith(b"%PDF")
    assert bytes(made["p.png"]).startswith(b"\x89PNG")
    assert files._saved("svg", "none", draw.figure, POWER).decode() == picture


def test_a_picture_in_a_page_is_described_and_has_ids_of_its_own() -> None:
    text = files.inline(POWER)
    assert text.startswith('<svg role="img" aria-label="A power of ε: n_t against 1/ε. AccBO: ')
    assert "from 5 at 1 to 320 at 4" in described(POWER)
    assert "<text" not in text
    ids = set(re.findall(r'\bid="([^"]+)"', text))
    assert ids.isdisjoint(re.findall(r'\bid="([^"]+)"', files.inline(POWER, small=True)))


def test_names_stand_one_below_the_other() -> None:
    (axes,) = draw.figure(NAMED).axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["one_thing", "two"]
    assert axes.get_ylim()[0] > axes.get_ylim()[1]
    assert list(axes.lines[0].get_xdata()) == [2.0, 3.0]
    assert axes.get_xlabel() == "ratio"
