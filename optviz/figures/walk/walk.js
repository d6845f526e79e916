/*
 * The walk: a small network as a graph, stepped through forward and then backward, one node at a time.
 *
 * Streamlit calls the default export for every script run and theme change with
 *   data = { columns: [layer: [unit: [names of its nodes, sum before activation]]],
 *     nodes: { name: { symbol, kind, value, gradient } },
 *     edges: [{ source, target, weight: name or "", sent, product, texts: { sent, local, product } }],
 *     parameters: { name: { symbol, target, value, gradient } },
 *     moments: [{ phase: "given" | "forward" | "backward" | "done", node, says, lines: [[left, symbols, numbers]] }],
 *     chain: { name, symbol, paths: [{ nodes, symbols, numbers }], total, gradient }, alt }
 * and gets back one trigger: `chosen` = the name of the weight or bias that was clicked. Texts are written by Python, so
 * that picture, formulas and sentences agree to the digit; the numbers `sent` and `product` only set widths and signs.
 *
 * Lengths below are in em of the graph's own type, which is as large as the network and the window allow.
 */

const SPEEDS = [0.5, 1, 2, 4];
const KEYS = [
  ["Space or K", "play or pause"],
  ["← →", "one step (with Shift ten)"],
  ["Home, End", "first or last step"],
  ["click on a weight or bias", "its chain to the loss"],
];
const READOUT_REST = 0;
const TYPE = [13, 24]; // px: the smallest and the largest type of the graph; below the smallest it scrolls
const SCREEN = 0.5; // of the window's height that the graph may take
const BOX = { width: 4.7, height: 3.7 };
const GAP = { weights: 6.8, plain: 4.2 };
const ROW = [8, 9.5]; // from one unit to the next, at least and at most
const LETTER = 0.52; // the width of a letter in the app's own typeface, on average
const SPOTS = [0.5, 0.42, 0.58, 0.34, 0.66, 0.26, 0.74, 0.2, 0.8, 0.14, 0.86]; // where along its edge a label may stand
const ROUNDS = 4; // in which labels make way for one another
const SVG = "http://www.w3.org/2000/svg";

const walks = new WeakMap();
let letter = LETTER; // in the typeface that there is, which on a page of one's own may be a wider one

export default function showWalk({ data, parentElement, setTriggerValue }) {
  let walk = walks.get(parentElement);
  if (!walk || !parentElement.contains(walk.root)) {
    walk = createWalk(parentElement);
    walks.set(parentElement, walk);
  }
  walk.choose = (name) => setTriggerValue("chosen", name);
  if (data) receive(walk, JSON.parse(new TextDecoder().decode(data)));
  return () => setTimeout(() => parentElement.isConnected || destroy(walk));
}

function createWalk(parent) {
  const root = parent.querySelector(".oz-walk");
  root.replaceChildren();
  const walk = {
    root,
    at: 0,
    steps: 0,
    playing: false,
    frameRequest: 0,
    phase: element("span", "oz-walk-phase"),
    says: element("span", "oz-walk-says"),
    view: element("div", "oz-walk-view"),
    lines: element("table", "oz-walk-lines"),
    chain: element("section", "oz-walk-chain", { "aria-label": "Chain rule" }),
  };
  walk.player = createPlayer(walk);
  walk.player.speed.value = 1;
  const saver = createSaver(async () => walkPicture(walk));
  saver.name("the network as it stands");
  walk.player.bar.append(saver.box);
  const head = element("p", "oz-walk-head", { "aria-live": "polite" });
  head.append(walk.phase, walk.says);
  const key = element("p", "oz-walk-key");
  key.textContent =
    "∂ is ∂L/∂ of what it stands on. Lines show what flows: solid blue positive, dashed orange negative, " +
    "the wider the more. Shaded is the chain of the chosen weight; click a weight to choose it.";
  root.append(head, walk.view, key, walk.player.bar, walk.lines, walk.chain);
  root.tabIndex = -1;
  root.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.tagName === "SELECT") return;
    if (!onPlayerKey(walk, event)) return;
    event.preventDefault();
    event.stopPropagation();
  });
  root.probe = () => probe(walk);
  walk.observer = new ResizeObserver(() => walk.data && root.clientWidth !== walk.width && draw(walk));
  walk.observer.observe(root);
  return walk;
}

function destroy(walk) {
  walk.gone = true;
  walk.observer.disconnect();
  cancelAnimationFrame(walk.frameRequest);
}

