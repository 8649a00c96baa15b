"use strict";
// The graph on a canvas: a force layout with a grid for what is near, so that 5,000 nodes move; data is only ever text.
const root = document.body.dataset.root, byId = id => document.getElementById(id);
const canvas = byId("canvas"), pen = canvas.getContext("2d"), side = byId("side");
const COLOURS = ["#3b82f6", "#f59e0b", "#10b981", "#ef4444", "#8b5cf6", "#ec4899", "#14b8a6", "#a3a312", "#64748b"];
let nodes = [], edges = [], shownNodes = [], shownEdges = [], types = [], chosen = null, centre = null, heat = 0;
const view = {x: 0, y: 0, scale: 1};
const colour = type => COLOURS[Math.max(0, types.indexOf(type)) % COLOURS.length];
const theme = name => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

function element(tag, text, options = {}) {
  const made = document.createElement(tag);
  if (text !== undefined) made.textContent = text;
  return Object.assign(made, options);
}

async function ask(path, body) {
  const options = body ? {method: "POST", headers: {"Content-Type": "application/json"}, body: JSON.stringify(body)} : {};
  const answer = await fetch(root + path, options), data = await answer.json();
  if (!answer.ok) throw new Error(data.error || answer.statusText);
  return data;
}

async function load() {
  const data = await ask("/graph"), old = new Map(nodes.map(node => [node.id, node]));
  nodes = data.nodes.map((node, place) => {
    const before = old.get(node.id), angle = place * 2.39996, far = 12 * Math.sqrt(place + 1);
    return {...node, x: before ? before.x : far * Math.cos(angle), y: before ? before.y : far * Math.sin(angle),
      dx: 0, dy: 0, degree: 0, near: []};
  });
  const known = new Map(nodes.map(node => [node.id, node]));
  edges = data.edges.map(edge => ({...edge, a: known.get(edge.head), b: known.get(edge.tail)}));
  for (const edge of edges) {
    edge.a.degree++; edge.b.degree++;
    edge.a.near.push(edge); edge.b.near.push(edge);
  }
  types = [...new Set(nodes.map(node => node.type))].sort();
  fill(byId("type"), types);
  fill(byId("relation"), [...new Set(edges.map(edge => edge.relation))].sort());
  byId("names").replaceChildren(...nodes.slice(0, 500).map(node => element("option", undefined, {value: node.name})));
  byId("legend").replaceChildren(...types.map(type => {
    const item = element("span"), dot = element("i");
    dot.style.background = colour(type);
    item.append(dot, type);
    return item;
  }));
  if (centre) centre = known.get(centre.id) || null;
  sift(); fit();
}

function fill(select, values) {
  const kept = select.value;
  select.replaceChildren(element("option", "all", {value: ""}), ...values.map(v => element("option", v, {value: v})));
  select.value = values.includes(kept) ? kept : "";
}

function sift() {
  const type = byId("type").value, relation = byId("relation").value, least = Number(byId("confidence").value);
  byId("least").textContent = least.toFixed(2);
  let inside = null;
  if (centre) {
    inside = new Set([centre]);
    for (let step = 0; step < centre.steps; step++)
      for (const node of [...inside]) for (const edge of node.near) { inside.add(edge.a); inside.add(edge.b); }
  }
  shownEdges = edges.filter(e => e.confidence >= least && (!relation || e.relation === relation) &&
    (!type || e.a.type === type || e.b.type === type) && (!inside || (inside.has(e.a) && inside.has(e.b))));
  const used = new Set(shownEdges.flatMap(e => [e.a, e.b]));
  if (centre) used.add(centre);
  shownNodes = [...used];
  byId("note").textContent = `${shownNodes.length} of ${nodes.length} entities, ${shownEdges.length} of ${edges.length} facts`;
  heat = 1;
}

