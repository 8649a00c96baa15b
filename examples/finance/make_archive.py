"""Make news.jsonl: sixty days of news about eight invented companies, with scripted turns, copies and bad items.

Run ``python examples/finance/make_archive.py``; the result is the same byte for byte. The sentences were written by
hand; dates, outlets and the quiet days in between are drawn with a fixed seed. Nothing here is about anybody real.
"""

import json
import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent
START = datetime(2025, 1, 6, tzinfo=UTC)
DAYS = 60
OUTLETS = ("Meridian Newswire", "Tarnfield Courier", "Marketdesk", "Ledger and Line")
NAMES = {
    "CLD": "Calder Motors",
    "BRW": "Brightwater Foods",
    "NRT": "Norrland Timber",
    "HLX": "Helixa Pharma",
    "SBK": "Stonebridge Bank",
    "VLT": "Voltara Energy",
    "QNT": "Quantara Systems",
    "HRB": "Harbor Lines",
}
QUIET = (
    "{name} to hold its annual meeting on {day}",
    "{name} opens an office in Tarnfield",
    "{name} to present at the Lindholm industry conference",
    "{name} publishes the agenda of its shareholder meeting",
    "{name} appoints auditors for the coming year",
    "{name} will report quarterly results on {day}",
    "{name} keeps its board unchanged",
    "{name} renews a supply agreement on the same terms",
    "{name} names a spokesperson for the region",
    "{name} hosts students from the Tarnfield college",
    "{name} updates the design of its website",
    "{name} files its yearly register of directors",
    "{name} to publish its sustainability report in spring",
    "{name} shares trade flat ahead of a holiday",
    "{name} takes part in a trade fair in Oster",
    "{name} sets the record date for its dividend",
    "{name} says its plans for the year are unchanged",
    "{name} to webcast its investor day from Lindholm",
    "{name} joins an industry association",
)
TURNS: dict[str, tuple[int, tuple[str, ...]]] = {
    "CLD": (
        18,
        (
            "Calder Motors recalls 40,000 cars after brake failures",
            "Calder Motors cuts its profit outlook as recall costs mount",
            "Regulator opens probe into Calder Motors over brake defects",
            "Calder Motors shares plunge 14% after the recall",
            "Analysts downgrade Calder Motors, citing weak demand and recall costs",
            "Calder Motors halts production at its Oster plant, deliveries fall sharply",
            "Calder Motors faces lawsuit from owners over faulty brakes",
            "Calder Motors warns of a loss in the second quarter",
            "Calder Motors bonds slump as investors fear a rating cut",
            "Calder Motors shares fall to a ten-year low",
            "Calder Motors loses market share as sales drop 20%",
            "Calder Motors credit rating cut to junk",
        ),
    ),
    "VLT": (
        12,
        (
            "Voltara Energy wins a record order for 300 wind turbines",
            "Voltara Energy shares jump 9% on the order",
            "Voltara Energy raises its full-year guidance after strong quarter",
            "Analysts upgrade Voltara Energy to buy on robust growth",
            "Voltara Energy profit surges 35%, beating estimates",
            "Voltara Energy secures approval for its offshore project",
            "Voltara Energy lifts dividend as cash flow improves",
            "Voltara Energy hits an all-time high on strong demand",
            "Voltara Energy order book grows to a record",
            "Voltara Energy shares gain for a fifth day on record orders",
            "Voltara Energy net profit jumps 40%",
            "Voltara Energy upgraded on strong outlook",
        ),
    ),
    "SBK": (
        26,
        (
            "Stonebridge Bank under investigation for mis-selling",
            "Stonebridge Bank chief executive resigns amid fraud probe",
            "Stonebridge Bank shares tumble 11% as probe widens",
            "Stonebridge Bank posts a surprise loss on bad loans",
            "Rating agency cuts Stonebridge Bank, warns of further losses",
            "Stonebridge Bank fined 90 million over weak controls",
            "Stonebridge Bank suspends its dividend after losses",
            "Depositors pull money from Stonebridge Bank as worries grow",
            "Stonebridge Bank to cut 2,000 jobs as profit collapses",
            "Stonebridge Bank shares slump to a five-year low",
            "Stonebridge Bank profit plunges 60%",
            "Stonebridge Bank loses customers amid fraud scandal",
        ),
    ),
    "BRW": (
        34,
        (
            "Brightwater Foods quarterly profit beats estimates",
            "Brightwater Foods raises its outlook on strong sales",
            "Brightwater Foods shares rally to a record high",
            "Brightwater Foods lifts its dividend by 20%",
            "Analysts raise Brightwater Foods to outperform on margin gains",
            "Brightwater Foods wins contract with the largest grocer of Oster",
            "Brightwater Foods sales growth accelerates, margins improve",
            "Brightwater Foods gains market share as demand strengthens",
            "Brightwater Foods announces a share buyback after record profit",
            "Brightwater Foods shares surge 8% on strong results",
            "Brightwater Foods net profit rises 30%",
            "Brightwater Foods upgraded to buy on strong growth",
        ),
    ),
    "HLX": (
        44,
        (
            "Helixa Pharma drug fails in late-stage trial",
            "Helixa Pharma shares crash 30% after trial failure",
            "Helixa Pharma slashes its revenue forecast",
            "Regulator rejects Helixa Pharma application",
            "Analysts downgrade Helixa Pharma to sell after the setback",
            "Helixa Pharma to cut jobs as losses widen",
            "Investors sue Helixa Pharma over misleading statements",
            "Helixa Pharma loses its key partner, shares sink further",
            "Helixa Pharma warns it may run short of cash",
            "Helixa Pharma shares slump to a record low",
            "Helixa Pharma losses widen as sales drop 25%",
            "Helixa Pharma plunges on weak results",
        ),
    ),
}
MIXED = (
    "Quantara Systems wins a small contract with the town of Lindholm",
    "Quantara Systems delays its new server by a month",
    "Quantara Systems profit edges up on higher subscriptions",
    "Quantara Systems loses a minor patent case",
    "Quantara Systems adds a new customer in Oster",
    "Quantara Systems sees costs rise slightly",
)
CONFLICTS = (
    "Voltara Energy gains while Calder Motors slides in mixed trading",
    "Brightwater Foods rises as Stonebridge Bank drops on Tarnfield exchange",
    "Helixa Pharma falls, Voltara Energy climbs after sector review",
    "Stonebridge Bank sinks; Brightwater Foods holds on to gains",
)
WORDS = (
    "The harbor of Tarnfield stays closed for repairs",
    "Storm damages boats in the harbor, no lines were running",
    "Zenith Pumps Ltd to open a plant near Lindholm",
    "Oster council debates the price of timber",
    "Snow closes schools across the north",
)
EDITS = ("UPDATE 1-{text}", "{text} - report", "{text} ${ticker}", "BRIEF: {text}")


