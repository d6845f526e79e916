/*
 * The stage: optimizers race over a surface.
 *
 * Plotly draws what stands still (contour, axes, colour bar, zoom and hover). Over each of its plot areas lies one
 * canvas, the ink, with the lines up to the current moment: while the race plays forward only the new piece of every
 * line is added, and all is drawn afresh only when view or data change or time runs backwards. So a frame costs the
 * same for fifty steps as for five thousand. What moves (heads, cursor) are small sprites that the browser only has to
 * shift; a second canvas for them would be composited whole on every frame, which measured a third of the frame rate.
 *
 * The clock `at` is a real number of steps. Frame floor(at) is the truth; between two frames the heads glide along the
 * segment that joins them, so that slow playing is smooth. Pausing snaps to a frame.
 *
 * Streamlit calls the default export for every script run and theme change with
 *   data = { steps: T, revision, autoplay, loop, compact, height, plotly: [addresses of plotly.js, best first],
 *     panels: [{ name, kind: "plane" | "curve", x, y: names of series, title, alt, log, click,
 *                figure: { data, layout }, marks: [{ x, y, kind: "minimum" | "saddle" | "start", label }] }],
 *     racers: [{ label, color, dash, marker, ghost, stop, state, series: { name: base64 of little-endian float32 } }],
 *     scales: { light, dark } }
 * and gets back one trigger, `start` = { x, y }: the point of the surface that was clicked.
 */

const SPEEDS = [5, 15, 30, 60, 120, 250, 500, 1000];
const RUN_SECONDS = 6; // the default speed is the one that lets a run last about this long
const LOOP_REST = 1500; // ms between the end of a looping race and its restart
const DOUBLE_CLICK = 230; // ms a click waits for a second one before it counts as single
const KEY_REST = 150; // ms without a key before the moved start is sent
const PENDING_START = 2000; // ms a start that was sent is shown without an answer
const READOUT_REST = 80; // ms between two changes of the legend's numbers: faster is unreadable
const WIDE = 820; // px from which curves stand beside the surface
const SPRITE = 36; // px: the square a marker is drawn in
const CHUNK = 80; // vertices stroked at once: long winding paths are slow to stroke whole
const MANY_DOTS = 120; // more steps than this in view, and they are not dotted
const CLIP_PAD = 40; // px around the plot area within which paths are kept
const NEAR = 0.6; // px: path points closer than this to the last kept one are not drawn

const stages = new WeakMap();
let library = null; // the promise of Plotly: one load per page

export default function ({ data, parentElement, setTriggerValue }) {
  let stage = stages.get(parentElement);
  if (!stage || !parentElement.contains(stage.root)) {
    if (stage) destroy(stage);
    stage = createStage(parentElement);
    stages.set(parentElement, stage);
  }
  stage.send = (point) => setTriggerValue("start", point);
  if (data) receive(stage, data);
  // Streamlit also calls the cleanup of a call that a newer one overtook; only an element that left the page is gone.
  return () => setTimeout(() => parentElement.isConnected || destroy(stage));
}

// ------------------------------------------------------------------------------------------------ loading Plotly

/** The app's base address, taken from the script that runs this page: right behind a base path and on deep links. */
function appBase() {
  const names = performance.getEntriesByType("resource").map((entry) => entry.name);
  const script = names.find((name) => /\/static\/js\/index\.[^/]+\.js/.test(name));
  const tag = document.querySelector('script[src*="static/js/"]');
  return script || tag ? new URL("../../", script ?? tag.src) : new URL(".", document.baseURI);
}

function loadScript(address) {
  return new Promise((resolve, reject) => {
    const script = document.createElement("script");
    script.src = address;
    script.onload = resolve;
    script.onerror = () => reject(new Error(`no script at ${address}`));
    document.head.append(script);
  });
}

async function findPlotly(sources) {
  for (const source of sources) {
    if (window.Plotly?.react) break;
    const address = new URL(source, appBase()).href;
    try {
      await (source.startsWith("static/js/") ? import(address) : loadScript(address));
    } catch (problem) {
      console.info("optviz: plotly.js is not at", address, problem.message);
    }
  }
  if (!window.Plotly?.react) throw new Error("the plotting library did not load");
  return window.Plotly;
}

function loadPlotly(sources) {
  library ??= findPlotly(sources).catch((problem) => {
    library = null; // the next script run may try again
    throw problem;
  });
  return library;
}

// ------------------------------------------------------------------------------------------------ birth and death

function element(tag, className, attributes = {}) {
  const node = document.createElement(tag);
  node.className = className;
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  return node;
}

function createStage(parent) {
  const root = parent.querySelector(".oz-stage") ?? parent.appendChild(element("div", "oz-stage"));
  root.replaceChildren();
  const stage = {
    root,
    panels: new Map(),
    racers: [],
    hidden: new Set(),
    steps: 0,
    at: 0,
    playing: false,
    speed: null, // null until the visitor chooses one
    curveX: null, // the x range to which the visitor zoomed the curves
    pending: null, // a start that was asked for and is not yet in the data
    drawn: 0,
    frameRequest: 0,
    fitRequest: 0,
    timers: {},
    legend: element("div", "oz-legend", { role: "group", "aria-label": "Racers" }),
    board: element("div", "oz-board"),
    planes: element("div", "oz-planes"),
    curves: element("div", "oz-curves"),
    note: element("p", "oz-note", { role: "alert" }),
  };
  stage.player = createPlayer(stage);
  stage.board.append(stage.planes, stage.curves);
  root.append(stage.legend, stage.note, stage.board, stage.player.bar);
  root.addEventListener("keydown", (event) => onKey(stage, event));
  root.probe = () => probe(stage);
  stage.refit = () => {
    cancelAnimationFrame(stage.fitRequest);
    stage.fitRequest = requestAnimationFrame(() => stage.data && (arrange(stage), redraw(stage)));
  };
  stage.observer = new ResizeObserver(() => root.clientWidth !== stage.width && stage.refit());
  stage.observer.observe(root);
  window.addEventListener("resize", stage.refit);
  return stage;
}

function destroy(stage) {
  stage.gone = true;
  stage.observer.disconnect();
  window.removeEventListener("resize", stage.refit);
  cancelAnimationFrame(stage.frameRequest);
  cancelAnimationFrame(stage.fitRequest);
  Object.values(stage.timers).forEach(clearTimeout);
  stage.panels.forEach((panel) => removePanel(stage, panel));
}

// ------------------------------------------------------------------------------------------------ data come in

function receive(stage, data) {
  const first = !stage.data;
  const revised = stage.data?.revision !== data.revision;
  stage.data = data;
  stage.theme = readTheme(stage.root);
  stage.racers = data.racers.map((racer) => readRacer(racer));
  stage.root.classList.toggle("oz-compact", Boolean(data.compact));
  if (revised) stage.curveX = null;
  syncPanels(stage, revised);
  syncLegend(stage);
  settlePending(stage);
  setSteps(stage, data.steps, first);
  arrange(stage);
  redraw(stage);
}

/** The clock when data change: a race at its end stays at the end, any other stays where it is. */
function setSteps(stage, steps, first) {
  const atEnd = stage.at >= stage.steps;
  const still = window.matchMedia("(prefers-reduced-motion: reduce)").matches;
  stage.steps = steps;
  if (first && stage.data.autoplay && !still) play(stage);
  else if (first || (atEnd && !stage.playing)) stage.at = steps;
  stage.at = Math.min(stage.at, steps);
  stage.player.scrubber.max = steps;
  if (stage.speed === null) stage.player.speed.value = defaultSpeed(steps);
}

function defaultSpeed(steps) {
  const distance = (speed) => Math.abs(Math.log((speed * RUN_SECONDS) / Math.max(steps, 1)));
  return SPEEDS.reduce((best, speed) => (distance(speed) < distance(best) ? speed : best));
}

function decode(text) {
  const raw = atob(text);
  const bytes = new Uint8Array(raw.length);
  for (let i = 0; i < raw.length; i++) bytes[i] = raw.charCodeAt(i);
  return new Float32Array(bytes.buffer);
}