function step() {
  const wide = shownNodes.length < 1500, size = wide ? 160 : 60, strength = wide ? 300 : 32, grid = new Map();
  for (const node of shownNodes) {
    const key = Math.floor(node.x / size) + ":" + Math.floor(node.y / size);
    if (!grid.has(key)) grid.set(key, []);
    grid.get(key).push(node);
  }
  for (const node of shownNodes) {
    const gx = Math.floor(node.x / size), gy = Math.floor(node.y / size);
    for (let i = -1; i < 2; i++) for (let j = -1; j < 2; j++) {
      const cell = grid.get(gx + i + ":" + (gy + j));
      for (let n = 0; cell && n < Math.min(cell.length, 40); n++) {
        const other = cell[n], x = node.x - other.x, y = node.y - other.y, far = x * x + y * y;
        if (other === node || far > size * size) continue;
        const push = strength / (far + 30);
        node.dx += x * push + (far ? 0 : Math.random() - .5); node.dy += y * push + (far ? 0 : Math.random() - .5);
      }
    }
    node.dx -= node.x * .002; node.dy -= node.y * .002;
  }
  for (const {a, b} of shownEdges) {
    const x = b.x - a.x, y = b.y - a.y, far = Math.hypot(x, y) || 1, pull = (far - 70) / far * .08;
    const ka = 1 / Math.sqrt(a.degree || 1), kb = 1 / Math.sqrt(b.degree || 1);
    a.dx += x * pull * ka; a.dy += y * pull * ka; b.dx -= x * pull * kb; b.dy -= y * pull * kb;
  }
  for (const node of shownNodes) {
    const speed = Math.hypot(node.dx, node.dy) || 1, limit = Math.min(speed, 20 * heat) / speed;
    if (node !== dragged) { node.x += node.dx * limit; node.y += node.dy * limit; }
    node.dx = node.dy = 0;
  }
  heat *= .985;
}

const radius = node => (4 + Math.min(10, Math.sqrt(node.degree) * 1.6)) / Math.sqrt(Math.min(1, view.scale));
const said = edge => `${edge.a.name} — ${edge.relation.replaceAll("_", " ")} — ${edge.b.name}`;

function draw() {
  const ratio = devicePixelRatio || 1, width = canvas.clientWidth, height = canvas.clientHeight;
  if (canvas.width !== width * ratio || canvas.height !== height * ratio) {
    canvas.width = width * ratio; canvas.height = height * ratio;
  }
  const ink = theme("--ink"), edge = theme("--edge"), paper = theme("--paper"), link = theme("--link");
  pen.setTransform(ratio, 0, 0, ratio, 0, 0);
  pen.clearRect(0, 0, width, height);
  pen.translate(width / 2 + view.x, height / 2 + view.y);
  pen.scale(view.scale, view.scale);
  pen.lineWidth = 1 / view.scale; pen.strokeStyle = edge; pen.beginPath();
  for (const e of shownEdges) { pen.moveTo(e.a.x, e.a.y); pen.lineTo(e.b.x, e.b.y); }
  pen.stroke();
  pen.strokeStyle = link; pen.lineWidth = 3 / view.scale; pen.beginPath();
  for (const e of shownEdges) if (e === chosen || e.a === chosen || e.b === chosen) {
    pen.moveTo(e.a.x, e.a.y); pen.lineTo(e.b.x, e.b.y);
  }
  pen.stroke();
  for (const node of shownNodes) {
    pen.fillStyle = colour(node.type); pen.beginPath(); pen.arc(node.x, node.y, radius(node), 0, 7); pen.fill();
    if (node === chosen) { pen.lineWidth = 2 / view.scale; pen.strokeStyle = ink; pen.stroke(); }
  }
  label(shownNodes.length < 120, {ink, paper, edge});
}

