// Figures: what Plotly is asked to draw, in the colours of the theme, and the ranges of the curves.

// ------------------------------------------------------------------------------------------------ theme

const colorsRead = new Map();
const COLORS_AT_MOST = 1000;

/** Any CSS colour as [r, g, b]. Known ones are kept: three are asked for whenever data come. */
function channels(color) {
  if (colorsRead.size > COLORS_AT_MOST) colorsRead.clear();
  if (!colorsRead.has(color)) colorsRead.set(color, readChannels(color));
  return colorsRead.get(color);
}

/** Read back from a canvas, which understands all colours; it takes as long as to paint a curve. */
function readChannels(color) {
  const pen = (readChannels.pen ??= document.createElement("canvas").getContext("2d", { willReadFrequently: true }));
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

function solidLayout(stage, { spec, camera }) {
  const { theme } = stage;
  const { scene, ...rest } = spec.figure?.layout ?? {};
  const font = { size: theme.size, color: theme.text };
  const axis = {
    color: theme.text,
    gridcolor: theme.grid,
    linecolor: theme.frame,
    tickfont: { size: theme.size - 2, color: theme.text },
    showbackground: false,
    showspikes: false,
    zeroline: false,
    nticks: 5,
    title: { font },
  };
  const base = {
    ...look(stage),
    margin: { l: 0, r: rest.coloraxis?.showscale === false ? 0 : theme.size * 4.4, t: 0, b: 0 },
    scene: { xaxis: axis, yaxis: axis, zaxis: axis, dragmode: "turntable" },
  };
  // the view stays where the visitor turned it, whatever else changes
  const kept = { uirevision: "camera", ...(camera ? { camera } : {}) };
  return merge(base, { ...rest, dragmode: "turntable", scene: { ...scene, ...kept } });
}

function curveLayout(stage, panel) {
  const { size } = stage.theme;
  const { spec, lowest } = panel;
  const epochs = Boolean(stage.data.time?.epoch);
  const base = {
    ...look(stage),
    margin: { l: size * 4.4, r: SPRITE / 2, t: 10, b: lowest ? size * (epochs ? 4.2 : 3) : 8 },
    xaxis: { ...axisLook(stage, lowest ? (epochs ? "step, and epoch below" : "step") : ""), showticklabels: lowest, nticks: 7 },
    yaxis: { ...axisLook(stage, ""), type: spec.log ? "log" : "linear", nticks: 5 },
  };
  return merge(base, withTitles(spec.figure?.layout));
}

/** The whole figure of a panel as it should be on the screen now. */
function compose(stage, panel) {
  if (panel.solid) {
    const [width, height] = panel.size;
    return { ...solidLayout(stage, panel), width, height };
  }
  const layout = panel.plane ? planeLayout(stage, panel) : curveLayout(stage, panel);
  const home = panel.plane ? {} : { x: [0, timeEnd(stage)], y: panel.spec.range ?? steadyRange(stage, panel) };
  const x = (panel.plane ? panel.view.x : stage.curveX) ?? home.x;
  const y = panel.view.y ?? home.y;
  [layout.width, layout.height] = panel.size;
  if (x) layout.xaxis = { ...layout.xaxis, range: x, autorange: false };
  if (y) layout.yaxis = { ...layout.yaxis, range: y, autorange: false };
  if (panel.lowest) Object.assign(layout.xaxis, timeTicks(stage, x, panel.size[0]));
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

/** The range of the data; while a run goes on, one that only grows, because every new axis is a new figure for Plotly. */
function steadyRange(stage, panel) {
  const range = dataRange(stage, panel);
  const before = stage.data.live ? panel.held : null;
  panel.held = before ? [Math.min(before[0], range[0]), Math.max(before[1], range[1])] : range;
  return panel.held;
}

/**
 * The y range of a curve panel: all finite values of the visible racers, on a log axis all positive ones. A run that
 * diverges would flatten all others: only its beginning counts, and its line leaves the panel.
 */
function dataRange(stage, { spec }) {
  const racers = spec.at ? visible(stage).map((racer) => ({ ...racer, diverged: false, stop: null })) : visible(stage);
  const steady = racers.filter((racer) => !racer.diverged);
  const range = spanOf(steady.length ? steady : racers, spec);
  for (const racer of steady.length ? racers.filter((racer) => racer.diverged) : []) range.take(racer.series[spec.y]?.[0]);
  const { low, high } = range;
  if (low > high) return spec.log ? [-1, 1] : [0, 1];
  return spec.log ? logRange(Math.log10(low), Math.log10(high)) : linearRange(low, high);
}

function spanOf(racers, spec) {
  const span = {
    low: Infinity,
    high: -Infinity,
    take(value) {
      if (!Number.isFinite(value) || (spec.log && value <= 0)) return;
      if (value < span.low) span.low = value;
      if (value > span.high) span.high = value;
    },
  };
  for (const racer of racers) {
    const values = racer.series[spec.y] ?? [];
    const end = seriesEnd(racer, values.length);
    for (let i = 0; i < end; i++) span.take(values[i]);
  }
  return span;
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
    if (panel.plane && !panel.solid && measureMargin(panel)) stage.refit();
  }
  panel.stale = true;
  if (paintPanel(stage, panel)) stage.drawn++;
  schedule(stage);
}

function config(stage, panel) {
  const { home } = window.Plotly.Icons;
  const flat = ["zoom2d", "pan2d", "zoomIn2d", "zoomOut2d"];
  const space = ["tableRotation", "zoom3d", "pan3d"];
  const reset = { name: "reset", title: "Reset view", icon: home, click: () => resetView(stage, panel) };
  return {
    displaylogo: false,
    displayModeBar: panel.plane && panel.spec.kind !== "picture",
    modeBarButtons: [[...(panel.solid ? space : flat), reset]],
    scrollZoom: panel.plane && panel.spec.kind !== "picture",
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
  if (panel.spec.at && panel.handles.parentElement !== panel.plot) panel.plot.append(panel.handles);
  if (hover.previousSibling !== panel.sprites) hover.before(panel.ink, panel.notes, panel.sprites);
  const above = panel.spec.ground?.kind === "crowd" ? panel.ink : layers[0];
  if (panel.spec.ground && above.previousSibling !== panel.ground) above.before(panel.ground);
}

function listen(stage, panel) {
  panel.listening = true;
  panel.graph.on("plotly_relayouting", () => paintPanel(stage, panel));
  panel.graph.on("plotly_afterplot", () => paintPanel(stage, panel));
  panel.graph.on("plotly_relayout", (change) => keepView(stage, panel, change));
  if (!panel.solid) return;
  const under = ({ points: [{ x, y }] }) => (panel.under = { x, y });
  panel.graph.on("plotly_hover", under);
  panel.graph.on("plotly_click", under);
  panel.graph.on("plotly_unhover", () => (panel.under = null));
}

/** The visitor zoomed or panned: remember it, for the next data and for the other curves. */
function keepView(stage, panel, change) {
  if (panel.solid) {
    stage.camera = structuredClone(panel.graph._fullLayout.scene.camera);
    return schedule(stage);
  }
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
  if (panel.solid) {
    stage.camera = null;
    return window.Plotly.relayout(panel.graph, { "scene.camera": panel.spec.figure.layout.scene.camera });
  }
  panel.view = {};
  if (!panel.plane) stage.curveX = null;
  panel.key = ""; // Plotly holds the zoomed ranges: call it even if our figure reads the same
  redraw(stage);
}