function receive(walk, data) {
  const atEnd = walk.data && walk.at >= walk.steps;
  walk.data = data;
  walk.steps = data.moments.length - 1;
  walk.at = atEnd ? walk.steps : Math.min(walk.at, walk.steps);
  walk.when = { forward: {}, backward: {} }; // the moment at which a node gets its value, and passes its gradient on
  data.moments.forEach(({ phase, node }, i) => node && (walk.when[phase][node] = i));
  walk.player.scrubber.max = walk.steps;
  walk.drawn = null;
  showChain(walk);
  schedule(walk);
}

// ------------------------------------------------------------------------------------------------ time

function schedule(walk) {
  if (!walk.frameRequest && !walk.gone) walk.frameRequest = requestAnimationFrame((now) => tick(walk, now));
}

function tick(walk, now) {
  walk.frameRequest = 0;
  if (walk.playing) {
    const seconds = Math.min(now - (walk.last ?? now), 100) / 1000;
    walk.last = now;
    walk.at = Math.min(walk.at + seconds * Number(walk.player.speed.value), walk.steps);
    if (walk.at >= walk.steps) pause(walk);
  }
  showClock(walk, now);
  if (walk.playing) schedule(walk);
}

function clockText(walk, frame) {
  return `step ${frame} of ${walk.steps}`;
}

function readOut(walk) {
  const frame = Math.floor(walk.at);
  if (walk.drawn === frame) return;
  walk.drawn = frame;
  const { phase, says, lines } = walk.data.moments[frame];
  walk.phase.textContent = { given: "Start", forward: "Forward →", backward: "← Backward", done: "Done" }[phase];
  walk.root.dataset.phase = phase;
  walk.says.textContent = says;
  walk.lines.replaceChildren(...lines.map(tableRow));
  draw(walk);
  walk.root.dataset.ready = "true";
}

function tableRow([left, symbols, numbers]) {
  const row = element("tr", "");
  for (const [tag, text] of [["th", left], ["td", symbols], ["td", numbers]]) {
    const cell = element(tag, "", tag === "th" ? { scope: "row" } : {});
    cell.textContent = text;
    row.append(cell);
  }
  return row;
}

function showChain({ chain, data }) {
  const { symbol, paths, total } = data.chain;
  const title = element("h3", "oz-walk-title");
  const along = paths.length > 1 ? `the product along each of its ${paths.length} paths, added up` : "the product along its path";
  title.textContent = `∂L/∂${symbol}: ${along}`;
  const table = element("table", "oz-walk-lines");
  table.append(...paths.map(({ symbols, numbers }, i) => tableRow([paths.length > 1 ? `path ${i + 1}` : "", symbols, numbers])));
  if (paths.length > 1) table.append(tableRow(["sum", `∂L/∂${symbol}`, total]));
  chain.replaceChildren(title, table);
}

// ------------------------------------------------------------------------------------------------ the graph

function shape(tag, attributes, text) {
  const node = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  if (text !== undefined) node.textContent = text;
  return node;
}

/** Type size and the place of every box, in px: the largest type at which columns and rows fit. */
function layout(walk) {
  const { columns, edges } = walk.data;
  const widths = columns.map((units) => Math.max(...units.map((unit) => unit.length)) * BOX.width);
  const layerOf = new Map(columns.flatMap((units, i) => units.flat().map((name) => [name, i])));
  const gaps = columns.slice(1).map((_, i) =>
    edges.some(({ weight, target }) => weight && layerOf.get(target) === i + 1) ? GAP.weights : GAP.plain,
  );
  const sum = (numbers) => numbers.reduce((total, number) => total + number, 0);
  const rows = Math.max(...columns.map((units) => units.length));
  const [least, most] = TYPE;
  const fitting = Math.min(walk.width / (sum(widths) + sum(gaps) + 0.6), (window.innerHeight * SCREEN) / (rows * ROW[0]));
  const em = Math.max(least, Math.min(most, fitting));
  const wide = Math.max(walk.width, (sum(widths) + sum(gaps) + 0.6) * em);
  const stretch = Math.min(2, (wide / em - sum(widths) - 0.6) / sum(gaps)); // spare width goes to the edges, within reason
  const apart = Math.max(ROW[0], Math.min(ROW[1], (window.innerHeight * SCREEN) / (rows * em))) * em;
  const height = rows * apart;
  const boxes = new Map();
  const used = (sum(widths) + stretch * sum(gaps)) * em;
  let x = (wide - used) / 2;
  columns.forEach((units, i) => {
    units.forEach((unit, row) => {
      const y = height / 2 + (row - (units.length - 1) / 2) * apart;
      unit.forEach((name, k) => {
        boxes.set(name, { x: x + k * BOX.width * em, y: y - (BOX.height * em) / 2, w: BOX.width * em, h: BOX.height * em });
      });
    });
    x += (widths[i] + stretch * (gaps[i] ?? 0)) * em;
  });
  return { em, wide, height, boxes };
}