// Names of what has most edges first; a text that would lie on another is left out until one zooms in.
function label(few, {ink, paper, edge}) {
  const taken = [], count = few ? shownNodes.length : 60 + 240 * Math.min(1, view.scale / 2);
  const named = [...shownNodes].sort((a, b) => (b === chosen) - (a === chosen) || b.degree - a.degree).slice(0, count);
  pen.textAlign = "center"; pen.lineJoin = "round"; pen.strokeStyle = paper;
  const write = (text, x, y, pixels, tone) => {
    const size = pixels / Math.max(view.scale, .15);
    pen.font = `${size}px system-ui,sans-serif`;
    const half = pen.measureText(text).width / 2 + size / 4;
    const box = [x - half, y - size, x + half, y + size / 4];
    if (taken.some(t => box[0] < t[2] && t[0] < box[2] && box[1] < t[3] && t[1] < box[3])) return;
    taken.push(box);
    pen.lineWidth = size / 4; pen.fillStyle = tone; pen.strokeText(text, x, y); pen.fillText(text, x, y);
  };
  for (const node of named) {
    const name = node.name.length > 28 ? node.name.slice(0, 27) + "…" : node.name;
    write(name, node.x, node.y - radius(node) - 4, 12, ink);
  }
  if (!few || view.scale < .7) return;
  const soft = theme("--soft");
  for (const e of shownEdges) {
    const x = e.b.x - e.a.x, y = e.b.y - e.a.y, far = Math.hypot(x, y) || 1, end = radius(e.b) + 1;
    pen.save(); pen.translate(e.b.x - x / far * end, e.b.y - y / far * end); pen.rotate(Math.atan2(y, x));
    pen.fillStyle = edge; pen.beginPath(); pen.moveTo(0, 0); pen.lineTo(-6, 3); pen.lineTo(-6, -3); pen.fill(); pen.restore();
    write(e.relation.replaceAll("_", " "), (e.a.x + e.b.x) / 2, (e.a.y + e.b.y) / 2, 10, soft);
  }
}

function frame() {
  if (heat > .02) { step(); if (settling > 0) { settling--; fit(); } }
  draw();
  requestAnimationFrame(frame);
}
let settling = 120;

function fit() {
  let left = 1e9, right = -1e9, top = 1e9, bottom = -1e9;
  for (const node of shownNodes) {
    left = Math.min(left, node.x); right = Math.max(right, node.x); top = Math.min(top, node.y); bottom = Math.max(bottom, node.y);
  }
  if (!shownNodes.length) return;
  view.scale = Math.min(1.6, .92 * Math.min(canvas.clientWidth / (right - left + 80), canvas.clientHeight / (bottom - top + 80)));
  view.x = -(left + right) / 2 * view.scale; view.y = -(top + bottom) / 2 * view.scale;
}

function at(event) {
  const box = canvas.getBoundingClientRect();
  return [(event.clientX - box.left - box.width / 2 - view.x) / view.scale, (event.clientY - box.top - box.height / 2 - view.y) / view.scale];
}

function hit(x, y) {
  let best = null, near = 1e9;
  for (const node of shownNodes) {
    const far = Math.hypot(node.x - x, node.y - y) - radius(node);
    if (far < 6 / view.scale && far < near) { best = node; near = far; }
  }
  if (best) return best;
  for (const e of shownEdges) {
    const x1 = e.b.x - e.a.x, y1 = e.b.y - e.a.y, long = x1 * x1 + y1 * y1 || 1;
    const t = Math.max(0, Math.min(1, ((x - e.a.x) * x1 + (y - e.a.y) * y1) / long));
    const far = Math.hypot(e.a.x + t * x1 - x, e.a.y + t * y1 - y);
    if (far < 6 / view.scale && far < near) { best = e; near = far; }
  }
  return best;
}

let dragged = null, panned = null, moved = false;
canvas.addEventListener("pointerdown", event => {
  settling = 0; moved = false;
  const found = hit(...at(event));
  dragged = found && !found.a ? found : null;
  panned = [event.clientX, event.clientY];
  canvas.setPointerCapture(event.pointerId);
});
canvas.addEventListener("pointermove", event => {
  if (!panned) return;
  if (Math.hypot(event.clientX - panned[0], event.clientY - panned[1]) > 3 || moved) {
    moved = true;
    if (dragged) { [dragged.x, dragged.y] = at(event); heat = Math.max(heat, .2); }
    else { view.x += event.clientX - panned[0]; view.y += event.clientY - panned[1]; panned = [event.clientX, event.clientY]; }
  }
});
canvas.addEventListener("pointerup", event => {
  dragged = panned = null;
  if (!moved) show(hit(...at(event)));
});
canvas.addEventListener("wheel", event => {
  event.preventDefault(); settling = 0;
  const [x, y] = at(event), before = view.scale;
  view.scale = Math.max(.05, Math.min(8, view.scale * Math.exp(-event.deltaY / 500)));
  view.x -= x * (view.scale - before); view.y -= y * (view.scale - before);
}, {passive: false});