function readRacer(racer) {
  const series = Object.fromEntries(Object.entries(racer.series).map(([name, text]) => [name, decode(text)]));
  const diverged = /^diverged/i.test(racer.state ?? "");
  return { ...racer, series, diverged, dash: racer.dash ?? [], marker: racer.marker ?? "circle" };
}

function visible(stage) {
  const shown = stage.racers.filter((racer) => !stage.hidden.has(racer.label));
  return [...shown.filter((racer) => racer.ghost), ...shown.filter((racer) => !racer.ghost)];
}

// ------------------------------------------------------------------------------------------------ theme

/** Any CSS colour as [r, g, b], read back from a canvas, which understands all of them. */
function channels(color) {
  const pen = (channels.pen ??= document.createElement("canvas").getContext("2d", { willReadFrequently: true }));
  pen.clearRect(0, 0, 1, 1);
  pen.fillStyle = color;
  pen.fillRect(0, 0, 1, 1);
  return [...pen.getImageData(0, 0, 1, 1).data].slice(0, 3);
}

const fade = (color, alpha) => `rgba(${channels(color).join(",")},${alpha})`;

function readTheme(root) {
  const css = getComputedStyle(root);
  const read = (name, otherwise) => {
    const value = css.getPropertyValue(name).trim();
    return value && value !== "unset" ? value : otherwise;
  };
  const text = read("--st-text-color", "#31333f");
  const background = read("--st-background-color", "#ffffff");
  const [r, g, b] = channels(background);
  return {
    text,
    background,
    grid: fade(text, 0.12),
    frame: fade(text, 0.45),
    font: read("--st-font", "sans-serif"),
    size: Math.max(13, Math.round((parseFloat(read("--st-base-font-size", "16")) || 16) * 0.9)),
    dark: 0.3 * r + 0.59 * g + 0.11 * b < 128,
  };
}

// ------------------------------------------------------------------------------------------------ panels

function syncPanels(stage, revised) {
  const specs = stage.data.panels.filter((spec) => spec.kind === "plane" || !stage.data.compact);
  const names = new Set(specs.map((spec) => spec.name));
  for (const panel of stage.panels.values()) if (!names.has(panel.spec.name)) removePanel(stage, panel);
  for (const spec of specs) {
    const panel = stage.panels.get(spec.name) ?? createPanel(stage, spec);
    if (revised || panel.spec.log !== spec.log) panel.view = {};
    panel.spec = spec;
    panel.source = JSON.stringify(spec.figure ?? {});
    panel.stale = true;
    describePanel(stage, panel);
    panel.home.append(panel.box); // keeps the order of the data
  }
}

function createPanel(stage, spec) {
  const plane = spec.kind === "plane";
  const panel = {
    spec,
    plane,
    box: element("section", `oz-panel oz-${spec.kind}`),
    title: element("span", "oz-title"),
    symbols: element("span", "oz-symbols"),
    plot: element("div", "oz-plot"),
    graph: element("div", "oz-graph"),
    ink: element("canvas", "oz-ink", { "aria-hidden": "true" }),
    sprites: element("div", "oz-sprites", { "aria-hidden": "true" }),
    marks: element("div", "oz-layer"),
    heads: element("div", "oz-layer"),
    cursor: element("div", "oz-cursor"),
    tag: element("div", "oz-tag"), // the words of the mark under the pointer
    home: plane ? stage.planes : stage.curves,
    view: {}, // the ranges the visitor zoomed to: { x, y }
    margin: null, // what Plotly really needs around the plot, measured
    listening: false,
    key: null, // the figure on the screen, as text
    queue: Promise.resolve(), // Plotly calls for this panel, one after the other
    traces: [],
    inked: 0,
    hover: null,
  };
  const head = element("div", "oz-head");
  head.append(panel.title, panel.symbols);
  panel.plot.append(panel.graph);
  panel.sprites.append(panel.marks, panel.cursor, panel.heads, panel.tag);
  panel.box.append(head, panel.plot);
  panel.plot.addEventListener("pointerdown", (event) => onPress(stage, panel, event), true);
  if (plane) {
    panel.plot.addEventListener("pointermove", (event) => onHover(stage, panel, event), true);
    panel.plot.addEventListener("pointerleave", () => setHover(stage, panel, null));
  }
  stage.panels.set(spec.name, panel);
  return panel;
}

function removePanel(stage, panel) {
  panel.gone = true;
  clearTimeout(panel.click?.timer);
  window.Plotly?.purge?.(panel.graph);
  panel.box.remove();
  stage.panels.delete(panel.spec.name);
}

const SYMBOLS = { minimum: "★ minimum", saddle: "✕ saddle", start: "◎ start" };

function describePanel(stage, { spec, plane, title, symbols, plot }) {
  const clickable = plane && Boolean(spec.click);
  const kinds = Object.keys(SYMBOLS).filter((kind) => spec.marks?.some((mark) => mark.kind === kind));
  title.textContent = spec.title ?? "";
  symbols.textContent = plane ? kinds.map((kind) => SYMBOLS[kind]).join("\u2003") : "";
  plot.setAttribute("role", clickable ? "application" : "img");
  plot.setAttribute("aria-label", `${spec.alt ?? spec.title ?? ""}${clickable ? " Arrow keys move the start." : ""}`);
  if (clickable) plot.setAttribute("tabindex", "0");
  else plot.removeAttribute("tabindex");
}

/** Gives every panel its pixels: the surface as large as fits at its own proportions, the curves what is left. */
function arrange(stage) {
  const { root, data, theme } = stage;
  const planes = [...stage.panels.values()].filter((panel) => panel.plane);
  const curves = [...stage.panels.values()].filter((panel) => !panel.plane);
  if (root.clientWidth === 0) return; // in a tab that is not open: the observer calls again
  stage.width = root.clientWidth;
  const wide = stage.width >= WIDE && planes.length > 0 && curves.length > 0;
  root.classList.toggle("oz-wide", wide);
  const tallLegend = Math.max(0, stage.legend.offsetHeight - 3.5 * theme.size); // leaves the player on the first screen
  const cap = Math.max(360, data.height ?? window.innerHeight * 0.65 - tallLegend);
  const room = wide ? Math.floor(stage.width * 0.62) : stage.width;
  const title = Math.ceil(theme.size * 1.9); // the line above every plot, as in stage.css
  root.style.setProperty("--oz-title", `${title}px`);
  let height = 0;
  let width = 0;
  for (const panel of planes) {
    panel.size = planeSize(stage, panel, room, cap);
    height += panel.size[1] + title;
    width = Math.max(width, panel.size[0]);
  }
  const last = theme.size * 2.6; // the lowest curve also carries the labels of the step axis
  const each = wide ? Math.max(150, (height - last) / curves.length) : Math.max(200, Math.min(280, stage.width * 0.4));
  curves.forEach((panel, i) => {
    panel.lowest = i === curves.length - 1;
    panel.size = [wide ? stage.width - width - 20 : stage.width, Math.floor(each - title + (panel.lowest ? last : 0))];
  });
  for (const panel of stage.panels.values()) {
    panel.plot.style.width = `${panel.size[0]}px`;
    panel.plot.style.height = `${panel.size[1]}px`;
  }
}

function planeSize(stage, panel, room, cap) {
  const { margin, xaxis = {}, yaxis = {} } = planeLayout(stage, panel);
  const { l, r, t, b } = panel.margin ?? margin;
  if (!(xaxis.scaleanchor || yaxis.scaleanchor) || !xaxis.range || !yaxis.range) {
    return [room, Math.round(Math.max(360, Math.min(cap, room * 0.85)))];
  }
  const proportion = Math.abs((xaxis.range[1] - xaxis.range[0]) / (yaxis.range[1] - yaxis.range[0]));
  const ideal = (cap - t - b) * proportion + l + r;
  if (ideal <= room) return [Math.round(Math.max(ideal, Math.min(room, 320))), Math.round(cap)];
  return [room, Math.round(Math.max(360, (room - l - r) / proportion + t + b))];
}

