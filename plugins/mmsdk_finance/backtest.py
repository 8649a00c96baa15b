"""Whether past sentiment said anything of later returns: information coefficient, event study, a strategy, a placebo.

Only what was published before the cut-off of a trading day makes that day's signal; the position is taken at that
day's close and held to a later one. The verdict rests on the days after the split and on the placebo, and says
plainly when there is no effect. Nothing is fitted, so nothing can be fitted too well; prices are the user's.
"""

import csv
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mmsdk.errors import InputError

Floats = NDArray[np.float64]
Signal = tuple[str, float, float]
"""Ticker, time in seconds since 1970, value in [-1, 1]."""
YEAR = 252
_LEAST_NAMES = 3
_EARLIEST = 4 * 86400.0
"""News older than this before the first cut-off belongs to days without prices."""


@dataclass(frozen=True)
class Plan:
    """Say how signals are tried.

    ``cutoff`` is the time of day (UTC) until which news counts for a trading day, ``horizon`` the days held, ``cost``
    what a turned-over unit costs, ``split`` the share of days before the out-of-sample part, ``placebos`` how often
    the dates are shuffled.
    """

    cutoff: time = time(19, 30)
    horizon: int = 1
    cost: float = 0.0005
    split: float = 0.6
    placebos: int = 200
    seed: int = 0


@dataclass(frozen=True)
class Prices:
    """Hold closing prices ``[day, ticker]``, NaN where there is none, of the trading days in order."""

    days: tuple[date, ...]
    tickers: tuple[str, ...]
    close: Floats

    @classmethod
    def read(cls, files: Iterable[str | Path]) -> "Prices":
        """Read CSV files with Date and Adj Close or Close (any case), one a ticker by its name or with a column ticker.

        Raises ``InputError`` naming file and line.
        """
        found: dict[tuple[date, str], float] = {}
        for file in files:
            for day, ticker, price in _rows(Path(file)):
                found[day, ticker] = price
        days = tuple(sorted({day for day, _ in found}))
        tickers = tuple(sorted({ticker for _, ticker in found}))
        if len(days) < 2:
            raise InputError("a back-test needs prices of two days or more")
        close = np.full((len(days), len(tickers)), np.nan)
        row, column = ({key: n for n, key in enumerate(keys)} for keys in (days, tickers))
        for (day, ticker), price in found.items():
            close[row[day], column[ticker]] = price
        return cls(days, tickers, close)

    def returns(self, horizon: int) -> Floats:
        """Give the return from each day's close to the close ``horizon`` trading days later, NaN at the end."""
        later = np.full_like(self.close, np.nan)
        later[:-horizon] = self.close[horizon:] / self.close[:-horizon] - 1
        return later


@dataclass(frozen=True)
class Part:
    """Hold the figures of some days. ``ic`` is the mean daily rank correlation, with its t-statistic over the days.

    ``gross`` and ``net`` are mean daily returns of a portfolio long good and short bad sentiment, before and after
    costs; ``sharpe`` is of the net returns, a year.
    """

    days: int
    ic: float
    ic_t: float
    gross: float
    net: float
    net_t: float
    sharpe: float
    turnover: float


@dataclass(frozen=True)
class Outcome:
    """Hold what a back-test found: both parts, the placebo's p-value, the event study, and the verdict in words.

    ``events`` gives by side the mean return less that of all names, for each day from ``-5`` to ``10`` around strong
    sentiment (0 is the first that could be earned), and the t-statistic of day 0.
    """

    inside: Part
    outside: Part
    placebo_p: float
    events: Mapping[str, tuple[tuple[float, ...], float]]
    verdict: str