function show(thing) {
  chosen = thing;
  if (!thing) return;
  if (thing.a) showEdge(thing); else showNode(thing);
}

function button(text, act) {
  const made = element("button", text, {type: "button"});
  made.addEventListener("click", act);
  return made;
}

function showNode(node) {
  const list = element("ul");
  for (const edge of node.near.slice(0, 200)) {
    const item = element("li");
    item.append(button(said(edge), () => show(edge)), element("div", `confidence ${edge.confidence.toFixed(2)}`, {className: "soft"}));
    list.append(item);
  }
  const other = element("input", undefined, {placeholder: "name of the same entity", ariaLabel: "name of the same entity"});
  other.setAttribute("list", "names");
  const expand = steps => () => { centre = node; node.steps = steps; sift(); fit(); settling = 60; };
  const acts = element("div", undefined, {className: "row"}), merge = element("div", undefined, {className: "row"});
  acts.append(button("Only its neighbours", expand(1)), button("Two steps", expand(2)));
  merge.append(other, button("Merge", () => decide({merge: node.id, other: other.value})), button("Never the same", () => decide({never: node.id, other: other.value})));
  const aliases = node.aliases.length ? ` · also ${node.aliases.join(", ")}` : "";
  side.replaceChildren(element("h2", node.name), element("p", `${node.type}, found ${node.mentions === 1 ? "once" : `${node.mentions} times`}${aliases}`, {className: "soft"}), acts, merge, list);
}

async function showEdge(edge) {
  side.replaceChildren(element("h2", said(edge)));
  try {
    const triple = await ask("/triple?id=" + encodeURIComponent(edge.id));
    const ends = element("div", undefined, {className: "row"}), acts = element("div", undefined, {className: "row"});
    ends.append(button(edge.a.name, () => show(edge.a)), button(edge.b.name, () => show(edge.b)));
    acts.append(button("Accept", () => decide({accept: edge.id})), button("Reject", () => decide({reject: edge.id})));
    const when = [triple.valid_from, triple.valid_to].filter(Boolean).join(" to ");
    const about = `confidence ${triple.confidence.toFixed(2)}${when ? ", " + when : ""}${triple.review ? ", " + triple.review : ""}`;
    side.append(element("p", about, {className: "soft"}), ends, acts);
    for (const support of triple.supports) {
      side.append(element("blockquote", support.sentence), element("p", `${support.source} · ${support.place} · ${support.layer}, ${support.extractor} · ${support.confidence.toFixed(2)}`, {className: "soft"}));
    }
  } catch (error) { byId("note").textContent = error.message; }
}

async function decide(decision) {
  try {
    const made = await ask("/decide", decision);
    await load();
    byId("note").textContent = `decision ${made.decision} kept`;
    side.replaceChildren(element("p", "Kept. Undo takes the last decision back.", {className: "soft"}));
    chosen = null;
  } catch (error) { byId("note").textContent = error.message; }
}

for (const id of ["type", "relation", "confidence"]) byId(id).addEventListener("input", sift);
byId("whole").addEventListener("click", () => { centre = null; byId("search").value = ""; sift(); settling = 60; });
byId("undo").addEventListener("click", () => decide({undo: 0}));
byId("search").addEventListener("change", event => {
  const wanted = event.target.value.trim().toLowerCase();
  const found = wanted && (nodes.find(n => n.name.toLowerCase() === wanted) || nodes.find(n => n.aliases.some(a => a.toLowerCase() === wanted)) || nodes.find(n => n.name.toLowerCase().includes(wanted)));
  if (!found) { byId("note").textContent = wanted ? "no such name" : ""; return; }
  centre = found; found.steps = 1; sift(); settling = 60; show(found);
});
addEventListener("resize", fit);
load().then(frame, error => { byId("note").textContent = error.message; });