// ------------------------------------------------------------------------------------------------ figures

const isRecord = (value) => value !== null && typeof value === "object" && !Array.isArray(value);

/** `over` laid on `base`, deeply; neither is changed. */
function merge(base, over) {
  const out = { ...base };
  for (const [name, value] of Object.entries(over ?? {})) {
    out[name] = isRecord(value) && isRecord(out[name]) ? merge(out[name], value) : value;
  }
  return out;
}

function axisLook({ theme }, text) {
  const font = { size: theme.size, color: theme.text };
  return {
    color: theme.text,
    gridcolor: theme.grid,
    linecolor: theme.frame,
    tickcolor: theme.frame,
    tickfont: font,
    title: { text, font: { ...font, size: theme.size + 1 }, standoff: 6 },
    showline: true,
    mirror: true,
    zeroline: false,
    ticks: "outside",
    ticklen: 4,
    exponentformat: "power",
  };
}

function look(stage) {
  const { theme, data } = stage;
  const small = { size: theme.size, color: theme.text };
  return {
    paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)",
    font: { family: theme.font, size: theme.size, color: theme.text },
    hoverlabel: {
      bgcolor: theme.background,
      bordercolor: theme.frame,
      font: { family: theme.font, size: theme.size, color: theme.text },
    },
    modebar: { bgcolor: "rgba(0,0,0,0)", color: fade(theme.text, 0.55), activecolor: theme.text },
    coloraxis: {
      colorscale: data.scales?.[theme.dark ? "dark" : "light"],
      colorbar: {
        thickness: 12,
        outlinewidth: 0,
        xpad: 8,
        ypad: 0,
        ticks: "outside",
        ticklen: 4,
        tickcolor: theme.frame,
        tickfont: small,
        title: { font: small },
        exponentformat: "power",
      },
    },
    dragmode: "zoom",
    showlegend: false,
    uirevision: data.revision,
  };
}

/** Plotly takes axis titles as records only. */
function withTitles(layout = {}) {
  const out = { ...layout };
  for (const name of ["xaxis", "yaxis"]) {
    if (typeof out[name]?.title === "string") out[name] = { ...out[name], title: { text: out[name].title } };
  }
  return out;
}

function planeLayout(stage, { spec }) {
  const traces = spec.figure?.data ?? [];
  const bar = spec.figure?.layout?.coloraxis?.showscale !== false && traces.some((trace) => trace.coloraxis);
  const { size } = stage.theme;
  const base = {
    ...look(stage),
    margin: { l: size * 3.4, r: bar ? size * 4.4 : 14, t: 10, b: size * 3 },
    xaxis: { ...axisLook(stage, spec.x), constrain: "domain" },
    yaxis: { ...axisLook(stage, spec.y), constrain: "domain" },
  };
  return merge(base, withTitles(spec.figure?.layout));
}

function curveLayout(stage, panel) {
  const { size } = stage.theme;
  const { spec, lowest } = panel;
  const base = {
    ...look(stage),
    margin: { l: size * 4.4, r: SPRITE / 2, t: 10, b: lowest ? size * 3 : 8 },
    xaxis: { ...axisLook(stage, lowest ? "step" : ""), showticklabels: lowest, nticks: 7 },
    yaxis: { ...axisLook(stage, ""), type: spec.log ? "log" : "linear", nticks: 5 },
  };
  return merge(base, withTitles(spec.figure?.layout));
}

/** The whole figure of a panel as it should be on the screen now. */
function compose(stage, panel) {
  const layout = panel.plane ? planeLayout(stage, panel) : curveLayout(stage, panel);
  const home = panel.plane ? {} : { x: [0, Math.max(stage.steps, 1)], y: dataRange(stage, panel) };
  const x = (panel.plane ? panel.view.x : stage.curveX) ?? home.x;
  const y = panel.view.y ?? home.y;
  [layout.width, layout.height] = panel.size;
  if (x) layout.xaxis = { ...layout.xaxis, range: x, autorange: false };
  if (y) layout.yaxis = { ...layout.yaxis, range: y, autorange: false };
  if (!panel.plane && panel.spec.log) Object.assign(layout.yaxis, logTicks(y));
  return layout;
}

/** Whole powers of ten, a handful; 1, 2, 5 within a decade or two. Plotly's own come in three sizes of type. */
function logTicks([low, high]) {
  const [first, last] = [Math.floor(low), Math.ceil(high)];
  const every = Math.max(1, Math.ceil((high - low) / 5));
  const digits = high - low < 0.8 ? [1, 1.5, 2, 3, 4, 5, 6, 8] : high - low < 1.7 ? [1, 2, 5] : [1];
  const tickvals = [];
  for (let power = Math.ceil(first / every) * every; power <= last; power += every) {
    digits.forEach((digit) => tickvals.push(digit * 10 ** power));
  }
  return { tickmode: "array", tickvals, ticktext: tickvals.map(tickText) };
}

function tickText(value) {
  const power = Math.floor(Math.log10(value) + 1e-9);
  if (power >= -2 && power <= 3) return String(Number(value.toPrecision(3)));
  const digit = Number((value / 10 ** power).toPrecision(3));
  return `${digit === 1 ? "" : `${digit}×`}10${superscript(power)}`;
}

/** The y range of a curve panel: all finite values of the visible racers, on a log axis all positive ones. */
function dataRange(stage, { spec }) {
  let low = Infinity;
  let high = -Infinity;
  for (const racer of visible(stage)) {
    const values = racer.series[spec.y] ?? [];
    const end = seriesEnd(racer, values.length);
    for (let i = 0; i < end; i++) {
      const value = values[i];
      if (!Number.isFinite(value) || (spec.log && value <= 0)) continue;
      if (value < low) low = value;
      if (value > high) high = value;
    }
  }
  if (low > high) return spec.log ? [-1, 1] : [0, 1];
  return spec.log ? logRange(Math.log10(low), Math.log10(high)) : linearRange(low, high);
}

/** Rounded outwards, so that the axes stand still while a slider moves the data a little (and Plotly has a rest). */
function outwards(low, high, unit) {
  return [Math.floor(low / unit) * unit, Math.ceil(high / unit) * unit];
}

function logRange(low, high) {
  const span = high - low;
  const pad = Math.max(0.03 * span, span < 0.2 ? 0.3 : 0);
  return outwards(low - pad, high + pad, span > 8 ? 2 : span > 2 ? 1 : 0.1);
}

/** Zero belongs to the picture of a positive quantity unless that would flatten it. */
function linearRange(low, high) {
  if (low === 0 && high === 0) return [0, 1];
  const fromZero = low >= 0 && (low === high || low < 0.6 * high);
  const base = fromZero ? 0 : low;
  const span = high - base || Math.abs(high);
  const [bottom, top] = outwards(base - 0.04 * span, high + 0.04 * span, 10 ** Math.floor(Math.log10(span)) / 2);
  return [fromZero ? 0 : bottom, top];
}

function redraw(stage) {
  for (const panel of stage.panels.values()) {
    panel.stale = true;
    panel.queue = panel.queue.then(() => drawPanel(stage, panel)).catch((problem) => complain(stage, panel, problem));
  }
  schedule(stage);
}

async function drawPanel(stage, panel) {
  const Plotly = await loadPlotly(stage.data.plotly);
  if (stage.gone || panel.gone || !panel.size) return;
  stage.note.textContent = "";
  const layout = JSON.stringify(compose(stage, panel));
  const key = panel.source + layout;
  if (key !== panel.key) {
    panel.key = key;
    const { data = [] } = JSON.parse(panel.source); // copies: Plotly writes into what it is given
    await Plotly.react(panel.graph, data, JSON.parse(layout), config(stage, panel));
    if (stage.gone || panel.gone) return;
    if (!panel.listening) listen(stage, panel);
    mountOverlay(panel);
    if (panel.plane && measureMargin(panel)) stage.refit();
  }
  panel.stale = true;
  paintPanel(stage, panel);
  schedule(stage);
}

