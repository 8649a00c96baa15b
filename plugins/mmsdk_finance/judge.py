"""Raising and clearing alerts in the state, with the sentences and sources that made them.

Every method runs inside the caller's transaction, so an alert is there if and only if the items that made it are.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from mmsdk_finance.alerts import Alert, Rule, Standing, severity, step
from mmsdk_finance.dispatch import alerts
from mmsdk_finance.ledger import Ledger
from mmsdk_finance.mood import HOUR, Level
from mmsdk_finance.state import stamp

REASONS = 3


class Judge:
    """Judge names by a rule; alerts are to be sent to ``sinks``, named as they name themselves."""

    def __init__(self, ledger: Ledger, rule: Rule, *, sinks: Sequence[str] = ()) -> None:
        self.ledger = ledger
        self.state = ledger.state
        self.rule = rule
        self.sinks = sinks

    def clear(self, ticker: str, now: float) -> None:
        """End the alerts of a name that have faded by a time."""
        for side in (1, -1):
            standing = self._standing(ticker, side)
            level = self.ledger.level([ticker], now) if standing.raised else None
            if level is not None and step(standing, level, side, sources=0, rule=self.rule) == "clear":
                self.state.run("UPDATE standings SET raised = 0 WHERE ticker = ? AND side = ?", ticker, side)
                self.state.run(
                    "UPDATE alerts SET cleared = ? WHERE ticker = ? AND side = ? AND cleared IS NULL", now, ticker, side
                )

    def decide(self, ticker: str, now: float, *, upto: int) -> list[Alert]:
        """End or raise the alerts of a name at a time, from items up to a number; give those raised."""
        self.clear(ticker, now)
        level = self.ledger.level([ticker], now)
        raised = []
        for side in (1, -1):
            standing = self._standing(ticker, side)
            if standing.raised or side * level.index < self.rule.on:
                continue
            evidence = self.evidence(ticker, side, at=now, upto=upto)
            sources = sorted({source for row in evidence for source in row["sources"]})
            if step(standing, level, side, sources=len(sources), rule=self.rule) == "raise":
                raised.append(self._raise(ticker, side, level=level, sources=sources, evidence=evidence))
        return raised

    def evidence(self, ticker: str, side: int, *, at: float, upto: int | None = None) -> list[dict[str, Any]]:
        """Give the votes of a side (1 or -1) that count most at a time, each with its sentence and its sources."""
        rows = self.state.rows(
            "SELECT v.*, s.quote, s.words, s.events FROM votes v JOIN scores s USING (story, ticker) "
            "WHERE v.ticker = ? AND v.at BETWEEN ? AND ? AND v.value * ? > 0.1 ORDER BY v.at DESC LIMIT 200",
            *(ticker, at - self.rule.window * HOUR, at, side),
        )
        kept = []
        for row in rows:
            told = self.state.rows(
                "SELECT number, source, url, event, text FROM items WHERE story = ? AND number <= ifnull(?, number) "
                "ORDER BY number",
                *(row["story"], upto),
            )
            if told:
                half_lives = (at - row["at"]) / self.ledger.recipe.decay(row["kind"])
                force = row["weight"] * abs(row["value"]) * 2.0**-half_lives
                kept.append({**row, "force": force, "lead": told[0], "sources": {item["source"] for item in told}})
        return sorted(kept, key=lambda row: -float(row["force"]))

    def _standing(self, ticker: str, side: int) -> Standing:
        rows = self.state.rows("SELECT raised, last FROM standings WHERE ticker = ? AND side = ?", ticker, side)
        return Standing(bool(rows[0]["raised"]), rows[0]["last"]) if rows else Standing()

    def _raise(
        self, ticker: str, side: int, *, level: Level, sources: Sequence[str], evidence: Sequence[Mapping[str, Any]]
    ) -> Alert:
        number = int(self.state.rows("SELECT ifnull(max(number), 0) + 1 AS n FROM alerts")[0]["n"])
        body = {
            "name": self.state.shown(ticker),
            **{key: round(getattr(level, key), 4) for key in ("index", "low", "high", "surprise")},
            "sources": list(sources),
            "reasons": [_reason(row) for row in evidence[:REASONS]],
        }
        grade = severity(level, sources=len(sources), rule=self.rule)
        self.state.run(
            "INSERT INTO alerts (number, id, ticker, side, at, severity, body) VALUES (?, ?, ?, ?, ?, ?, ?)",
            *(number, f"{self.state.fact('id')}-{number}", ticker, side, level.at, grade),
            json.dumps(body, ensure_ascii=False),
        )
        self.state.run("INSERT OR REPLACE INTO standings VALUES (?, ?, 1, ?)", ticker, side, level.at)
        for sink in self.sinks:
            self.state.run("INSERT INTO deliveries (alert, sink) VALUES (?, ?)", number, sink)
        return alerts(self.state, number=number)[0]


def _reason(row: Mapping[str, Any]) -> dict[str, Any]:
    lead = row["lead"]
    return {
        "quote": row["quote"] or lead["text"][:300],
        "words": json.loads(row["words"]),
        "events": json.loads(row["events"]),
        "value": round(row["value"], 4),
        "source": lead["source"],
        "url": lead["url"],
        "at": stamp(row["at"]),
        "item": lead["number"],
    }