def backtest(signals: Iterable[Signal], prices: Prices, *, plan: Plan | None = None) -> Outcome:
    """Try signals on prices. Raises ``InputError`` when too few days have enough names with signal and return."""
    plan = plan or Plan()
    daily = daily_signals(signals, prices, cutoff=plan.cutoff)
    returns = prices.returns(plan.horizon)
    correlations = _correlations(daily, returns)
    if np.isfinite(correlations).sum() < 20:
        raise InputError(
            f"only {int(np.isfinite(correlations).sum())} days have {_LEAST_NAMES} names with sentiment and return; "
            "20 are the least"
        )
    cut = int(len(prices.days) * plan.split)
    inside, outside = (_part(daily[days], returns[days], plan) for days in (slice(0, cut), slice(cut, None)))
    placebo_p = _placebo(daily[cut:], returns[cut:], plan)
    events = {side: _events(sign * daily, prices.returns(1)) for side, sign in (("positive", 1), ("negative", -1))}
    return Outcome(inside, outside, placebo_p, events, _verdict(outside, placebo_p))


def daily_signals(signals: Iterable[Signal], prices: Prices, *, cutoff: time) -> Floats:
    """Give the mean sentiment ``[day, ticker]`` of what was published since the cut-off before, NaN where nothing was.

    What comes after the last cut-off belongs to no day.
    """
    edges = np.array([datetime.combine(day, cutoff, UTC).timestamp() for day in prices.days])
    column = {ticker: n for n, ticker in enumerate(prices.tickers)}
    total, count = np.zeros(prices.close.shape), np.zeros(prices.close.shape)
    for ticker, at, value in signals:
        day = int(np.searchsorted(edges, at, side="right"))
        if day < len(edges) and ticker in column and at >= edges[0] - _EARLIEST:
            total[day, column[ticker]] += value
            count[day, column[ticker]] += 1
    with np.errstate(invalid="ignore"):
        return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _correlations(daily: Floats, returns: Floats) -> Floats:
    """Give Spearman's rank correlation over names for each day, NaN on days with too few or without differences."""
    from scipy.stats import rankdata

    found = np.full(len(daily), np.nan)
    for day, (signal, later) in enumerate(zip(daily, returns, strict=True)):
        both = np.isfinite(signal) & np.isfinite(later)
        if both.sum() < _LEAST_NAMES or np.ptp(signal[both]) == 0 or np.ptp(later[both]) == 0:
            continue
        found[day] = np.corrcoef(rankdata(signal[both]), rankdata(later[both]))[0, 1]
    return found


def _part(daily: Floats, returns: Floats, plan: Plan) -> Part:
    correlations = _correlations(daily, returns)
    apart = correlations[:: plan.horizon]  # returns that overlap would count one surprise several times
    correlations, apart = (values[np.isfinite(values)] for values in (correlations, apart))
    weights = _weights(daily, returns)
    gross = np.nansum(weights * returns, axis=1) / plan.horizon
    turnover = np.abs(np.diff(weights, axis=0, prepend=0.0)).sum(axis=1) / plan.horizon
    net = gross - plan.cost * turnover
    spread = float(net.std(ddof=1)) if len(net) > 1 else 0.0
    return Part(
        days=len(correlations),
        ic=float(correlations.mean()) if len(correlations) else 0.0,
        ic_t=_t(apart),
        gross=float(gross.mean()) if len(gross) else 0.0,
        net=float(net.mean()) if len(net) else 0.0,
        net_t=_t(net),
        sharpe=float(net.mean() / spread * np.sqrt(YEAR)) if spread else 0.0,
        turnover=float(turnover.mean()) if len(turnover) else 0.0,
    )


def _weights(daily: Floats, returns: Floats) -> Floats:
    """Give positions that sum to 0, and in size to 1, by signal less the day's mean; none where a return is missing."""
    known = np.where(np.isfinite(returns), daily, np.nan)
    count = np.isfinite(known).sum(axis=1, keepdims=True)
    mean = np.nansum(known, axis=1, keepdims=True) / np.maximum(count, 1)
    centred = np.where(np.isfinite(known) & (count >= _LEAST_NAMES), known - mean, 0.0)
    size = np.abs(centred).sum(axis=1, keepdims=True)
    return np.asarray(np.divide(centred, size, out=np.zeros_like(centred), where=size > 0))