function config(stage, panel) {
  const { home } = window.Plotly.Icons;
  const reset = { name: "reset", title: "Reset view", icon: home, click: () => resetView(stage, panel) };
  return {
    displaylogo: false,
    displayModeBar: panel.plane,
    modeBarButtons: [["zoom2d", "pan2d", "zoomIn2d", "zoomOut2d", reset]],
    scrollZoom: panel.plane,
    doubleClick: false, // Plotly would go back to the ranges of its first picture; ours goes to those of the data
    showTips: false,
  };
}

function complain(stage, panel, problem) {
  console.warn("optviz:", problem);
  panel.key = null; // the next script run tries again
  stage.note.textContent = `The picture could not be drawn: ${problem.message}. Reload the page to try again.`;
}

/** True if the margins differ from what `arrange` reckoned with. */
function measureMargin(panel) {
  const { l, r, t, b } = panel.graph._fullLayout._size;
  const before = panel.margin;
  panel.margin = { l, r, t, b };
  const [width, height] = panel.size;
  const { xaxis, yaxis } = panel.graph._fullLayout;
  const slack = width - l - r - xaxis._length + (height - t - b - yaxis._length);
  return !before ? slack > 4 : ["l", "r", "t", "b"].some((side) => Math.abs(before[side] - panel.margin[side]) > 4);
}

/** Under Plotly's last layer (hover labels), above all others; Plotly may have built its layers anew. */
function mountOverlay(panel) {
  const layers = panel.graph.querySelectorAll(".main-svg");
  const hover = layers[layers.length - 1];
  if (hover.previousSibling !== panel.sprites) hover.before(panel.ink, panel.sprites);
}

function listen(stage, panel) {
  panel.listening = true;
  panel.graph.on("plotly_relayouting", () => paintPanel(stage, panel));
  panel.graph.on("plotly_afterplot", () => paintPanel(stage, panel));
  panel.graph.on("plotly_relayout", (change) => keepView(stage, panel, change));
}

/** The visitor zoomed or panned: remember it, for the next data and for the other curves. */
function keepView(stage, panel, change) {
  const names = Object.keys(change);
  const { xaxis, yaxis } = panel.graph._fullLayout;
  const x = names.some((name) => name.startsWith("xaxis.range"));
  const y = names.some((name) => name.startsWith("yaxis.range"));
  if (panel.plane && (x || y)) panel.view = { x: [...xaxis.range], y: [...yaxis.range] };
  if (!panel.plane && y) panel.view.y = [...yaxis.range];
  if (!panel.plane && x) stage.curveX = [...xaxis.range];
  if (panel.plane) panel.key = panel.source + JSON.stringify(compose(stage, panel)); // it is on the screen already
  redraw(stage);
}

function resetView(stage, panel) {
  panel.view = {};
  if (!panel.plane) stage.curveX = null;
  panel.key = ""; // Plotly holds the zoomed ranges: call it even if our figure reads the same
  redraw(stage);
}

// ------------------------------------------------------------------------------------------------ from data to pixels

function geometry(panel) {
  const full = panel.graph._fullLayout;
  if (!full?.xaxis?._length || !panel.sprites.isConnected) return null;
  const { xaxis, yaxis } = full;
  // the live ranges: while a drag or the wheel goes on, Plotly changes these and nothing else
  return {
    left: xaxis._offset,
    top: yaxis._offset,
    width: xaxis._length,
    height: yaxis._length,
    x: [...xaxis.range],
    y: [...yaxis.range],
    log: yaxis.type === "log",
    dpr: window.devicePixelRatio || 1,
  };
}

function toPixel({ x, y, width, height, log }) {
  const kx = width / (x[1] - x[0]);
  const ky = height / (y[1] - y[0]);
  return [(v) => (v - x[0]) * kx, (v) => height - ((log ? Math.log10(v) : v) - y[0]) * ky];
}

function toData({ x, y, width, height }, px, py) {
  return { x: x[0] + (px / width) * (x[1] - x[0]), y: y[0] + (1 - py / height) * (y[1] - y[0]) };
}

/** How many of `length` recorded points belong to the run. */
function seriesEnd(racer, length) {
  return racer.stop === null || racer.stop === undefined ? length : Math.min(length, racer.stop + 1);
}

/**
 * A racer's line on a panel: X, Y hold every step in pixels (for the heads), `line` the vertices worth drawing, clipped
 * to the neighbourhood of the plot area so that a diverging path keeps its direction and the canvas its sanity.
 */
function buildTrace(racer, panel, geo) {
  const [mapX, mapY] = toPixel(geo);
  const xs = panel.plane ? racer.series[panel.spec.x] : null;
  const ys = racer.series[panel.spec.y];
  let n = ys ? seriesEnd(racer, panel.plane ? Math.min(xs?.length ?? 0, ys.length) : ys.length) : 0;
  let diverged = racer.diverged;
  if (panel.plane) {
    for (let i = 0; i < n; i++) {
      if (Number.isFinite(xs[i]) && Number.isFinite(ys[i])) continue;
      n = i;
      diverged = true;
    }
  }
  const X = new Float64Array(n);
  const Y = new Float64Array(n);
  let inside = 0;
  for (let i = 0; i < n; i++) {
    X[i] = mapX(xs ? xs[i] : i);
    Y[i] = mapY(ys[i]);
    if (isInside(geo, X[i], Y[i], 0)) inside++;
  }
  const dots = panel.plane && inside <= MANY_DOTS;
  const kept = panel.plane ? keepByDistance(X, Y, dots ? 0 : NEAR) : keepByColumn(X, Y, geo.width);
  const exits = panel.plane ? findExits(X, Y, geo) : [];
  return { racer, geo, n, X, Y, dots, diverged, exits, line: clipLine(X, Y, kept, geo), length: 0 };
}

const isInside = ({ width, height }, x, y, pad) => x >= -pad && x <= width + pad && y >= -pad && y <= height + pad;

function keepByDistance(X, Y, near) {
  const kept = [];
  let last = -1;
  for (let i = 0; i < X.length; i++) {
    if (last >= 0 && i < X.length - 1 && Math.abs(X[i] - X[last]) < near && Math.abs(Y[i] - Y[last]) < near) continue;
    kept.push(i);
    last = i;
  }
  return kept;
}

/** First, lowest, highest and last point of every pixel column, and a gap: draws the same pixels as all of them. */
function keepByColumn(X, Y, width) {
  if (X.length <= 2 * width) return X.map((_, i) => i);
  const kept = [];
  for (let first = 0, next = 0; first < X.length; first = next) {
    let low = first;
    let high = first;
    let gap = first;
    for (next = first; next < X.length && (next === first || Math.floor(X[next]) === Math.floor(X[first])); next++) {
      if (!Number.isFinite(Y[next])) gap = next;
      if (!(Y[next] >= Y[low])) low = next;
      if (!(Y[next] <= Y[high])) high = next;
    }
    kept.push(...[...new Set([first, low, high, gap, next - 1])].sort((a, b) => a - b));
  }
  return kept;
}

/** The part [t0, t1] of a segment inside the plot area grown by `pad`, or null (Liang and Barsky). */
function clipSegment(x0, y0, x1, y1, { width, height }, pad) {
  const dx = x1 - x0;
  const dy = y1 - y0;
  const sides = [[-dx, x0 + pad], [dx, width + pad - x0], [-dy, y0 + pad], [dy, height + pad - y0]];
  let t0 = 0;
  let t1 = 1;
  for (const [p, q] of sides) {
    if (p === 0 && q < 0) return null;
    if (p < 0) t0 = Math.max(t0, q / p);
    if (p > 0) t1 = Math.min(t1, q / p);
  }
  return t0 <= t1 ? [t0, t1] : null;
}

