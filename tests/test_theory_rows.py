"""What a row says: its kind, its allowance, its own false alarm; and how a run is printed."""

from __future__ import annotations

import itertools
import json
import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from scipy import stats

from theory_checks import printed, report, statistics
from theory_checks.harness import Piece, Settings, Verdict
from theory_checks.registry import CHECKS
from theory_checks.statistics import (
    ALPHA,
    Finding,
    at_least,
    at_most,
    between,
    diverged,
    equal_mean,
    equal_share,
    equal_variance,
    equal_within,
    estimated_mean,
    exact,
    near,
    power_of,
    self_normalised,
    share_p_value,
    shown,
    unjudged,
)
from theory_checks.sweep import run_checks

ROWS = {
    "equality": exact("q", 1.0, 1.0 + 1e-13, 1e-12),
    "count": exact("q", 7.0, 7.0, 0.0),
    "published": exact("q", 0.0404, 0.0403, 5e-3),
    "mean": equal_mean("q", 0.0, 0.1, 0.1),
    "variance": equal_variance("q", 2.0, 1.01, 16_000),
    "estimated": estimated_mean("q", 0.0, 0.1, 0.1, 256),
    "normalised": self_normalised("q", 1.2, 0.85),
    "within": equal_within("q", 1.0, 1.02, (0.9, 1.1)),
    "step": near("q", 10.0, 11.0, 1.0, "step"),
    "room": near("q", 1.0, 1.01, 0.03),
    "least": at_least("q", 1.0, 3.0, 0.1),
    "most": at_most("q", 1.0, 0.117),
    "range": between("q", 0.99, 1.0, 0.995),
    "share": equal_share("q", 210, 4000, 2000, 40_000),
    "shown": shown("q", 1.846, (1.76, 1.93)),
}
KINDS = {
    "equality": (
        *("equality", "count", "mean", "variance", "share"),
        *("estimated", "normalised", "within"),
    ),
    "band": ("published", "step", "room"),
    "bound": ("least", "most", "range"),
    "shown": ("shown",),
}


def test_every_row_knows_its_kind_and_its_allowance() -> None:
    assert {name: row.kind for name, row in ROWS.items()} == {
        name: kind for kind, names in KINDS.items() for name in names
    }
    assert {row.kind for row in ROWS.values()} == set(statistics.KINDS)
    found = {name: row.allowance for name, row in ROWS.items()}
    assert found == {
        "equality": "±1e-12",
        "count": "equal",
        "published": "±0.005",
        "mean": "z ≤ 6.1",
        "variance": "p ≥ 1e-9",
        "estimated": "t ≤ 7.2",
        "normalised": "W ≤ 7.1",
        "within": "0.9 … 1.1",
        "step": "±1 step",
        "room": "within 0.03",
        "least": "2.74 ≥ 1",
        "most": "≤ 1",
        "range": "0.99 … 1",
        "share": "p ≥ 1e-9",
        "shown": "not judged",
    }
    assert all(row.passed and row.used <= 1 for row in ROWS.values())


@pytest.mark.parametrize(
    "row",
    [
        exact("q", 1.0, 1.1, 1e-12),
        exact("q", 1.0, math.nan, 1e-12),
        exact("q", 1.0, math.inf, math.inf),  # its tolerance was made of it
        equal_mean("q", 0.0, 0.7, 0.1),
        equal_mean("q", 0.0, math.nan, 0.1),
        equal_variance("q", 2.0, 1.2, 16_000),
        estimated_mean("q", 0.0, 0.73, 0.1, 256),
        estimated_mean("q", 0.0, math.nan, 0.1, 256),
        estimated_mean("q", 0.0, 0.1, 0.0, 256),
        self_normalised("q", -6.6),
        self_normalised("q", math.nan),
        equal_within("q", 1.0, 0.89, (0.9, 1.1)),
        equal_within("q", 1.0, math.nan, (0.9, 1.1)),
        near("q", 10.0, 12.0, 1.0, "step"),
        at_least("q", 1.0, 1.1, 0.1),
        at_most("q", 1.0, 1.117),
        at_most("q", 1.0, math.nan),
        at_most("q", -0.28, -0.2924, 0.0056),
        at_least("q", -3.5, -3.0, 0.3),
        between("q", 0.99, 1.0, 1.001),
        equal_share("q", 400, 4000, 2000, 40_000),
        equal_share("q", 60, 4000, 2000, 40_000),
        diverged("q", 3.0),
    ],
)
def test_a_row_that_fails_used_more_than_it_may(row: Finding) -> None:
    assert not row.passed
    assert not row.used <= 1
    assert printed.mark(row) == f"FAIL {row.allowance}"
    assert not Verdict(None, [row], 0.0).passed


