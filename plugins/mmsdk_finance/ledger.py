"""Votes and sums in the state: what a story says of a name counts once, and can be taken out again.

A story votes at the time of its earliest telling, with the weight of its weightiest source. Every method runs inside
the caller's transaction.
"""

import json
from collections.abc import Mapping, Sequence

from mmsdk_finance.mood import HOUR, Level, Recipe, Sums, level
from mmsdk_finance.scoring import Sentiment
from mmsdk_finance.state import State

UNREAD = "unread"
"""The label of what the model could not read; it does not vote."""
Vote = tuple[str, float, float, float]
"""Kind, time, weight, value."""


class Ledger:
    """Count votes of stories in a state by a recipe."""

    def __init__(self, state: State, recipe: Recipe) -> None:
        self.state = state
        self.recipe = recipe

    def score(self, story: int, sentiments: Mapping[str, Sentiment], *, model: str) -> None:
        """Keep what a story says of its names, in place of what was kept of it."""
        self.state.run("DELETE FROM scores WHERE story = ?", story)
        for ticker, said in sentiments.items():
            chances = [float(said.probabilities[label]) for label in ("positive", "neutral", "negative")]
            first = said.evidence[0] if said.evidence else None
            words, events = (list(first.words), list(first.events)) if first else ([], [])
            label = said.label if said.status == "scored" else UNREAD
            self.state.run(
                "INSERT INTO scores VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                *(story, ticker, label, *chances, first.sentence if first else ""),
                *(json.dumps(words, ensure_ascii=False), json.dumps(events), model),
            )

    def count(self, story: int, *, upto: int | None = None) -> list[str]:
        """Let a story vote as its items and scores say; give the tickers whose votes changed.

        ``upto`` leaves out items taken in later, so that how items are batched changes nothing.
        """
        rows = self.state.rows("SELECT * FROM votes WHERE story = ?", story)
        old = {row["ticker"]: (row["kind"], row["at"], row["weight"], row["value"]) for row in rows}
        new = self._votes(story, upto)
        for ticker, vote in sorted(old.items() - new.items()):
            self._add(ticker, vote, sign=-1)
            self.state.run("DELETE FROM votes WHERE story = ? AND ticker = ?", story, ticker)
        for ticker, vote in sorted(new.items() - old.items()):
            self._add(ticker, vote, sign=1)
            self.state.run("INSERT INTO votes VALUES (?, ?, ?, ?, ?, ?)", story, ticker, *vote)
        return sorted({ticker for ticker, _ in old.items() ^ new.items()})

    def rebuild(self) -> None:
        """Count everything anew, after the recipe changed; votes whose items were forgotten stay as they were."""
        for row in self.state.rows("SELECT number FROM stories"):
            self.count(row["number"])
        self.state.run("DELETE FROM sums")
        for row in self.state.rows("SELECT ticker, kind, at, weight, value FROM votes ORDER BY at"):
            self._add(row["ticker"], (row["kind"], row["at"], row["weight"], row["value"]), sign=1)

    def level(self, tickers: Sequence[str], at: float) -> Level:
        """Give the index of a name, or of several as one, at a time."""
        sums = [row for ticker in tickers for row in self._sums(ticker).values()]
        memory = self.recipe.memory * HOUR
        history = Sums(memory)
        for past in (row.faded(at) for row in sums if row.decay == memory):
            history = Sums(
                memory, at, history.w + past.w, history.ww + past.ww, history.wx + past.wx, history.wxx + past.wxx
            )
        return level([row for row in sums if row.decay != memory], history, at, recipe=self.recipe)

    def verify(self) -> list[str]:
        """Compare every sum with the votes it is made of, and name those that differ."""
        wanted: dict[tuple[str, float], Sums] = {}
        for row in self.state.rows("SELECT * FROM votes ORDER BY at"):
            for decay in (self.recipe.decay(row["kind"]), self.recipe.memory * HOUR):
                wanted.setdefault((row["ticker"], decay), Sums(decay)).add(row["at"], row["weight"], row["value"])
        problems = []
        for row in self.state.rows("SELECT * FROM sums"):
            due = wanted.get((row["ticker"], row["decay"]), Sums(row["decay"])).faded(row["at"])
            if any(abs(getattr(due, key) - row[key]) > 1e-6 for key in ("w", "ww", "wx", "wxx")):
                problems.append(f"the sums of {row['ticker']} differ from its votes: {row['w']:.6f} for {due.w:.6f}")
        return problems

    def _votes(self, story: int, upto: int | None) -> dict[str, Vote]:
        items = self.state.rows(
            "SELECT source, event, kind FROM items WHERE story = ? AND number <= ifnull(?, number) ORDER BY number",
            *(story, upto),
        )
        if not items:
            return {}
        at, kind = min(item["event"] for item in items), items[0]["kind"]
        weight = max(self.recipe.sources.get(item["source"], 1.0) for item in items)
        sql = "SELECT ticker, positive, negative FROM scores WHERE story = ? AND label != ?"
        scores = self.state.rows(sql, story, UNREAD)
        return {row["ticker"]: (kind, at, weight, row["positive"] - row["negative"]) for row in scores}

    def _sums(self, ticker: str) -> dict[float, Sums]:
        rows = self.state.rows("SELECT decay, at, w, ww, wx, wxx FROM sums WHERE ticker = ?", ticker)
        return {row["decay"]: Sums(**row) for row in rows}

    def _add(self, ticker: str, vote: Vote, *, sign: int) -> None:
        kind, at, weight, value = vote
        known = self._sums(ticker)
        for decay in (self.recipe.decay(kind), self.recipe.memory * HOUR):
            sums = known.get(decay, Sums(decay))
            sums.add(at, weight, value, sign=sign)
            self.state.run(
                "INSERT OR REPLACE INTO sums VALUES (?, ?, ?, ?, ?, ?, ?)",
                *(ticker, decay, sums.at, sums.w, sums.ww, sums.wx, sums.wxx),
            )