/** Vertices { x, y, step, move }: `move` lifts the pen, for gaps in the data and for re-entries. */
function clipLine(X, Y, kept, geo) {
  const line = { x: [], y: [], step: [], move: [] };
  const add = (x, y, step, move) => (line.x.push(x), line.y.push(y), line.step.push(step), line.move.push(move));
  let last = -1; // the previous kept point, if there is no gap before this one
  let down = false; // whether the last vertex is that point
  for (const i of kept) {
    if (!Number.isFinite(X[i]) || !Number.isFinite(Y[i])) {
      last = -1;
      continue;
    }
    const inside = isInside(geo, X[i], Y[i], CLIP_PAD);
    if (last < 0) {
      if (inside) add(X[i], Y[i], i, true);
    } else if (inside && down) {
      add(X[i], Y[i], i, false);
    } else {
      const part = clipSegment(X[last], Y[last], X[i], Y[i], geo, CLIP_PAD);
      const point = (t) => [X[last] + t * (X[i] - X[last]), Y[last] + t * (Y[i] - Y[last])];
      if (part) {
        if (!down) add(...point(part[0]), i, true);
        add(...point(part[1]), i, false);
      }
    }
    down = inside;
    last = i;
  }
  return line;
}

/** Where the path leaves the plot area: { step, x, y, dx, dy }, in order. */
function findExits(X, Y, geo) {
  const exits = [];
  for (let i = 1; i < X.length; i++) {
    if (isInside(geo, X[i], Y[i], 0)) continue;
    const part = clipSegment(X[i - 1], Y[i - 1], X[i], Y[i], geo, 0);
    if (!part) continue;
    const dx = X[i] - X[i - 1];
    const dy = Y[i] - Y[i - 1];
    exits.push({ step: i, x: X[i - 1] + part[1] * dx, y: Y[i - 1] + part[1] * dy, dx, dy });
  }
  return exits;
}

// ------------------------------------------------------------------------------------------------ painting

function schedule(stage) {
  if (!stage.frameRequest && !stage.gone) stage.frameRequest = requestAnimationFrame((now) => tick(stage, now));
}

function tick(stage, now) {
  stage.frameRequest = 0;
  if (stage.playing) advance(stage, now);
  for (const panel of stage.panels.values()) paintPanel(stage, panel);
  showClock(stage, now);
  stage.drawn++;
  if (stage.playing) schedule(stage);
}

/** A tab that was hidden, or a page that was busy, goes on where it was instead of jumping. */
function advance(stage, now) {
  const seconds = Math.min(now - (stage.last ?? now), 100) / 1000;
  stage.last = now;
  if (stage.at < stage.steps) {
    stage.at = Math.min(stage.at + seconds * Number(stage.player.speed.value), stage.steps);
    stage.ended = now;
  } else if (!stage.data.loop) {
    pause(stage);
  } else if (now - stage.ended > LOOP_REST) {
    stage.at = 0;
  }
}

function paintPanel(stage, panel) {
  const geo = geometry(panel);
  if (!geo) return;
  const seen = JSON.stringify(geo);
  if (panel.stale || seen !== panel.seen) {
    panel.geo = geo;
    panel.seen = seen;
    panel.stale = false;
    panel.inked = Infinity;
    panel.traces = visible(stage).map((racer) => buildTrace(racer, panel, geo));
    fitOverlay(panel);
  }
  if (stage.at !== panel.inked) paintInk(stage, panel);
  placeSprites(stage, panel);
  if ([...stage.panels.values()].every((other) => other.seen)) stage.root.dataset.ready = "true";
}

/** Sets sizes and places; touches the bitmap, which clears it, only if its size changes. */
function fitOverlay({ geo, ink, sprites }) {
  const { left, top, width, height, dpr } = geo;
  const [wide, high] = [Math.round(width * dpr), Math.round(height * dpr)];
  if (ink.width !== wide) ink.width = wide;
  if (ink.height !== high) ink.height = high;
  const place = { left: `${left}px`, top: `${top}px`, width: `${width}px`, height: `${height}px` };
  Object.assign(ink.style, place);
  Object.assign(sprites.style, place);
}

function pen(canvas, dpr) {
  const ctx = canvas.getContext("2d");
  ctx.setTransform(dpr, 0, 0, dpr, 0, 0);
  ctx.lineJoin = "round";
  return ctx;
}

/** Draws on from where the ink ends, or afresh if time went back. */
function paintInk(stage, panel) {
  const { geo, traces, plane } = panel;
  const ctx = pen(panel.ink, geo.dpr);
  const afresh = stage.at < panel.inked;
  const from = afresh ? 0 : panel.inked;
  if (afresh) {
    ctx.clearRect(0, 0, geo.width, geo.height);
    for (const trace of traces) {
      if (!plane) strokeLine(ctx, trace, 0, trace.n - 1, { width: 2, alpha: trace.racer.ghost ? 0.14 : 0.25 });
      trace.length = 0;
    }
  }
  for (const trace of traces) {
    const { ghost } = trace.racer;
    const to = Math.min(stage.at, trace.n - 1);
    const halo = plane ? stage.theme.background : null;
    if (to > from) strokeLine(ctx, trace, from, to, { width: ghost ? 2 : 3, alpha: ghost ? 0.45 : 1, halo });
    if (trace.dots) dotSteps(ctx, stage, trace, afresh ? 0 : Math.floor(from) + 1, to);
  }
  panel.inked = stage.at;
}

/**
 * The line between two moments. The halo goes *under* everything drawn so far, so it never cuts a line, and the order
 * of drawing, which differs between playing and jumping, does not show.
 */
function strokeLine(ctx, trace, from, to, { width, alpha, halo }) {
  const { line, racer } = trace;
  const dash = dashOf(racer);
  let [x, y] = [NaN, NaN];
  let vertices = 0;
  let travelled = 0;
  const stroke = () => {
    ctx.globalAlpha = alpha;
    ctx.strokeStyle = racer.color;
    ctx.lineWidth = width;
    ctx.lineCap = alpha < 1 || dash.length ? "butt" : "round";
    ctx.setLineDash(dash);
    ctx.lineDashOffset = trace.length;
    ctx.stroke();
    if (halo) {
      ctx.setLineDash([]);
      ctx.globalCompositeOperation = "destination-over";
      ctx.strokeStyle = halo;
      ctx.lineWidth = width + 3;
      ctx.stroke();
      ctx.globalCompositeOperation = "source-over";
    }
    trace.length += travelled;
    travelled = vertices = 0;
    ctx.beginPath();
    ctx.moveTo(x, y);
  };
  const move = (toX, toY) => ctx.moveTo((x = toX), (y = toY));
  const draw = (toX, toY) => {
    if (Number.isNaN(x)) return move(toX, toY);
    travelled += Math.hypot(toX - x, toY - y);
    ctx.lineTo((x = toX), (y = toY));
    if (++vertices === CHUNK) stroke();
  };
  const start = headAt(trace, from);
  ctx.beginPath();
  if (isInside(trace.geo, ...start, CLIP_PAD)) move(...start);
  for (let k = firstAfter(line.step, from); k < line.step.length && line.step[k] <= to; k++) {
    (line.move[k] ? move : draw)(line.x[k], line.y[k]);
  }
  drawTail(trace, to, move, draw);
  stroke();
  ctx.setLineDash([]);
  ctx.globalAlpha = 1;
}

/** From the last whole step to the head, as far as it is near the picture. */
function drawTail(trace, to, move, draw) {
  const { X, Y, geo } = trace;
  const i = Math.floor(to);
  const [x, y] = headAt(trace, to);
  const part = Number.isFinite(Y[i] + y) && clipSegment(X[i], Y[i], x, y, geo, CLIP_PAD);
  if (!part) return;
  if (part[0] > 0) move(X[i] + part[0] * (x - X[i]), Y[i] + part[0] * (y - Y[i]));
  draw(X[i] + part[1] * (x - X[i]), Y[i] + part[1] * (y - Y[i]));
}

const dashOf = ({ ghost, dash }) => (ghost && dash.length === 0 ? [5, 5] : dash);

/** Index of the first entry of the ascending `steps` above `step`. */
function firstAfter(steps, step) {
  let low = 0;
  let high = steps.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (steps[middle] > step) high = middle;
    else low = middle + 1;
  }
  return low;
}