def test_what_is_shown_is_never_ok_and_makes_no_verdict() -> None:
    row = ROWS["shown"]
    assert not Verdict(None, [row], 0.0).passed  # nothing was judged
    assert Verdict(None, [row, ROWS["count"]], 0.0).passed
    assert printed.mark(row) == "shown"
    assert "ok" not in printed.row(row)


def test_no_row_says_exact_and_a_band_says_how_wide_it_is() -> None:
    for row in ROWS.values():
        assert "exact" not in printed.row(row)
    assert printed.mark(ROWS["room"]) == "ok within 0.03"
    assert printed.mark(ROWS["step"]) == "ok ±1 step"


def test_no_row_with_chance_in_it_is_a_band() -> None:
    """What is sampled is equal to its prediction, bounded, or shown: no hand sets its room."""
    assert all(row.interval is None for row in ROWS.values() if row.kind == "band")


def test_the_ends_of_a_range_are_told_apart() -> None:
    assert between("q", 0.9985, 0.99999, 0.999).allowance == "0.999 … 1"
    assert between("q", 0.5, 0.5, 0.5).allowance == "0.5 … 0.5"


def test_a_long_quantity_has_a_line_of_its_own() -> None:
    lines = printed.row(exact("x" * 60, 1.0, 1.0, 0.0)).splitlines()
    assert [len(line) <= 80 for line in lines] == [True, True]


# --- false alarms ----------------------------------------------------------------------------


def test_without_chance_there_is_no_false_alarm() -> None:
    for name in ("equality", "count", "published", "step", "room", "most", "range"):
        assert ROWS[name].false_alarm == 0
    for name in ("mean", "variance", "share", "estimated", "normalised", "within"):
        assert ROWS[name].false_alarm == ALPHA


def test_the_chance_that_a_fresh_seed_fails_by_simulation() -> None:
    """Two seeds scatter by √2 errors: over 20,000 pairs, as often as the first ones say."""
    generator = np.random.default_rng(0)
    truth, error, pairs = 0.03, 0.01, 20_000
    first, second = truth + error * generator.standard_normal((2, pairs))
    said, failed = [], []
    for one, other in zip(first, second, strict=True):
        row = at_most("q", 0.07, one, error)
        if row.passed:
            said.append(row.false_alarm)
            failed.append(not at_most("q", 0.07, other, error).passed)
    stated, seen = float(np.mean(said)), float(np.mean(failed))
    # said lies above seen: near the bound the ones that pass are the lucky ones
    assert seen < stated + 4.9 * math.sqrt(stated / len(said))
    assert stated < 3 * stats.norm.sf((0.07 - 2.576 * error - truth) / error)


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (at_most("q", 0.1, 0.09, 0.01), "0.87"),
        (at_least("q", 1.0, 0.9, 0.01), "1"),
        (at_most("q", 1.0, 1.1), "1"),
        (at_most("q", 1.0, math.nan, 0.1), "1"),
    ],
)
def test_code_whose_bound_failed_fails_again_as_often_as_it_says(row: Finding, said: str) -> None:
    """The more often, the farther off it is: that it failed is no reason not to know."""
    assert row.false_alarm > 0.5
    verdict = Verdict(SimpleNamespace(), [row, ROWS["mean"]], 0.0)
    assert 0.5 < verdict.false_alarm <= 1
    sentence = printed.alarm([verdict])
    assert sentence.startswith("The same code fails with another seed with probability " + said)
    json.dumps(report._finding(row), allow_nan=False)


