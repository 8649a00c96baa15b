// Shows a monitor. What comes from news is only ever written as text; links lead to http(s) only.
"use strict";
const root = new URL(".", document.currentScript.src);
const at = id => document.getElementById(id);
let seen = null, chosen = "", offset = 0, asked = 0;

function make(tag, options = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(options)) name === "class" ? (node.className = value) : (node[name] = value);
  node.append(...children.filter(child => child !== null && child !== ""));
  return node;
}
const signed = (value, digits = 2) => (value < 0 ? "−" : "+") + Math.abs(value).toFixed(digits);
const side = value => (value > 0.05 ? "positive" : value < -0.05 ? "negative" : "neutral");
const minute = written => written.slice(0, 16).replace("T", " ");

function said(text, address) {
  return /^https?:\/\//.test(address) ? make("a", {href: address, rel: "noopener noreferrer", target: "_blank"}, text) : text;
}

function marked(text, words) {
  const pieces = [], folded = text.toLowerCase();
  let from = 0;
  const found = words.map(word => [folded.indexOf(word), word.length]).filter(([place]) => place >= 0).sort((a, b) => a[0] - b[0]);
  for (const [place, length] of found) {
    if (place < from) continue;
    pieces.push(text.slice(from, place), make("mark", {}, text.slice(place, place + length)));
    from = place + length;
  }
  const whole = make("span");
  whole.append(...pieces, text.slice(from));
  return whole;
}

async function ask(path, options) {
  const answer = await fetch(new URL(path, root), options);
  const body = await answer.json().catch(() => ({error: answer.status + " " + answer.statusText}));
  if (!answer.ok) throw new Error(body.error || body.detail || String(answer.status));
  return body;
}

async function trying(work) {
  try {
    await work();
    at("failed").textContent = "";
  } catch (error) {
    at("failed").textContent = error.message;
  }
}

function row(...cells) {
  return make("tr", {}, ...cells.map(cell => (typeof cell === "object" && cell !== null && cell.tagName === "TD" ? cell : make("td", {}, cell))));
}
const number = (text, kind = "") => make("td", {class: "number " + kind}, text);
const wide = node => (node.classList.add("wide"), node);

function showFigures() {
  const {counts, portfolio, tail} = seen;
  const shown = {items: counts.items, stories: counts.stories, alerts: counts.alerts, quarantined: counts.rejected,
    "for review": counts.reviews, portfolio: signed(portfolio, 3), "worst quarter": signed(tail, 3)};
  at("figures").replaceChildren(...Object.entries(shown).map(([name, value]) =>
    make("div", {}, make("dt", {}, name), make("dd", {}, typeof value === "number" ? value.toLocaleString("en") : value))));
  at("span").textContent = seen.watermark ? `${minute(seen.start)} to ${minute(seen.watermark)} (event time, UTC)` : "no items yet";
}

function showNames() {
  const heads = ["name", "ticker", "sector", "index", "95 % band", "volume", "surprise", "exposure", "contribution"];
  at("names-head").replaceChildren(make("tr", {}, ...heads.map((head, n) =>
    make("th", {scope: "col", class: (n > 2 ? "number" : "") + (n === 1 || n === 2 || n === 5 || n === 6 ? " wide" : "")}, head))));
  const rows = seen.names.map(name => {
    const button = make("button", {class: "name", type: "button", onclick: () => choose(name.ticker)}, name.name);
    const line = row(make("td", {}, button), wide(make("td", {}, name.ticker)), wide(make("td", {}, name.sector)),
      number(signed(name.index), side(name.index)), number(`${signed(name.low)} … ${signed(name.high)}`),
      wide(number(name.volume.toFixed(1))), wide(number(signed(name.surprise, 1))),
      number(name.exposure ? signed(100 * name.exposure, 0) + " %" : ""), number(name.exposure ? signed(name.contribution, 3) : ""));
    line.classList.toggle("chosen", name.ticker === chosen);
    return line;
  });
  const sectors = seen.sectors.map(sector => row(make("td", {class: "soft"}, "sector " + sector.sector), wide(make("td")),
    wide(make("td")), number(signed(sector.index), side(sector.index)), number(`${signed(sector.low)} … ${signed(sector.high)}`),
    wide(number(sector.volume.toFixed(1))), wide(number(signed(sector.surprise, 1))), number(""), number("")));
  const whole = row("portfolio", wide(make("td")), wide(make("td")), number(signed(seen.portfolio, 3), side(seen.portfolio)), number(""),
    wide(number("")), wide(number("")), number(""), number(signed(seen.portfolio, 3)));
  at("names").replaceChildren(...rows, ...sectors, whole);
}

function showAlerts() {
  const shown = seen.alerts.map(alert => {
    const head = make("div", {}, make("strong", {class: alert.side}, `${alert.name} turned ${alert.side} `),
      make("span", {class: "chip"}, alert.severity), " ", make("span", {class: "soft"}, minute(alert.at)));
    const facts = make("div", {class: "soft"}, `index ${signed(alert.index)} [${signed(alert.low)}, ${signed(alert.high)}], ${alert.sources.length} sources, ` +
      (alert.cleared ? "over " + minute(alert.cleared) : "standing"));
    const reasons = alert.reasons.slice(0, 2).map(reason =>
      make("div", {}, said(marked(reason.quote, reason.words), reason.url), make("span", {class: "soft"}, ` ${reason.source}`)));
    const seenBy = alert.acknowledged_by
      ? make("span", {class: "soft"}, "acknowledged by " + alert.acknowledged_by + (alert.note ? ": " + alert.note : ""))
      : make("button", {type: "button", onclick: () => acknowledge(alert.number)}, "Acknowledge");
    return make("li", {}, head, facts, ...reasons, seenBy);
  });
  at("alerts").replaceChildren(...(shown.length ? shown : [make("li", {class: "soft"}, "None in this time.")]));
}