function draw(walk) {
  walk.width = walk.root.clientWidth;
  if (!walk.width) return; // in a tab that is not open: the observer calls again
  const { data } = walk;
  letter = Math.max(LETTER, letterWidth(walk));
  const frame = Math.floor(walk.at);
  const { phase, node: active } = data.moments[frame];
  const { em, wide, height, boxes } = layout(walk);
  const svg = shape("svg", { class: "oz-walk-graph", width: wide, height, viewBox: `0 0 ${wide} ${height}`, role: "img" });
  svg.setAttribute("aria-label", data.alt);
  svg.style.fontSize = `${em}px`;
  const known = (name) => (walk.when.forward[name] ?? 0) <= frame;
  const passed = (name) => (walk.when.backward[name] ?? Infinity) <= frame; // its gradient went on to its sources
  const backward = phase === "backward" || phase === "done";
  const onChain = chainNodes(data);
  const largest = (name) => Math.max(...data.edges.map((edge) => Math.abs(edge[name])), 1e-300);
  const scale = { sent: largest("sent"), product: largest("product") };
  const inside = ({ source, target }) => boxes.get(source).x + boxes.get(source).w >= boxes.get(target).x - 1; // within a unit

  const lines = data.edges.filter((edge) => !inside(edge)).map((edge) => {
    const [from, to] = [boxes.get(edge.source), boxes.get(edge.target)];
    const ends = { x1: from.x + from.w, y1: from.y + from.h / 2, x2: to.x, y2: to.y + to.h / 2 };
    return { edge, ends, active: edge.target === active, meets: phase === "backward" && edge.source === active };
  });
  const halos = shape("g", { class: "oz-walk-halos" });
  const strokes = shape("g", {});
  for (const { edge, ends, active: now, meets } of lines) {
    if (onChain.edge(edge)) halos.append(shape("line", { ...ends, "stroke-width": 0.6 * em }));
    const flows = backward ? passed(edge.target) : known(edge.target);
    const amount = edge[backward ? "product" : "sent"];
    const width = flows ? 1.5 + (0.34 * em * Math.abs(amount)) / scale[backward ? "product" : "sent"] : 1.5;
    const sign = !flows || amount === 0 ? "still" : amount > 0 ? "plus" : "minus";
    const line = shape("line", { ...ends, class: `oz-walk-edge oz-walk-${sign}`, "stroke-width": width });
    if (now || meets) line.classList.add("oz-walk-now");
    strokes.append(line);
    if (edge.weight) strokes.append(pickable(walk, edge.weight, shape("line", { ...ends, class: "oz-walk-hit", "stroke-width": em })));
  }
  const units = shape("g", {});
  for (const [name, box] of boxes) units.append(drawNode(walk, name, box, em, { known, passed, backward, active, onChain }));
  const labels = drawLabels(walk, lines, boxes, em, { phase, known, passed, onChain });
  svg.append(halos, strokes, units, labels);
  walk.view.replaceChildren(svg);
  if (active && wide > walk.width + 1) {
    const { x, w } = boxes.get(active);
    walk.view.scrollLeft = x + w / 2 - walk.width / 2;
  }
}

/** How wide a letter of the numbers is here, in em. */
function letterWidth({ root }) {
  const ctx = document.createElement("canvas").getContext("2d");
  ctx.font = `600 100px ${getComputedStyle(root).fontFamily}`;
  const numbers = "∂ −0.1234567";
  return ctx.measureText(numbers).width / (100 * numbers.length);
}

function chainNodes({ chain, parameters }) {
  const steps = new Set(chain.paths.flatMap(({ nodes }) => nodes.slice(1).map((node, i) => `${nodes[i]}>${node}`)));
  const nodes = new Set(chain.paths.flatMap((path) => path.nodes));
  const edge = ({ source, target, weight }) => weight === chain.name || steps.has(`${source}>${target}`);
  return { nodes, edge, name: chain.name, target: parameters[chain.name].target };
}

function pickable(walk, name, node) {
  node.addEventListener("click", () => walk.choose(name));
  node.dataset.parameter = name;
  return node;
}