class Archive:
    """Collect items in the order they are written down, which is the order of their time but for a few late ones."""

    def __init__(self) -> None:
        self.random = random.Random(20250106)
        self.rows: list[dict[str, Any]] = []

    def add(
        self, text: str, when: datetime, *, source: str = "", kind: str = "news", number: str = ""
    ) -> dict[str, Any]:
        name = number or f"n{len(self.rows) + 1:03}"
        outlet = source or self.random.choice(OUTLETS)
        row = {
            "id": name,
            "text": text,
            "source": outlet,
            "event": when.isoformat(timespec="seconds").replace("+00:00", "Z"),
            "kind": kind,
            "url": f"https://{outlet.replace('@', '').replace(' ', '-').lower()}.example/{name}",
        }
        self.rows.append(row)
        return row

    def moment(self, day: float, *, hours: float = 9.0) -> datetime:
        """Give a time of trading hours on a day."""
        return START + timedelta(days=day, hours=hours, minutes=self.random.randrange(0, 540))

    def make(self) -> list[dict[str, Any]]:
        self.quiet_days()
        self.turns()
        self.others()
        self.rows.sort(key=lambda row: row["event"])
        self.bad()
        return self.rows

    def quiet_days(self) -> None:
        for ticker, name in NAMES.items():
            texts = list(QUIET)
            self.random.shuffle(texts)
            for place, text in enumerate(texts):
                day = place * DAYS / len(texts) + self.random.random() * 2
                said = text.format(name=name, day=self.random.choice(("Tuesday", "Wednesday", "Thursday")))
                kind = "filing" if "files" in text else "news"
                self.add(said, self.moment(day), source="Register of Filings" if kind == "filing" else "", kind=kind)
            if ticker == "HRB":
                self.add(f"{name} timetable for spring is out", self.moment(20.0))

    def turns(self) -> None:
        for ticker, (day, texts) in TURNS.items():
            for place, text in enumerate(texts):
                when = self.moment(day + place // 5)
                first = self.add(text, when, source=OUTLETS[place % len(OUTLETS)])
                if place % 2 == 0:
                    edited = EDITS[place // 2 % len(EDITS)].format(text=text, ticker=ticker)
                    other = next(outlet for outlet in OUTLETS if outlet != first["source"])
                    self.add(edited, when + timedelta(minutes=self.random.randrange(5, 300)), source=other)
            word = "avoid" if ticker in ("CLD", "SBK", "HLX") else "love"
            self.add(
                f"${ticker} all over my feed today, I {word} it",
                self.moment(day + 1),
                source="@tapewatcher",
                kind="social",
            )

    def others(self) -> None:
        for place, text in enumerate(MIXED * 3):
            self.add(text, self.moment(place * 3.2))
        for day, text in zip((20, 36, 46, 37), CONFLICTS, strict=True):
            self.add(text, self.moment(day))
        for place, text in enumerate(WORDS * 4):
            self.add(text, self.moment(3 + place * 2.7), source=OUTLETS[place % 2])

    def bad(self) -> None:
        """Add what real feeds have: a broken date, no text, emoji only, a late item, a correction."""
        self.rows.append({"id": "bad1", "text": "Calder Motors news", "source": "Marketdesk", "event": "sometime"})
        self.rows.append({"id": "bad2", "text": "", "source": "Marketdesk", "event": "2025-02-01T09:00:00Z"})
        self.rows.append(
            {"id": "bad3", "text": "\U0001f680\U0001f680", "source": "@tapewatcher", "event": "2025-02-01"}
        )
        self.add("Norrland Timber reports a small fire at a store, nobody hurt", self.moment(31), number="late1")
        wrong = self.add(
            "Norrland Timber sells 30 hectares of forest", self.moment(33), number="n900", source="Marketdesk"
        )
        self.rows.append({**wrong, "text": "Norrland Timber sells 3 hectares of forest"})


def lines() -> Iterator[str]:
    for row in Archive().make():
        yield json.dumps(row, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    (FOLDER / "news.jsonl").write_text("".join(lines()), "utf-8")
