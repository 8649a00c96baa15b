"""The finance monitor over sixty days of invented news: the index of eight names, alerts, a report, a question.

What it writes goes to ``demo-finance``. The monitor remembers: a second run finds every item known and alerts nobody.
"""

from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from mmsdk_finance import SentimentMonitor
from mmsdk_finance.ask import ask
from mmsdk_finance.report import write_report

EXAMPLES = Path(__file__).resolve().parent / "finance"
FOLDER = Path("demo-finance")
console = Console(highlight=False)


def main() -> None:
    with SentimentMonitor(FOLDER, EXAMPLES / "watchlist.csv") as monitor:
        console.rule("Sixty days of news about eight invented companies")
        taken = monitor.run(EXAMPLES / "news.jsonl", speed=float("inf"))
        console.print(
            f"{taken.items} new items, {taken.copies} of them copies of a story, {taken.repeated} known, "
            f"{taken.corrected} corrected, {taken.rejected} rejected\n"
        )
        show_alerts(monitor)
        show_index(monitor)
        question = "Why did Helixa turn negative?"
        answer = ask(monitor, question)
        console.print(f"[bold]{question}\n[green]{escape(answer.text)}")
        for citation in answer.citations:
            console.print(f"  {escape(citation.hit.chunk.source)}: [italic]{escape(citation.quote)}")
        console.print(f"\nThe report with charts is in {write_report(monitor, FOLDER / 'report.html')}")


def show_alerts(monitor: SentimentMonitor) -> None:
    for alert in monitor.alerts():
        colour = "red" if alert.side == "negative" else "green"
        console.print(f"[{colour}]{alert.at[:10]} {alert.severity:<6} {escape(alert.name)} turned {alert.side}")
        for reason in alert.reasons[:2]:
            console.print(f"    {escape(reason.quote)} [dim]({escape(reason.source)}; {', '.join(reason.words)})")


def show_index(monitor: SentimentMonitor) -> None:
    table = Table("name", "sector", "index", "95 % band", "surprise")
    levels = monitor.levels()
    for ticker, name in monitor.watchlist.names.items():
        level = levels[ticker]
        band = f"{level.low:+.2f} … {level.high:+.2f}"
        table.add_row(name.names[0], name.sector, f"{level.index:+.2f}", band, f"{level.surprise:+.1f}")
    console.print(table)
    whole, tail = monitor.portfolio()
    console.print(f"portfolio {whole:+.3f}, worst quarter of exposure {tail:+.3f}\n")


if __name__ == "__main__":
    main()