function dotSteps(ctx, stage, { X, Y, racer, geo }, from, to) {
  for (let i = from; i <= to; i++) {
    if (!isInside(geo, X[i], Y[i], 0)) continue;
    disc(ctx, X[i], Y[i], racer.ghost ? 2.4 : 3.4, racer.color, racer.ghost ? 0.45 : 1);
    ctx.globalCompositeOperation = "destination-over";
    disc(ctx, X[i], Y[i], 4.8, stage.theme.background, racer.ghost ? 0.45 : 1);
    ctx.globalCompositeOperation = "source-over";
  }
}

function disc(ctx, x, y, radius, color, alpha) {
  ctx.globalAlpha = alpha;
  ctx.fillStyle = color;
  ctx.beginPath();
  ctx.arc(x, y, radius, 0, 2 * Math.PI);
  ctx.fill();
  ctx.globalAlpha = 1;
}

/** Head of a trace at time `at`, in pixels, between frames on the segment that joins them. */
function headAt({ X, Y, n }, at) {
  const i = Math.min(Math.floor(at), n - 1);
  const part = i < n - 1 ? at - i : 0;
  if (part === 0) return [X[i], Y[i]];
  return [X[i] + part * (X[i + 1] - X[i]), Y[i] + part * (Y[i + 1] - Y[i])];
}

function placeSprites(stage, panel) {
  placeMarks(stage, panel);
  if (!panel.plane) placeCursor(stage, panel);
  const nodes = spritesOf(panel.heads, panel.traces.length);
  panel.traces.forEach((trace, i) => placeHead(stage, panel, trace, nodes[i]));
}

function placeCursor(stage, { geo, cursor }) {
  const x = toPixel(geo)[0](stage.at);
  shift(cursor, x - 1, 0, x >= 0 && x <= geo.width);
}

function placeHead(stage, panel, trace, node) {
  const { racer, geo, n } = trace;
  const [x, y] = headAt(trace, stage.at);
  const inside = isInside(geo, x, y, 1);
  const over = trace.diverged && stage.at >= n - 1;
  const radius = (panel.plane ? 0.55 : 0.42) * stage.theme.size * (racer.ghost ? 0.8 : 1);
  const alpha = racer.ghost ? 0.6 : 1;
  const dress = (kind, size) => dressSprite(node, kind, size, racer.color, stage.theme.background, alpha);
  node.tag.textContent = over && inside && panel.plane ? `diverged, step ${racer.stop ?? n - 1}` : "";
  if (inside) {
    dress(over ? "x" : racer.marker, over ? radius * 1.3 : radius);
    shift(node, x, y, true);
    if (node.tag.textContent) placeTag(node.tag, stage, geo, x, y, racer.color);
  } else if (panel.plane && n > 0) {
    const tip = exitOf(trace, stage.at, x, y);
    dress("arrow", radius * 1.2);
    shift(node, tip.x, tip.y, true, Math.atan2(tip.dy, tip.dx));
  } else {
    shift(node, 0, 0, false);
  }
}

/** Where on the border the path left the picture, or, if it never was in it, where the head is nearest. */
function exitOf({ geo, exits }, at, x, y) {
  const left = exits.filter((exit) => exit.step <= Math.ceil(at)).pop();
  if (left) return left;
  const near = { x: Math.max(0, Math.min(geo.width, x)), y: Math.max(0, Math.min(geo.height, y)) };
  return { ...near, dx: x - near.x, dy: y - near.y };
}

/** The small canvases in a layer, as many as asked for; each brings a tag for words. */
function spritesOf(layer, count) {
  layer.nodes ??= [];
  while (layer.nodes.length > count) {
    const node = layer.nodes.pop();
    node.tag.remove();
    node.remove();
  }
  while (layer.nodes.length < count) {
    const node = element("canvas", "oz-sprite");
    node.tag = element("div", "oz-tag");
    layer.append(node, node.tag);
    layer.nodes.push(node);
  }
  return layer.nodes;
}

/** Moves a sprite, to whole device pixels so that it stays sharp. */
function shift(node, x, y, shown, turn = 0) {
  const dpr = window.devicePixelRatio || 1;
  const [px, py] = [Math.round(x * dpr) / dpr, Math.round(y * dpr) / dpr];
  const visibility = shown ? "visible" : "hidden";
  if (node.style.visibility !== visibility) node.style.visibility = visibility;
  if (shown) node.style.transform = `translate(${px}px, ${py}px)${turn ? ` rotate(${turn.toFixed(3)}rad)` : ""}`;
}

/** Words beside a point, on the side where there is room. */
function placeTag(tag, stage, geo, x, y, color) {
  const side = x > geo.width / 2 ? "calc(-100% - 12px)" : "12px";
  const rise = y < 24 ? "0" : "-100%";
  tag.style.color = color ?? stage.theme.text;
  tag.style.transform = `translate(${Math.round(x)}px, ${Math.round(y)}px) translate(${side}, ${rise})`;
}

/** Draws a marker into its sprite, if it is not there yet. */
function dressSprite(node, kind, radius, color, halo, alpha) {
  const dpr = window.devicePixelRatio || 1;
  const look = [kind, radius, color, halo, alpha, dpr].join();
  if (node.look === look) return;
  node.look = look;
  node.width = node.height = SPRITE * dpr;
  paintMarker(pen(node, dpr), kind, SPRITE / 2, SPRITE / 2, radius, color, halo, alpha);
}

// ------------------------------------------------------------------------------------------------ markers and marks

/** Vertices on the unit circle, the first one on top; with `inner` a star. */
function corners(count, turn = 0, inner = 1) {
  const total = inner === 1 ? count : 2 * count;
  return Array.from({ length: total }, (_, i) => {
    const angle = turn - Math.PI / 2 + (2 * Math.PI * i) / total;
    const radius = inner !== 1 && i % 2 ? inner : 1;
    return [radius * Math.cos(angle), radius * Math.sin(angle)];
  });
}

/** A plus sign with arms `a` wide. */
function plus(a, turn) {
  const arm = [[-a, -a], [-a, -1], [a, -1]];
  return [0, 1, 2, 3].flatMap((quarter) => {
    const [c, s] = [Math.cos(turn + (quarter * Math.PI) / 2), Math.sin(turn + (quarter * Math.PI) / 2)];
    return arm.map(([x, y]) => [c * x - s * y, s * x + c * y]);
  });
}

// name: [vertices, scale that makes it look as large as the circle]
const MARKERS = {
  circle: [corners(32), 1],
  square: [corners(4, Math.PI / 4), 1.25],
  diamond: [corners(4), 1.25],
  triangle: [corners(3), 1.35],
  "triangle-down": [corners(3, Math.PI), 1.35],
  pentagon: [corners(5), 1.15],
  hexagon: [corners(6), 1.1],
  star: [corners(5, 0, 0.45), 1.5],
  cross: [plus(0.38, 0), 1.15],
  x: [plus(0.3, Math.PI / 4), 1.15],
  arrow: [[[0.2, 0], [-1.6, 0.95], [-1.6, -0.95]], 1], // its tip is where the path leaves
};

function paintMarker(ctx, kind, x, y, radius, color, halo, alpha = 1) {
  if (kind === "target") return paintTarget(ctx, x, y, radius, color, halo);
  const [points, scale] = MARKERS[kind] ?? MARKERS.circle;
  ctx.beginPath();
  for (const [dx, dy] of points) ctx.lineTo(x + radius * scale * dx, y + radius * scale * dy);
  ctx.closePath();
  ctx.globalAlpha = alpha;
  ctx.strokeStyle = halo;
  ctx.lineWidth = 4;
  ctx.stroke();
  ctx.fillStyle = color;
  ctx.fill();
  ctx.globalAlpha = 1;
}

/** The marks of a plane; a start that was just asked for replaces the one in the data. */
function marksOf(stage, panel) {
  const marks = (panel.plane && panel.spec.marks) || [];
  if (!stage.pending || stage.pending.panel !== panel) return marks;
  const start = { ...stage.pending, kind: "start", label: "start" };
  return [...marks.filter((mark) => mark.kind !== "start"), start];
}