/** A node: its symbol, its value once it is known, its gradient once the loss has told it; below, what belongs to it. */
function drawNode(walk, name, box, em, { known, passed, backward, active, onChain }) {
  const { nodes, edges, parameters } = walk.data;
  const { symbol, kind, value, gradient } = nodes[name];
  const group = shape("g", { class: `oz-walk-node oz-walk-${kind}` });
  group.dataset.node = name;
  if (name === active) group.classList.add("oz-walk-now");
  if (onChain.nodes.has(name)) group.classList.add("oz-walk-chained");
  const middle = box.x + box.w / 2;
  const put = (row, className, text, x = middle) => {
    const node = shape("text", { x, y: box.y + row * em, class: className, "text-anchor": "middle" }, text);
    if (x === middle && text.length * letter > BOX.width - 0.2) node.style.fontSize = `${(BOX.width - 0.2) / (text.length * letter)}em`;
    group.append(node);
  };
  group.append(shape("rect", { x: box.x, y: box.y, width: box.w, height: box.h, rx: 0.5 * em }));
  put(0.95, "oz-walk-symbol", symbol);
  if (known(name)) put(2.1, "oz-walk-value", value);
  const children = edges.filter(({ source }) => source === name);
  const told = backward && (name === "L" || children.every(({ target }) => passed(target)));
  if (told) put(3.25, "oz-walk-gradient", `∂ ${gradient}`);
  const bias = kind === "sum" && `b${name.slice(1)}`;
  if (bias) {
    const text = pickable(walk, bias, shape("text", { x: box.x + 0.2 * em, y: box.y + box.h + 1.1 * em, class: "oz-walk-bias" }));
    text.append(shape("tspan", {}, `b ${parameters[bias].value}`));
    if (passed(name)) text.append(shape("tspan", { class: "oz-walk-gradient", dx: "0.5em" }, `∂ ${parameters[bias].gradient}`));
    if (onChain.name === bias) text.classList.add("oz-walk-chosen");
    group.append(text);
  }
  const slope = kind === "activation" && edges.find(({ target }) => target === name);
  if (slope && passed(name)) {
    const { local, product } = slope.texts;
    const full = `← ${local} × ${gradient} = ${product}`;
    if (name === active) put(-0.55, "oz-walk-work", full, box.x);
    else put(-0.4, "oz-walk-slope", `slope ${local}`);
  }
  return group;
}

/** What stands on the edges. Labels at rest keep their places; those of the active node say more, and cover what they
 * must: a label at rest that one of them would touch is left out until it moves on. */
function drawLabels(walk, lines, boxes, em, { phase, known, passed, onChain }) {
  const { nodes, parameters } = walk.data;
  const group = shape("g", { class: "oz-walk-labels" });
  const around = (box) => ({ ...box, y: box.y - em, h: box.h + 2.4 * em }); // with what is written above and below
  const obstacles = [...boxes].map(([name, box]) => (/^[za]/.test(name) ? around(box) : box));
  const sized = (rows, each) => ({ w: (longest(rows) * each + 0.5) * em, h: (rows.length * 1.12 + 0.1) * em });
  const resting = lines.filter(({ edge }) => edge.weight).map(({ edge, ends }) => {
    const { value, gradient } = parameters[edge.weight];
    return { edge, ends, ...sized([[value], [`∂ ${gradient}`]], letter) };
  });
  settle(resting, obstacles);
  const working = lines.filter(({ active }) => active).map(({ edge, ends }) => {
    const [target, source] = [nodes[edge.target], nodes[edge.source]];
    const room = (ends.x2 - ends.x1) / em - 0.6;
    let rows = workRows(edge, phase, target.gradient, source.value, parameters[edge.weight]);
    if (longest(rows) * letter > room) rows = rows.flatMap(([text, look]) => text.split(/(?<=×) /).map((part) => [part, look]));
    return { edge, ends, rows, ...sized(rows, letter * 0.94) };
  });
  settle(working, obstacles);
  for (const { edge, ...box } of resting) {
    if (working.some((other) => other.edge === edge || overlap(other, box) > 0)) continue;
    const rows = [[parameters[edge.weight].value, "oz-walk-weight"]];
    if (passed(edge.target)) rows.push([`∂ ${parameters[edge.weight].gradient}`, "oz-walk-gradient"]);
    group.append(label(walk, edge, rows, box, em, onChain));
  }
  for (const { edge, rows, ...box } of working) group.append(label(walk, edge, rows, box, em, onChain, "oz-walk-now"));
  return group;
}