def test_no_promise_goes_beyond_what_is_known_of_a_mean() -> None:
    far = at_most("q", 1.0, 0.0, 0.01)
    assert far.false_alarm == statistics.LEAST_ALARM
    known, guessed = (
        at_most("q", 1.0, 0.92, 0.01, freedom=freedom).false_alarm for freedom in (None, 15)
    )
    assert statistics.LEAST_ALARM < known < guessed / 10


def test_the_end_that_decides_stands_in_the_row() -> None:
    row = at_most("q", -0.28, -0.2924, 0.0056)
    assert printed.mark(row) == "FAIL -0.278 ≤ -0.28"
    assert printed.mark(at_least("q", 0.7, 0.7125, 0.0048)) == "ok 0.7001 ≥ 0.7"
    assert len(printed.row(row)) <= printed.WIDTH
    verdict = Verdict(_check([row]), [row], 0.0)
    text = " ".join(printed.summary(verdict, Settings(), rows=True).split())
    assert printed.ENDS in text


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("bound", [0.7, 0.0, -0.28])
def test_what_a_sampled_bound_uses_is_the_half_width_over_the_distance(
    bound: float, sign: int
) -> None:
    decide = at_most if sign > 0 else at_least
    row = decide("q", bound, bound - sign * 0.05, 0.01)
    assert row.used == pytest.approx(statistics.half_width() * 0.01 / 0.05)


def test_what_a_bound_without_chance_uses_is_its_share_of_an_allowance() -> None:
    assert at_most("q", 2.0, 0.5).used == 0.25
    assert at_least("q", -2.0, -0.5).used == 0.25
    assert at_least("q", -2.0, 0.5).used == 0.0
    assert at_least("q", 1 - 1e-9, 1.01).used == 0.0  # no allowance: what must be exceeded


def test_a_row_that_is_not_judged_keeps_its_numbers() -> None:
    row = unjudged(at_most("q", 0.1, 0.2, 0.01))
    assert (row.kind, row.predicted, row.measured) == ("shown", 0.1, 0.2)
    assert row.false_alarm == 0


# --- errors that the values estimate -----------------------------------------------------------


@pytest.mark.parametrize("size", [60, 256, 4000])
def test_a_mean_is_judged_by_the_sum_over_the_root_of_the_sum_of_squares(size: int) -> None:
    """Just inside and just outside of 2 exp(−W²/2) = 1e-9, by the values themselves."""
    values = np.random.default_rng(size).standard_t(3, size)
    wanted = math.sqrt(2 * math.log(2 / ALPHA))
    centred = values - values.mean()
    for share, holds in ((0.999, True), (1.001, False)):
        w = share * wanted
        shift = w * math.sqrt(np.sum(centred**2) / (size * (size - w * w)))
        moved = centred + shift
        assert np.sum(moved) / math.sqrt(np.sum(moved**2)) == pytest.approx(w)
        error = float(np.std(moved, ddof=1)) / math.sqrt(size)
        assert estimated_mean("q", 0.0, float(np.mean(moved)), error, size).passed == holds
        assert self_normalised("q", w).passed == holds
        assert self_normalised("q", w / math.sqrt(0.85), 0.85).passed == holds


def test_signs_exceed_the_bound_less_often_than_it_says() -> None:
    """Of 200 signs W = Σx/√200, whose law is binomial: the least symmetric values can do."""
    count = np.arange(201)
    sums = np.abs(2 * count - 200) / math.sqrt(200)
    chance = stats.binom.pmf(count, 200, 0.5)
    for w in (1.0, 3.0, 5.0):
        assert np.sum(chance[sums > w]) <= 2 * math.exp(-w * w / 2)
    failed = np.array([not self_normalised("q", each).passed for each in sums])
    assert 0 < np.sum(chance[failed]) < ALPHA