/** The start: a ring with a point. */
function paintTarget(ctx, x, y, radius, color, halo) {
  disc(ctx, x, y, radius + 3.5, halo, 1);
  disc(ctx, x, y, radius + 1.5, color, 1);
  disc(ctx, x, y, radius - 1, halo, 1);
  disc(ctx, x, y, radius - 4, color, 1);
}

const MARKS = { minimum: "star", saddle: "x", start: "target" };

function placeMarks(stage, panel) {
  const { geo, hover, tag } = panel;
  const marks = marksOf(stage, panel);
  const [mapX, mapY] = toPixel(geo);
  const { text, background, size } = stage.theme;
  spritesOf(panel.marks, marks.length).forEach((node, i) => {
    const [x, y] = [mapX(marks[i].x), mapY(marks[i].y)];
    dressSprite(node, MARKS[marks[i].kind] ?? "circle", 0.5 * size, text, background, 1);
    shift(node, x, y, isInside(geo, x, y, 1));
  });
  tag.textContent = hover?.text ?? "";
  if (hover) placeTag(tag, stage, geo, hover.x, hover.y);
}

// ------------------------------------------------------------------------------------------------ legend

function syncLegend(stage) {
  const { legend, racers, data } = stage;
  while (legend.children.length > racers.length) legend.lastChild.remove();
  while (legend.children.length < racers.length) legend.append(createEntry(stage, legend.children.length));
  racers.forEach((racer, i) => {
    const entry = legend.children[i];
    const [swatch, label, value, state] = entry.children;
    label.textContent = racer.label;
    state.textContent = data.compact ? "" : racer.state ?? "";
    state.classList.toggle("oz-bad", racer.diverged);
    entry.setAttribute("aria-pressed", String(!stage.hidden.has(racer.label)));
    entry.title = `${stage.hidden.has(racer.label) ? "Show" : "Hide"} ${racer.label}`;
    value.title = data.panels.find((panel) => panel.name === "loss")?.title ?? "loss";
    paintSwatch(swatch, racer, stage.theme);
  });
  showValues(stage);
}

function createEntry(stage, index) {
  const entry = element("button", "oz-racer", { type: "button" });
  entry.append(
    element("canvas", "oz-swatch", { "aria-hidden": "true" }),
    element("span", "oz-label"),
    element("span", "oz-value"),
    element("span", "oz-state"),
  );
  entry.onclick = () => toggleRacer(stage, stage.racers[index].label);
  return entry;
}

function toggleRacer(stage, label) {
  if (!stage.hidden.delete(label)) stage.hidden.add(label);
  syncLegend(stage);
  redraw(stage);
}

function paintSwatch(canvas, racer, theme) {
  const dpr = window.devicePixelRatio || 1;
  const [width, height] = [40, 20];
  canvas.width = width * dpr;
  canvas.height = height * dpr;
  const ctx = pen(canvas, dpr);
  ctx.globalAlpha = racer.ghost ? 0.45 : 1;
  ctx.strokeStyle = racer.color;
  ctx.lineWidth = racer.ghost ? 2 : 3;
  ctx.setLineDash(dashOf(racer));
  ctx.beginPath();
  ctx.moveTo(2, height / 2);
  ctx.lineTo(width - 8, height / 2);
  ctx.stroke();
  ctx.setLineDash([]);
  paintMarker(ctx, racer.marker, width - 11, height / 2, 6, racer.color, theme.background, racer.ghost ? 0.6 : 1);
}

const SUPERSCRIPT = { "-": "⁻", 0: "⁰", 1: "¹", 2: "²", 3: "³", 4: "⁴", 5: "⁵", 6: "⁶", 7: "⁷", 8: "⁸", 9: "⁹" };
const superscript = (whole) => [...String(whole)].map((digit) => SUPERSCRIPT[digit]).join("");

/** Three or four digits a person can read aloud: 0.123, 1234, 1.2×10⁻³, ∞. */
function readable(value) {
  if (value === undefined || Number.isNaN(value)) return "–";
  if (!Number.isFinite(value)) return value > 0 ? "∞" : "−∞";
  const size = Math.abs(value);
  if (value === 0) return "0";
  if (size >= 0.01 && size < 9999.5) return String(Number(value.toPrecision(size < 1 ? 3 : 4))).replace("-", "−");
  const [mantissa, exponent] = value.toExponential(1).split("e");
  return `${mantissa.replace("-", "−")}×10${superscript(Number(exponent))}`;
}

function showValues(stage) {
  const name = stage.data.panels.find((panel) => panel.name === "loss")?.y ?? "loss";
  stage.racers.forEach((racer, i) => {
    const values = racer.series[name];
    const value = values ? values[Math.min(Math.floor(stage.at), seriesEnd(racer, values.length) - 1)] : NaN;
    const text = values ? readable(value) : "";
    const node = stage.legend.children[i].children[2];
    if (node.textContent !== text) node.textContent = text;
  });
}

// ------------------------------------------------------------------------------------------------ player

const ICONS = {
  start: "M5 5h2.5v14H5zM19 5v14L8.5 12z",
  back: "M6 5h3v14H6zM18 5v14l-8-7z",
  play: "M7 4.5v15L20 12z",
  pause: "M6 5h4v14H6zM14 5h4v14h-4z",
  forward: "M15 5h3v14h-3zM6 5v14l8-7z",
  end: "M16.5 5H19v14h-2.5zM5 5v14l10.5-7z",
};

const KEYS = [
  ["Space or K", "play or pause"],
  ["← →", "one step (with Shift ten)"],
  ["Home, End", "first or last step"],
  ["click on the surface", "start there"],
  ["← → ↑ ↓ on the surface", "move the start (with Shift further)"],
  ["click on a curve", "go to that step"],
  ["drag, wheel", "zoom; double click resets"],
];

function setIcon(button, name, label) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  path.setAttribute("d", ICONS[name]);
  svg.append(path);
  button.replaceChildren(svg);
  button.setAttribute("aria-label", label);
  button.title = label;
}

function createPlayer(stage) {
  const bar = element("div", "oz-player", { role: "group", "aria-label": "Player" });
  const button = (icon, label, extra, action) => {
    const node = element("button", `oz-button ${extra}`, { type: "button" });
    setIcon(node, icon, label);
    node.onclick = action;
    bar.append(node);
    return node;
  };
  button("start", "Jump to start", "oz-extra", () => goTo(stage, 0));
  button("back", "Step back", "oz-extra", () => goTo(stage, Math.floor(stage.at) - 1));
  const toggle = button("play", "Play", "oz-main", () => (stage.playing ? pause(stage) : play(stage)));
  button("forward", "Step forward", "oz-extra", () => goTo(stage, Math.floor(stage.at) + 1));
  button("end", "Jump to end", "oz-extra", () => goTo(stage, stage.steps));
  const scrubber = element("input", "oz-scrubber", { type: "range", min: 0, max: 0, step: 1, "aria-label": "Step" });
  scrubber.oninput = () => goTo(stage, Number(scrubber.value));
  const clock = element("span", "oz-clock");
  const speed = element("select", "oz-speed oz-extra", { "aria-label": "Speed" });
  for (const value of SPEEDS) speed.append(new Option(`${value} steps/s`, value));
  speed.onchange = () => (stage.speed = Number(speed.value));
  bar.append(scrubber, clock, speed, createHelp());
  return { bar, toggle, scrubber, clock, speed };
}

function createHelp() {
  const help = element("details", "oz-help oz-extra");
  help.onkeydown = (event) => event.key === "Escape" && (help.open = false);
  help.addEventListener("focusout", (event) => help.contains(event.relatedTarget) || (help.open = false));
  const summary = element("summary", "oz-button", { "aria-label": "Keys", title: "Keys" });
  summary.textContent = "?";
  const list = element("dl", "oz-keys");
  for (const [key, action] of KEYS) {
    const [term, text] = [element("dt", ""), element("dd", "")];
    term.textContent = key;
    text.textContent = action;
    list.append(term, text);
  }
  help.append(summary, list);
  return help;
}

function play(stage) {
  if (stage.at >= stage.steps) stage.at = 0;
  stage.last = undefined;
  setPlaying(stage, true);
}

