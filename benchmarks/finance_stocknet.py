"""A back-test on StockNet (Xu and Cohen 2018): whether the sentiment of tweets tells the next day's returns of stocks.

    python -m benchmarks.finance_stocknet --every 3

Data under ../shared/data (--data). Each tweet is scored for the cashtag of its stock by the bundled
model, which has read neither tweets nor these years; nothing is fitted or chosen here. Days, cut-off, costs, the
split and the placebo are the back-test's own defaults. ``--every n`` takes each n-th tweet of a stock.
"""

import argparse
import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from mmsdk_finance.backtest import Prices, Signal, backtest
from mmsdk_finance.items import moment
from mmsdk_finance.sentiment import SentimentModel

BATCH = 256


def signals(tweets: list[tuple[str, float, str]]) -> Iterator[Signal]:
    """Give ticker, time and score of tweets that name their stock by its cashtag."""
    model = SentimentModel()
    for start in range(0, len(tweets), BATCH):
        part = tweets[start : start + BATCH]
        scored = model.score_texts([text for _, _, text in part], [[f"${ticker}"] for ticker, _, _ in part])
        for (ticker, at, _), (said,) in zip(part, scored, strict=True):
            if said.status == "scored":
                yield ticker, at, said.score


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--every", type=int, default=1)
    given = parser.parse_args()
    folder = given.data / "fin_stocknet"
    tweets: list[tuple[str, float, str]] = []
    for file in sorted((folder / "tweets").glob("*.jsonl")):
        rows = [json.loads(line) for line in file.read_text("utf-8").splitlines()][:: given.every]
        tweets += [(row["ticker"], moment(row["created_at"]).timestamp(), row["text"]) for row in rows]
    tweets.sort(key=lambda tweet: len(tweet[2]))
    found = list(signals(tweets))
    first, last = min(at for _, at, _ in found), max(at for _, at, _ in found)
    stocks = {ticker for ticker, _, _ in found}
    whole = Prices.read(sorted(file for file in (folder / "price").rglob("*.csv") if file.stem in stocks))
    kept = [n for n, day in enumerate(whole.days) if first <= moment(day.isoformat()).timestamp() <= last]
    prices = Prices(tuple(whole.days[n] for n in kept), whole.tickers, whole.close[kept])
    print(f"{len(tweets)} tweets, {len(found)} scored, {len(prices.tickers)} stocks, {len(prices.days)} days")
    outcome = asdict(backtest(found, prices))
    for key, value in outcome.items():
        print(key, value)


if __name__ == "__main__":
    main()