function acknowledge(number) {
  const by = prompt("Who has seen it?");
  if (by) trying(async () => {
    await ask("acknowledge", {method: "POST", headers: {"Content-Type": "application/json"}, body: JSON.stringify({number, by})});
    await look();
  });
}

function draw() {
  const name = seen.names.find(one => one.ticker === chosen);
  if (!name) return;
  const style = getComputedStyle(document.documentElement), of = key => style.getPropertyValue(key).trim();
  const dates = seen.times.map(minute), {index, low, high} = name.course;
  const axis = {gridcolor: of("--line"), zerolinecolor: of("--soft"), linecolor: of("--line"), automargin: true};
  const data = [
    {x: dates.concat([...dates].reverse()), y: high.concat([...low].reverse()), fill: "toself", fillcolor: of("--band"), mode: "none",
      hoverinfo: "skip", name: "95 % band"},
    {x: dates, y: index, mode: "lines", line: {color: of("--main"), width: 2}, name: "index"},
    {x: name.days.map(day => minute(day[0])), y: name.days.map(day => day[1]), type: "bar", yaxis: "y2", name: "stories a day",
      marker: {color: "rgba(130,140,150,.6)"}},
  ];
  for (const kind of ["positive", "negative"]) {
    const some = seen.alerts.filter(alert => alert.ticker === chosen && alert.side === kind);
    if (some.length) data.push({x: some.map(alert => minute(alert.at)), y: some.map(alert => alert.index), mode: "markers", name: kind + " alert",
      marker: {size: 13, symbol: "diamond", color: of(kind === "positive" ? "--good" : "--bad")}});
  }
  Plotly.react(at("chart"), data, {
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", font: {color: of("--ink"), size: 12}, showlegend: false,
    margin: {t: 10, r: 10, b: 35, l: 40}, xaxis: {...axis, anchor: "y2"}, yaxis: {...axis, domain: [.3, 1], range: [-1, 1]},
    yaxis2: {...axis, domain: [0, .22], rangemode: "tozero"},
  }, {displayModeBar: false, responsive: true});
  at("chosen").textContent = `${name.name} (${name.ticker}) `;
  at("chosen").append(make("span", {class: side(name.index)}, signed(name.index)));
}

function choose(ticker) {
  chosen = ticker;
  at("filters").elements.ticker.value = ticker;
  showNames();
  draw();
  trying(() => find(true));
}

function options(select, values, shown) {
  const kept = select.value;
  select.replaceChildren(make("option", {value: ""}, "all"), ...values.map((value, n) => make("option", {value}, shown[n])));
  select.value = values.includes(kept) ? kept : "";
}

async function find(anew) {
  if (anew) offset = 0;
  const mine = ++asked, query = new URLSearchParams([...new FormData(at("filters"))].filter(([, value]) => value));
  query.set("offset", offset);
  const {rows, more} = await ask("evidence?" + query);
  if (mine !== asked) return; // a later question is on its way
  const shown = rows.map(one => make("li", {},
    make("div", {}, make("strong", {class: one.label}, `${one.ticker} ${one.label} ${signed(one.value)} `),
      ...one.events.map(event => make("span", {class: "chip"}, event)), make("span", {class: "soft"}, ` ${minute(one.at)} `)),
    make("div", {}, said(marked((one.quote || one.text).slice(0, 400), one.words), one.url)),
    make("div", {class: "soft"}, one.source + (one.author ? ` (${one.author})` : "") + (one.sources > 1 ? ` and ${one.sources - 1} more` : "") +
      ` · positive ${one.positive.toFixed(2)}, neutral ${one.neutral.toFixed(2)}, negative ${one.negative.toFixed(2)}`)));
  if (anew) at("evidence").replaceChildren();
  at("evidence").append(...(shown.length || !anew ? shown : [make("li", {class: "soft"}, "Nothing matches.")]));
  offset += rows.length;
  at("more").hidden = !more;
}

function table(body, heads, rows) {
  body.replaceChildren(make("tr", {}, ...heads.map(head => make("th", {scope: "col"}, head))), ...rows.map(cells => row(...cells.map(String))));
}

async function look() {
  seen = await ask("overview");
  const tickers = seen.names.map(name => name.ticker);
  if (!tickers.includes(chosen)) chosen = seen.alerts.length ? seen.alerts[0].ticker : tickers[0] || "";
  showFigures();
  showNames();
  showAlerts();
  draw();
  options(at("filters").elements.ticker, tickers, seen.names.map(name => `${name.name} (${name.ticker})`));
  options(at("filters").elements.source, seen.sources.map(one => one.source), seen.sources.map(one => `${one.source} (${one.items})`));
  table(at("quarantine"), ["source", "reason", "times"], seen.quarantine.map(one => [one.source, `${one.code}: ${one.reason}`, one.times]));
  table(at("reviews"), ["written", "could be", "why", "times"], seen.reviews.map(one => [one.written, one.ticker, one.reason, one.times]));
}

at("filters").addEventListener("input", () => trying(() => find(true)));
at("filters").addEventListener("submit", event => event.preventDefault());
at("more").addEventListener("click", () => trying(() => find(false)));
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => seen && draw());
trying(async () => {
  await look();
  await find(true);
});
setInterval(() => document.hidden || trying(look), 15000);