function pause(stage) {
  stage.at = Math.round(stage.at);
  setPlaying(stage, false);
}

function setPlaying(stage, playing) {
  stage.playing = playing;
  stage.root.dataset.playing = String(playing);
  setIcon(stage.player.toggle, playing ? "pause" : "play", playing ? "Pause" : "Play");
  schedule(stage);
}

function goTo(stage, step) {
  if (stage.playing) pause(stage);
  stage.at = Math.max(0, Math.min(stage.steps, Math.round(step)));
  schedule(stage);
}

function showClock(stage, now) {
  const frame = Math.floor(stage.at);
  const { scrubber, clock } = stage.player;
  if (!stage.playing || now - (stage.readAt ?? 0) > READOUT_REST) {
    stage.readAt = now;
    showValues(stage);
    clock.textContent = `step ${frame} of ${stage.steps}`;
    clock.style.minWidth = `${`step ${stage.steps} of ${stage.steps}`.length * 0.56}em`;
    scrubber.setAttribute("aria-valuetext", clock.textContent);
  }
  if (Number(scrubber.value) !== frame) scrubber.value = frame;
  scrubber.style.setProperty("--oz-done", `${(100 * frame) / Math.max(stage.steps, 1)}%`);
  stage.root.dataset.frame = frame;
  stage.root.dataset.playing = String(stage.playing);
}

// ------------------------------------------------------------------------------------------------ pointer and keys

function eventPixel(panel, event) {
  const frame = panel.graph.getBoundingClientRect();
  return [event.clientX - frame.left - panel.geo.left, event.clientY - frame.top - panel.geo.top];
}

/**
 * A press and release on one spot is a click, seen before Plotly sees it: its own click event knows grid nodes only.
 * The release is heard on the window, because Plotly spreads a cover over the page while a button is down.
 */
function onPress(stage, panel, event) {
  if (event.button !== 0 || !panel.geo || event.target.closest(".modebar")) return;
  const [x, y] = eventPixel(panel, event);
  if (!isInside(panel.geo, x, y, 0)) return;
  const point = toData(panel.geo, x, y);
  const release = (up) => {
    window.removeEventListener("pointerup", release, true);
    window.removeEventListener("pointercancel", release, true);
    const moved = Math.hypot(up.clientX - event.clientX, up.clientY - event.clientY);
    if (up.type === "pointerup" && moved <= 4) onClick(stage, panel, point);
  };
  window.addEventListener("pointerup", release, true);
  window.addEventListener("pointercancel", release, true);
}

/** A click waits for a second one: together they reset the view and mean nothing else. */
function onClick(stage, panel, point) {
  if (panel.click) {
    clearTimeout(panel.click.timer);
    panel.click = null;
    return resetView(stage, panel);
  }
  const act = () => {
    panel.click = null;
    if (!panel.plane) goTo(stage, point.x);
    else if (panel.spec.click) askStart(stage, panel, point, 0);
  };
  panel.click = { timer: setTimeout(act, DOUBLE_CLICK) };
  if (panel.spec.click) panel.plot.focus({ preventScroll: true });
}

/** Shows the start at once, sends it after `rest` ms without another one, and forgets it if no answer comes. */
function askStart(stage, panel, point, rest) {
  const tidy = (value, [low, high]) => {
    const digits = Math.max(0, Math.min(12, Math.ceil(-Math.log10(Math.abs(high - low) / 1000))));
    return Number(value.toFixed(digits));
  };
  const { x, y } = panel.geo;
  stage.pending = { panel, x: tidy(point.x, x), y: tidy(point.y, y), sent: false };
  clearTimeout(stage.timers.send);
  clearTimeout(stage.timers.forget);
  stage.timers.send = setTimeout(() => {
    stage.pending.sent = true;
    stage.send({ x: stage.pending.x, y: stage.pending.y });
    stage.timers.forget = setTimeout(() => forgetPending(stage), PENDING_START);
  }, rest);
  schedule(stage);
}

function forgetPending(stage) {
  stage.pending = null;
  schedule(stage);
}

/** The data have caught up with the start that was asked for; an older answer does not move the mark back. */
function settlePending(stage) {
  if (!stage.pending?.sent) return;
  const { panel, x, y } = stage.pending;
  const start = panel.spec.marks?.find((mark) => mark.kind === "start");
  const near = (a, b, [low, high]) => Math.abs(a - b) <= Math.abs(high - low) / 500;
  if (start && near(start.x, x, panel.geo.x) && near(start.y, y, panel.geo.y)) stage.pending = null;
}

/** One fiftieth of the window per key, a tenth with Shift; the start stays in the window. */
function moveStart(stage, panel, [dx, dy], far) {
  const { x, y } = panel.geo;
  const middle = { x: (x[0] + x[1]) / 2, y: (y[0] + y[1]) / 2 };
  const now = marksOf(stage, panel).find((mark) => mark.kind === "start") ?? middle;
  const part = far ? 0.1 : 0.02;
  const within = (value, [a, b]) => Math.max(Math.min(a, b), Math.min(Math.max(a, b), value));
  const point = { x: within(now.x + dx * part * (x[1] - x[0]), x), y: within(now.y + dy * part * (y[1] - y[0]), y) };
  askStart(stage, panel, point, KEY_REST);
}

function onHover(stage, panel, event) {
  if (!panel.geo || event.buttons) return;
  const [x, y] = eventPixel(panel, event);
  const [mapX, mapY] = toPixel(panel.geo);
  const found = marksOf(stage, panel).find((mark) => mark.label && Math.hypot(mapX(mark.x) - x, mapY(mark.y) - y) < 12);
  setHover(stage, panel, found ? { x: mapX(found.x), y: mapY(found.y), text: found.label } : null);
}

function setHover(stage, panel, hover) {
  if (panel.hover?.text === hover?.text && panel.hover?.x === hover?.x) return;
  panel.hover = hover;
  schedule(stage);
}

const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };

/** On the surface, arrows move the start; elsewhere left and right step. Buttons and the list keep their own keys. */
function onKey(stage, event) {
  const { key, target } = event;
  if (event.ctrlKey || event.metaKey || event.altKey || target.tagName === "SELECT") return;
  const panel = [...stage.panels.values()].find((one) => one.plot === target && one.spec.click && one.geo);
  if (key === " " && /^(BUTTON|SUMMARY)$/.test(target.tagName)) return;
  if (key === " " || key === "k" || key === "K") stage.playing ? pause(stage) : play(stage);
  else if (ARROWS[key] && panel) moveStart(stage, panel, ARROWS[key], event.shiftKey);
  else if (key === "ArrowLeft") goTo(stage, Math.floor(stage.at) - (event.shiftKey ? 10 : 1));
  else if (key === "ArrowRight") goTo(stage, Math.floor(stage.at) + (event.shiftKey ? 10 : 1));
  else if (key === "Home") goTo(stage, 0);
  else if (key === "End") goTo(stage, stage.steps);
  else return;
  event.preventDefault();
  event.stopPropagation();
}

// ------------------------------------------------------------------------------------------------ for browser tests

function probe(stage) {
  const panels = [...stage.panels.values()].filter((panel) => panel.geo);
  const plane = panels.find((panel) => panel.plane);
  const frame = Math.floor(stage.at);
  const head = ({ racer, n }) => [plane.spec.x, plane.spec.y].map((name) => racer.series[name][Math.min(frame, n - 1)]);
  const racing = plane ? plane.traces.filter(({ n }) => n > 0) : [];
  const pixel = (x, y) => {
    const corner = plane.graph.getBoundingClientRect();
    const [mapX, mapY] = toPixel(plane.geo);
    return [corner.left + plane.geo.left + mapX(x), corner.top + plane.geo.top + mapY(y)];
  };
  return {
    frame,
    playing: stage.playing,
    steps: stage.steps,
    drawn: stage.drawn,
    view: Object.fromEntries(panels.map((panel) => [panel.spec.name, { x: panel.geo.x, y: panel.geo.y }])),
    heads: Object.fromEntries(racing.map((trace) => [trace.racer.label, head(trace)])),
    pixel,
  };
}