def test_power_of_a_row_without_width_is_1() -> None:
    assert power_of(equal_mean("q", 1.0, 1.0, 0.0), 0.1) == 1.0
    assert power_of(equal_mean("q", 1.0, 1.0, 0.01), 0.1) == pytest.approx(
        stats.norm.cdf(10 - statistics._Z)
    )


# --- the first screen ------------------------------------------------------------------------


def test_every_check_has_a_line_for_the_first_screen() -> None:
    for name, check in CHECKS.items():
        assert 10 <= len(check.IN_WORDS) <= 45, name
        assert len(f"     {name} does not show {check.NOT_SHOWN}") <= 80, name


def _check(rows: list[Finding], name: str = "made_up") -> Any:
    return SimpleNamespace(
        NAME=name,
        CLAIM="c",
        SOURCE="SPEC 4.1",
        EFFECT="e",
        IN_WORDS="a claim",
        NOT_SHOWN="another",
        pieces=lambda settings: [Piece(name, (0,), 1.0)],
        judge=lambda settings, outcomes: rows,
        power=lambda *_: 1.0,
    )


def test_rows_are_printed_where_something_failed_or_when_asked_for() -> None:
    good, bad = ROWS["room"], exact("the bad one", 1.0, 2.0, 0.0)
    check = _check([good, bad])
    passed, failed = Verdict(check, [good], 0.1), Verdict(check, [good, bad], 0.1)
    assert printed.summary(passed, Settings(), rows=False).count("\n") == 1
    assert "ok within 0.03" in printed.summary(passed, Settings(), rows=True)
    text = printed.summary(failed, Settings(), rows=False)
    assert text.startswith("FAIL a claim")
    assert "the bad one" in text
    assert "within 0.03" not in text
    assert "1 of 2 rows; -v prints all" in text
    for each in (text, printed.total([passed, failed], 1.0, 2), printed.head()):
        assert max(map(len, each.splitlines())) <= printed.WIDTH


def test_the_total_counts_what_was_judged() -> None:
    verdict = Verdict(_check(list(ROWS.values())), list(ROWS.values()), 1.5)
    text = " ".join(printed.total([verdict], 1.0, 1).split())
    assert "1 of 1 checks passed in 1.0 s, 1.5 core-seconds, 1 process." in text
    assert "8 equalities, 3 bands, 3 bounds; shown beside them: 1." in text


def test_a_verdict_is_told_before_the_next_check_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []

    def measured(settings: Settings, piece: Piece) -> tuple[dict[str, Any], float]:
        seen.append(f"measured {piece.check}")
        return {}, 0.0

    monkeypatch.setattr("theory_checks.sweep.measure", measured)
    checks = [_check([ROWS["count"]], name) for name in ("one", "two")]
    run_checks(checks, Settings(), each=lambda verdict: seen.append(f"told {verdict.check.NAME}"))
    assert seen == ["measured one", "told one", "measured two", "told two"]


def test_a_count_beyond_a_simulated_quantile_is_beta_binomial() -> None:
    """By counting orders: of 3 + 2 values, all 10 places of the 2 among the 5 are alike."""
    seen = [
        share_p_value(sum(place < cut for place in places), 2, 1, 3)
        for places in itertools.combinations(range(5), 2)
        for cut in [min(set(range(5)) - set(places))]
    ]
    # above the largest of the 3: 2 of them once, 1 three times, none six times
    assert sorted(seen) == pytest.approx([0.2] + [0.8] * 3 + [1.0] * 6)


@pytest.mark.parametrize("measured", [0.056, 0.0123, 3e-9, 0.98, 1.0])
def test_columns_of_the_first_screen_do_not_touch(measured: float) -> None:
    check = max(CHECKS.values(), key=lambda check: len(check.IN_WORDS))
    verdict = Verdict(check, [at_most("q", 1.0, measured)] * 12, 123.4)
    line = printed.summary(verdict, Settings(), rows=False).splitlines()[0]
    numbers = line.removeprefix("pass ").removeprefix(check.IN_WORDS).split()
    assert len(numbers) == 5, line  # equalities, bands, bounds, used, seconds
    assert len(line) <= printed.WIDTH
