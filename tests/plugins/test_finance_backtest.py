"""The back-test finds an effect that is there, none that is not, and never looks ahead."""

from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmsdk.errors import InputError
from mmsdk_finance.backtest import Plan, Prices, Signal, backtest, daily_signals

TICKERS = ("AA", "BB", "CC", "DD", "EE", "FF")
MONDAY = date(2025, 1, 6)


def trading_days(count: int) -> tuple[date, ...]:
    days = (MONDAY + timedelta(days=n) for n in range(3 * count))
    return tuple(day for day in days if day.weekday() < 5)[:count]


def made(effect: float, *, days: int = 250, seed: int = 1) -> tuple[list[Signal], Prices]:
    """Prices whose return of the next day is ``effect`` times today's sentiment, and noise."""
    chance = np.random.default_rng(seed)
    calendar = trading_days(days)
    mood = chance.uniform(-1, 1, (days, len(TICKERS)))
    moves = 0.01 * chance.standard_normal((days, len(TICKERS)))
    moves[1:] += effect * mood[:-1]
    noon = [datetime.combine(day, time(12), UTC).timestamp() for day in calendar]
    signals = [(t, noon[d], float(mood[d, n])) for d in range(days) for n, t in enumerate(TICKERS)]
    return signals, Prices(calendar, TICKERS, np.asarray(100 * np.cumprod(1 + moves, axis=0), np.float64))


def test_an_effect_that_is_there_is_found_and_earns_after_costs() -> None:
    outcome = backtest(*made(0.01))
    assert outcome.verdict.startswith("An effect")
    assert outcome.outside.ic > 0.3
    assert outcome.outside.ic_t > 5
    assert outcome.placebo_p < 0.02
    assert 0 < outcome.outside.net < outcome.outside.gross
    path, strength = outcome.events["positive"]
    assert len(path) == 16
    assert path.index(max(path)) == 5
    assert strength > 5
    assert outcome.events["negative"][0][5] < 0


def test_no_effect_is_said_to_be_none() -> None:
    verdicts = [backtest(*made(0.0, seed=seed)).verdict for seed in range(4)]
    assert all(verdict.startswith("No effect") for verdict in verdicts)
    assert "Nothing here says" in verdicts[0]


def test_an_effect_of_the_day_itself_is_no_effect_of_the_next() -> None:
    """Sentiment that follows prices must not look like sentiment that leads them."""
    signals, prices = made(0.0)
    same_day = prices.close[1:] / prices.close[:-1] - 1
    signs = np.sign(np.vstack([np.zeros(len(TICKERS)), same_day]))
    late = [(ticker, at + 6 * 3600, float(signs[d, n])) for d, n, (ticker, at, _) in _placed(signals)]
    assert backtest(late, prices).verdict.startswith("No effect")


def _placed(signals: list[Signal]) -> list[tuple[int, int, Signal]]:
    return [(place // len(TICKERS), place % len(TICKERS), signal) for place, signal in enumerate(signals)]


@settings(max_examples=40, deadline=None)
@given(st.integers(5, 40), st.lists(st.tuples(st.floats(0, 5e6), st.floats(-1, 1)), max_size=8))
def test_no_day_knows_what_came_after_its_cutoff(day: int, later: list[tuple[float, float]]) -> None:
    signals, prices = made(0.01, days=60)
    cutoff = datetime.combine(prices.days[day], Plan().cutoff, UTC).timestamp()
    known = [signal for signal in signals if signal[1] < cutoff]
    more = [("AA", cutoff + after, value) for after, value in later]
    one, other = (daily_signals(some, prices, cutoff=Plan().cutoff) for some in (known, [*signals, *more]))
    np.testing.assert_array_equal(one[: day + 1], other[: day + 1])


def test_returns_of_a_day_need_only_prices_of_that_day_and_later_ones() -> None:
    _, prices = made(0.01, days=40)
    changed = replace(prices, close=np.where(np.arange(40)[:, None] < 20, 7.0, prices.close))
    np.testing.assert_array_equal(prices.returns(1)[20:], changed.returns(1)[20:])
    assert np.isnan(prices.returns(3)[-3:]).all()


def test_news_of_the_weekend_and_after_the_cutoff_belongs_to_the_next_trading_day() -> None:
    _, prices = made(0.0, days=10)

    def of(moment: str) -> int:
        at = datetime.fromisoformat(moment).timestamp()
        found = daily_signals([("AA", at, 1.0)], prices, cutoff=time(19, 30))
        return int(np.nonzero(np.isfinite(found[:, 0]))[0][0])

    assert prices.days[of("2025-01-07T19:29:59+00:00")] == date(2025, 1, 7)
    assert prices.days[of("2025-01-07T19:30:00+00:00")] == date(2025, 1, 8)
    assert prices.days[of("2025-01-11T12:00:00+00:00")] == date(2025, 1, 13)
    old = daily_signals([("AA", 0.0, 1.0), ("ZZ", 1e9, 1.0)], prices, cutoff=time(19, 30))
    assert not np.isfinite(old).any()


def test_costs_take_what_they_cost() -> None:
    signals, prices = made(0.01)
    free, dear = (backtest(signals, prices, plan=Plan(cost=cost, placebos=5)).outside for cost in (0.0, 0.01))
    assert free.net == free.gross
    assert dear.net == pytest.approx(dear.gross - 0.01 * dear.turnover)


def test_names_without_prices_on_a_day_take_no_part() -> None:
    signals, prices = made(0.01)
    holes = prices.close.copy()
    holes[::7, 2] = np.nan
    outcome = backtest(signals, replace(prices, close=holes))
    assert outcome.verdict.startswith("An effect")


def test_too_little_is_refused() -> None:
    signals, prices = made(0.01, days=10)
    with pytest.raises(InputError, match="20 are the least"):
        backtest(signals, prices)


def test_prices_are_read_from_files_and_mistakes_are_named(tmp_path: Path) -> None:
    (tmp_path / "AA.csv").write_text("Date,Close,Adj Close\n2025-01-06,10,9\n2025-01-07,11,10\n")
    (tmp_path / "more.csv").write_text("date,ticker,close\n2025-01-07,BB,5\n")
    prices = Prices.read([tmp_path / "AA.csv", tmp_path / "more.csv"])
    assert prices.tickers == ("AA", "BB")
    assert prices.close[0, 0] == 9
    assert np.isnan(prices.close[0, 1])
    for text, message in (
        ("day,price\n", "needs the columns"),
        ("Date,Close\n2025-01-06,-1\n", "line 2: the price '-1'"),
        ("Date,Close\nsoon,1\n", "line 2"),
        ("Date,Close\n2025-01-06,1\n", "two days"),
    ):
        (tmp_path / "bad.csv").write_text(text)
        with pytest.raises(InputError, match=message):
            Prices.read([tmp_path / "bad.csv"])