def _placebo(daily: Floats, returns: Floats, plan: Plan) -> float:
    """Give how often sentiment of shifted dates has a mean correlation at least as large, counting itself once."""
    chance = np.random.default_rng(plan.seed)
    real = abs(_mean(_correlations(daily, returns)))
    least = max(1, min(10, len(daily) // 4))
    as_large = 1
    for _ in range(plan.placebos):
        shifted = np.roll(daily, int(chance.integers(least, len(daily) - least)), axis=0)
        as_large += abs(_mean(_correlations(shifted, returns))) >= real
    return float(as_large / (plan.placebos + 1))


def _events(daily: Floats, returns: Floats, *, before: int = 5, after: int = 10) -> tuple[tuple[float, ...], float]:
    """Give mean abnormal returns around strong sentiment (0.5 and more), and the t-statistic of the first after it.

    For the statistic, events of one day count as one.
    """
    known = np.isfinite(returns)
    usual = np.where(known, returns, 0.0).sum(axis=1) / np.maximum(known.sum(axis=1), 1)
    abnormal = returns - usual[:, None]
    days, names = np.nonzero(np.nan_to_num(daily) >= 0.5)
    inside = (days >= before) & (days + after < len(daily) - 1)
    days, names = days[inside], names[inside]
    if not len(days):
        return (), 0.0
    path = [_mean(abnormal[days + shift, names]) for shift in range(-before, after + 1)]
    first = [_mean(abnormal[day, names[days == day]]) for day in np.unique(days)]
    return tuple(path), _t(np.array(first))


def _verdict(outside: Part, placebo_p: float) -> str:
    ic = f"{outside.ic:+.3f} (t {outside.ic_t:+.1f}, {outside.days} days)"
    figures = f"out of sample the mean rank correlation is {ic}"
    chance = f"shifted dates do as well in {placebo_p:.0%} of cases"
    if abs(outside.ic_t) < 2 or placebo_p > 0.05:
        return f"No effect: {figures}, and {chance}. Nothing here says that sentiment tells later returns."
    paid = "after costs it earned" if outside.net_t >= 2 else "after costs nothing certain is left:"
    return f"An effect: {figures}, {chance}; {paid} {outside.net:+.2%} a day (t {outside.net_t:+.1f})."


def _mean(values: Floats) -> float:
    """Give the mean of the finite values, 0 when there are none."""
    finite = values[np.isfinite(values)]
    return float(finite.mean()) if len(finite) else 0.0


def _t(values: Floats) -> float:
    """Give the t-statistic of a mean against 0; 0 for fewer than two values or without spread."""
    if len(values) < 2 or values.std(ddof=1) == 0:
        return 0.0
    return float(values.mean() / (values.std(ddof=1) / np.sqrt(len(values))))


def _rows(file: Path) -> Iterable[tuple[date, str, float]]:
    try:
        text = file.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read prices from {file}: {error}") from error
    rows = csv.DictReader(text.splitlines())
    names = {name.strip().casefold(): name for name in rows.fieldnames or ()}
    close = names.get("adj close") or names.get("close")
    if close is None or "date" not in names:
        raise InputError(f"{file} needs the columns Date and Close or Adj Close, it has {rows.fieldnames}")
    for row in rows:
        ticker = row[names["ticker"]] if "ticker" in names else file.stem
        try:
            yield date.fromisoformat(row[names["date"]]), ticker, _price(row[close])
        except (ValueError, TypeError) as error:
            raise InputError(f"{file}, line {rows.line_num}: {error}") from error


def _price(written: str) -> float:
    price = float(written)
    if not price > 0:
        raise ValueError(f"the price {written!r} is not positive")
    return price
