"""Reports as one HTML file: text, tables and Plotly charts, readable in light and dark, without any network.

Everything given is text and is escaped; links lead to http(s) only; the page's policy lets nothing be loaded. A
report does not know what it is about.
"""

import html
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmsdk.errors import MissingDependencyError

Cell = str | int | float | None | tuple[str, str]
"""What a table holds; a pair is a text and the address it links to."""
_POLICY = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:"
_STYLE = """
:root{color-scheme:light dark;--ink:#1c2430;--soft:#5b6675;--line:#dde2e8;--ground:#fff;--panel:#f5f7f9;--link:#0b63c5}
@media(prefers-color-scheme:dark){:root{--ink:#e6eaef;--soft:#9aa5b1;--line:#343c46;--ground:#14181d;--panel:#1c2229;
--link:#7db7ff}}
body{margin:0 auto;max-width:72rem;padding:1.5rem;background:var(--ground);color:var(--ink);
font:16px/1.5 system-ui,sans-serif}
h1{font-size:1.6rem;margin:.2rem 0}h2{font-size:1.2rem;margin:2rem 0 .5rem}p{max-width:48rem}.soft{color:var(--soft)}
table{border-collapse:collapse;width:100%;font-size:.9rem}th,td{text-align:left;padding:.35rem .6rem;vertical-align:top;
border-bottom:1px solid var(--line)}th{color:var(--soft);font-weight:600}
th.number,td.number{text-align:right}td.number{white-space:nowrap;font-variant-numeric:tabular-nums}a{color:var(--link)}
.table{overflow-x:auto;margin:.5rem 0 1.5rem}
.chart{width:100%;margin:.5rem 0 1rem}
dl{display:flex;flex-wrap:wrap;gap:.8rem;margin:1rem 0}dl div{background:var(--panel);border-radius:.5rem;
padding:.6rem 1rem}dt{color:var(--soft);font-size:.8rem}dd{margin:0;font-size:1.3rem;font-variant-numeric:tabular-nums}
@media(max-width:30rem){body{padding:1rem}th,td{padding:.35rem .3rem}}
"""
_DRAW = """
const dark = matchMedia("(prefers-color-scheme: dark)");
function colours() {
  const style = getComputedStyle(document.documentElement), of = name => style.getPropertyValue(name).trim();
  const axis = {gridcolor: of("--line"), zerolinecolor: of("--soft"), linecolor: of("--line")};
  return {paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", font: {color: of("--ink")}, axis: axis};
}
function dressed(layout) {
  const {axis, ...rest} = colours(), whole = {...layout, ...rest};
  for (const name of Object.keys(layout).filter(key => /^[xy]axis/.test(key)).concat(["xaxis", "yaxis"]))
    whole[name] = {...(layout[name] || {}), ...axis};
  return whole;
}
function draw() {
  for (const place of document.querySelectorAll(".chart")) {
    const figure = JSON.parse(document.getElementById(place.dataset.figure).textContent);
    Plotly.react(place, figure.data, dressed(figure.layout), {displayModeBar: false, responsive: true});
  }
}
dark.addEventListener("change", draw);
draw();
"""


@dataclass
class Report:
    """Collect sections and write them as one HTML file.

    >>> report = Report("Sales", "January")
    >>> report.table(("town", "sold"), [("Bern", 12), (("Basel", "https://basel.example"), 3.5)])
    >>> "Bern" in report.html()
    True
    """

    title: str
    subtitle: str = ""
    _parts: list[str] = field(default_factory=list)
    _figures: int = 0

    def heading(self, text: str) -> None:
        """Start a section."""
        self._parts.append(f"<h2>{_escaped(text)}</h2>")

    def text(self, text: str) -> None:
        """Add a paragraph."""
        self._parts.append(f"<p>{_escaped(text)}</p>")

    def figures(self, values: Mapping[str, str | float]) -> None:
        """Add key figures, side by side."""
        shown = (
            f"<div><dt>{_escaped(key)}</dt><dd>{_escaped(_written(value))}</dd></div>" for key, value in values.items()
        )
        self._parts.append(f"<dl>{''.join(shown)}</dl>")

    def table(self, columns: Sequence[str], rows: Sequence[Sequence[Cell]]) -> None:
        """Add a table; numbers are set to the right."""
        numeric = [any(isinstance(cell, int | float) for cell in cells) for cells in zip(*rows, strict=False)]
        numeric += [False] * (len(columns) - len(numeric))
        heads = (' class="number"' if is_number else "" for is_number in numeric)
        head = "".join(
            f'<th scope="col"{kind}>{_escaped(column)}</th>' for kind, column in zip(heads, columns, strict=True)
        )
        body = "".join(f"<tr>{''.join(map(_cell, row))}</tr>" for row in rows)
        self._parts.append(
            f'<div class="table"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'
        )

    def chart(self, data: Sequence[Mapping[str, Any]], layout: Mapping[str, Any], *, height: int = 360) -> None:
        """Add a chart: traces and layout as Plotly's JSON describes them (https://plotly.com/javascript/reference)."""
        self._figures += 1
        name = f"figure-{self._figures}"
        whole = {"data": list(data), "layout": {"margin": {"t": 30, "r": 20, "b": 45}, "height": height, **layout}}
        written = json.dumps(whole).replace("<", "\\u003c")
        self._parts.append(
            f'<div class="chart" data-figure="{name}" style="height:{int(height)}px"></div>'
            f'<script type="application/json" id="{name}">{written}</script>'
        )

    def html(self) -> str:
        """Give the page. Raises ``MissingDependencyError`` when there are charts and no plotly."""
        script = f"<script>{_plotly()}</script><script>{_DRAW}</script>" if self._figures else ""
        return (
            f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{_escaped(self.title)}</title>'
            f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
            f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{_STYLE}</style></head><body>'
            f'<h1>{_escaped(self.title)}</h1><p class="soft">{_escaped(self.subtitle)}</p>'
            f"{''.join(self._parts)}{script}</body></html>\n"
        )

    def write(self, file: str | Path) -> Path:
        """Write the page and give its path."""
        path = Path(file)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(self.html(), "utf-8", errors="replace")
        return path


def _plotly() -> str:
    try:
        from plotly.offline import get_plotlyjs
    except ModuleNotFoundError as error:
        raise MissingDependencyError("plotly", "finance") from error
    return str(get_plotlyjs())


def _cell(cell: Cell) -> str:
    if isinstance(cell, int | float):
        return f'<td class="number">{_escaped(_written(cell))}</td>'
    if isinstance(cell, tuple):
        text, address = cell
        if address.startswith(("http://", "https://")):
            return f'<td><a href="{_escaped(address)}" rel="noopener noreferrer">{_escaped(text)}</a></td>'
        cell = text
    return f"<td>{_escaped(cell or '')}</td>"


def _written(value: str | float) -> str:
    if isinstance(value, str):
        return value
    return f"{value:,}" if isinstance(value, int) else f"{value:,.3g}"


def _escaped(text: str) -> str:
    return html.escape(text, quote=True)