/** What an edge into the active node says: what it sends, or local derivative × gradient = what flows back. */
function workRows({ weight, texts }, phase, gradient, value, parameter) {
  if (phase !== "backward") {
    return weight ? [[`${texts.local} × ${value}`, "oz-walk-weight"], [`= ${texts.sent}`, ""]] : [[`${texts.sent} →`, ""]];
  }
  const rows = [[`${texts.local} × ${gradient}`, ""], [`← ${texts.product}`, "oz-walk-gradient"]];
  return weight ? [...rows, [`∂w ${parameter.gradient}`, "oz-walk-gradient"]] : rows;
}

function label(walk, edge, rows, box, em, onChain, extra = "") {
  const group = shape("g", { class: `oz-walk-label ${extra}` });
  group.dataset.edge = `${edge.source}>${edge.target}`;
  if (edge.weight) pickable(walk, edge.weight, group);
  if (edge.weight && edge.weight === onChain.name) group.classList.add("oz-walk-chosen");
  const height = extra ? box.h : (rows.length * 1.1 + 0.1) * em;
  const top = box.y + (box.h - height) / 2;
  const width = extra ? box.w : (longest(rows) * letter + 0.4) * em;
  group.append(shape("rect", { x: box.x + (box.w - width) / 2, y: top, width, height, rx: 0.35 * em }));
  rows.forEach(([text, className], i) => {
    const y = top + (i + 0.85) * 1.12 * em;
    group.append(shape("text", { x: box.x + box.w / 2, y, class: className, "text-anchor": "middle" }, text));
  });
  return group;
}

function longest(rows) {
  return Math.max(...rows.map(([text]) => text.length));
}

/** Gives each label the spot along its edge where it covers least of the others and of the obstacles, a few times over. */
function settle(labels, obstacles) {
  for (let round = 0; round < ROUNDS; round++) {
    for (const label of labels) {
      const { x1, y1, x2, y2 } = label.ends;
      const others = [...obstacles, ...labels.filter((other) => other !== label && other.x !== undefined)];
      const spots = SPOTS.map((t) => ({ x: x1 + t * (x2 - x1) - label.w / 2, y: y1 + t * (y2 - y1) - label.h / 2 }));
      const costs = spots.map((spot) => others.reduce((sum, other) => sum + overlap({ ...label, ...spot }, other), 0));
      Object.assign(label, spots[costs.indexOf(Math.min(...costs))]);
    }
  }
}

function overlap(one, other) {
  const wide = Math.min(one.x + one.w, other.x + other.w) - Math.max(one.x, other.x);
  const high = Math.min(one.y + one.h, other.y + other.h) - Math.max(one.y, other.y);
  return wide > 0 && high > 0 ? wide * high : 0;
}

// ------------------------------------------------------------------------------------------------ saving

const INKED = ["fill", "stroke", "stroke-width", "stroke-dasharray", "stroke-linecap", "opacity", "font-size", "font-weight", "font-family"];

/** The graph as it is, with the style sheet's colours and type written into it. */
function walkPicture(walk) {
  const graph = walk.view.firstElementChild;
  const copy = graph.cloneNode(true);
  const originals = [graph, ...graph.querySelectorAll("*")];
  [copy, ...copy.querySelectorAll("*")].forEach((node, i) => {
    const css = getComputedStyle(originals[i]);
    node.setAttribute("style", INKED.map((name) => `${name}:${css.getPropertyValue(name)}`).join(";"));
  });
  const css = getComputedStyle(walk.root);
  const theme = {
    text: css.color,
    background: css.getPropertyValue("--st-background-color"),
    size: parseFloat(css.fontSize),
    font: css.fontFamily,
  };
  const [width, height] = ["width", "height"].map((side) => Number(graph.getAttribute(side)));
  const title = `${walk.phase.textContent}: ${walk.says.textContent}`;
  return { title, file: "", width, height, theme, body: new XMLSerializer().serializeToString(copy) };
}

// ------------------------------------------------------------------------------------------------ for browser tests

function probe(walk) {
  const texts = (selector, key) =>
    Object.fromEntries(
      [...walk.view.querySelectorAll(selector)].map((node) => [node.dataset[key], [...node.querySelectorAll("text")].map((text) => text.textContent)]),
    );
  return {
    frame: walk.drawn, // what is seen, a frame after what was asked for
    steps: walk.steps,
    playing: walk.playing,
    phase: walk.root.dataset.phase,
    says: walk.says.textContent,
    nodes: texts(".oz-walk-node", "node"),
    edges: texts(".oz-walk-label", "edge"),
    active: walk.view.querySelector(".oz-walk-node.oz-walk-now")?.dataset.node ?? "",
    chain: walk.chain.innerText,
  };
}
