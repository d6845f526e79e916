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
 * Streamlit sends a component's script along with its data, at every move of a slider. So this script is a component of
 * its own, which a page mounts once and whose only act is to offer `show`; the stage's own script just calls that.
 *
 * Streamlit calls `show` for every script run and theme change with
 *   data = { steps: T, revision, autoplay, loop, compact, height, plotly: [addresses of plotly.js, best first],
 *     panels: [{ name, kind: "plane" | "solid" | "picture" | "curve", x, y: names of series, title, alt, log, click,
 *                figure: { data, layout, id } or, once that has been sent, { id },
 *                band: null | [suffixes of a lower and an upper series], note: words beside the title,
 *                range: where the y axis of a curve ends, if not at its values,
 *                place: "top" for a curve over the whole width, above all else, at: base64 of float32, the steps at which
 *                its series have values; it is drawn whole, whatever the clock says,
 *                handles: null | points of such a curve that can be moved, as `handles.js` describes them,
 *                ground: null | { kind: "picture", rows, columns, extent: [x0, x1, y0, y1], smooth, palette: { light, dark } }
 *                             | { kind: "lines", x } | { kind: "crowd", … as `crowd.js` describes it }
 *                             with parts: [{ id, at: frame, data, or none once it has been sent }],
 *                marks: [{ x, y, kind: "minimum" | "maximum" | "saddle" | "flat" | "start", label }] }],
 *     racers: [{ id, label, color, dash, marker, ghost, stop, state, run: names its series, if they are sent only once,
 *                series: { name: base64 of little-endian float32 }, or null once they have been sent }],
 *     scales: { light, dark },
 *     time: null | { values: base64 of float32, the steps taken at each frame, end, epoch: steps in one, or null },
 *     live: null | ms after which the stage asks for more, by the trigger `tick`,
 *     look: how many `tick` have been answered, so that an answer without news is one too,
 *     table: null | { head: [text], rows: [{ color, cells: [text], bad: null | the number of a cell }] },
 *     anatomy: null | one racer's steps taken apart, as figures/dissection.py writes them,
 *     drag: null | { racer, name, label, choices: [{ name, label }], values, texts, at, steps, id,
 *                    family: null | { every, series: { name: base64 of float32, member after member } } } }
 * and gets back triggers: `start` = { x, y }, the point of the surface that was clicked; `drag` = { name } asks for
 * the family of runs over that hyperparameter; `drop` = { name, value } is where the hand let it go; `point` = { target,
 * name, x, y } is where the hand has moved a handle; `missing` says that a figure or a run was named that never came.
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
const LEAVING = 5000; // ms that another page may need to come, while this one does not ask for more
const NEAR = 0.6; // px: path points closer than this to the last kept one are not drawn

const FIGURES_AT_MOST = 128;
const RUNS_AT_MOST = 128;

const stages = new WeakMap();
const figures = new Map(); // by their names
const runs = new Map(); // series by the names of their runs
let library = null; // the promise of Plotly: one load per page

export default function ({ data }) {
  loadPlotly(data.plotly).catch(() => {}); // early, while the page is still being made; `drawPanel` tells of failures
  window.optvizStage = show;
  window.optvizWaiting?.forEach(show);
  window.optvizWaiting?.clear();
}

function show({ data, parentElement, setTriggerValue }) {
  let stage = stages.get(parentElement);
  if (!stage || !parentElement.contains(stage.root)) {
    if (stage) destroy(stage);
    stage = createStage(parentElement);
    stages.set(parentElement, stage);
  }
  stage.send = setTriggerValue;
  const racers = data && completeFigures(data) ? completeRuns(data.racers) : null;
  if (racers) receive(stage, { ...data, racers });
  else if (data) setTriggerValue("missing", true);
  // Streamlit also calls the cleanup of a call that a newer one overtook; only an element that left the page is gone.
  return () => setTimeout(() => parentElement.isConnected || destroy(stage));
}

/** Figures that do not change are sent once and named afterwards: puts them back. False if one was never received. */
function completeFigures(data) {
  for (const panel of data.panels) {
    const { id, data: traces } = panel.figure;
    if (id === undefined) continue;
    if (traces) figures.set(id, panel.figure);
    panel.figure = figures.get(id);
    if (!panel.figure) return false;
  }
  if (!data.panels.every(completeGrounds)) return false;
  forgetGrounds();
  while (figures.size > FIGURES_AT_MOST) figures.delete(figures.keys().next().value);
  return true;
}

/** The same for the series of runs: the racers with theirs, decoded; null if one was never received. */
function completeRuns(racers) {
  for (const { run, series } of racers) if (run !== undefined && series) runs.set(run, decodeAll(series));
  const complete = racers.map((racer) => ({ ...racer, series: runs.get(racer.run) ?? (racer.series && decodeAll(racer.series)) }));
  while (runs.size > RUNS_AT_MOST) runs.delete(runs.keys().next().value);
  return complete.every((racer) => racer.series) ? complete : null;
}

// ------------------------------------------------------------------------------------------------ birth and death

function createStage(parent) {
  const root = parent.querySelector(".oz-stage") ?? parent.appendChild(element("div", "oz-stage"));
  root.replaceChildren();
  const stage = {
    root,
    panels: new Map(),
    racers: [],
    hidden: new Set(), // ids of racers
    steps: 0, // the last frame; a frame is a step, unless there are moments
    moments: null, // the steps taken at each frame
    at: 0,
    playing: false,
    speed: null, // null until the visitor chooses one
    camera: null, // where the visitor turned the surface in space
    logs: new Map(), // by the name of a strip whether the visitor wants it on a log axis
    grabbed: null, // the handle under the hand
    curveX: null, // the x range to which the visitor zoomed the curves
    pending: null, // a start that was asked for and is not yet in the data
    drawn: 0,
    frameRequest: 0,
    fitRequest: 0,
    timers: {},
    legend: element("div", "oz-legend", { role: "group", "aria-label": "Racers" }),
    strips: element("div", "oz-strips"),
    board: element("div", "oz-board"),
    planes: element("div", "oz-planes"),
    curves: element("div", "oz-curves"),
    note: element("p", "oz-note", { role: "alert" }),
  };
  stage.player = createPlayer(stage);
  stage.drag = createDrag(stage);
  stage.anatomy = createAnatomy(stage);
  stage.results = createResults();
  stage.board.append(stage.planes, stage.curves);
  root.append(stage.legend, stage.note, stage.strips, stage.board, stage.player.bar, stage.drag.bar, stage.anatomy.box);
  root.append(stage.results);
  root.addEventListener("keydown", (event) => onKey(stage, event));
  root.probe = () => probe(stage);
  stage.refit = () => {
    cancelAnimationFrame(stage.fitRequest);
    stage.fitRequest = requestAnimationFrame(() => stage.data && (arrange(stage), redraw(stage)));
  };
  stage.observer = new ResizeObserver(() => root.clientWidth !== stage.width && stage.refit());
  stage.observer.observe(root);
  window.addEventListener("resize", stage.refit);
  stage.leave = (event) => leave(stage, event);
  document.addEventListener("click", stage.leave, true);
  window.addEventListener("popstate", stage.leave, true);
  return stage;
}

function destroy(stage) {
  stage.gone = true;
  stage.observer.disconnect();
  window.removeEventListener("resize", stage.refit);
  document.removeEventListener("click", stage.leave, true);
  window.removeEventListener("popstate", stage.leave, true);
  cancelAnimationFrame(stage.frameRequest);
  cancelAnimationFrame(stage.fitRequest);
  Object.values(stage.timers).forEach(clearTimeout);
  stage.panels.forEach((panel) => removePanel(stage, panel));
  window.Plotly?.purge?.(stage.anatomy.slice);
}

// ------------------------------------------------------------------------------------------------ data come in

function receive(stage, data) {
  const first = !stage.data;
  const revised = stage.data?.revision !== data.revision;
  stage.data = data;
  stage.theme = readTheme(stage.root);
  stage.racers = data.racers.map((racer) => readRacer(racer));
  stage.root.classList.toggle("oz-compact", Boolean(data.compact));
  stage.moments = data.time ? decode(data.time.values) : null;
  if (revised) stage.curveX = null;
  syncPanels(stage, revised);
  syncLegend(stage);
  settlePending(stage);
  settleGrabbed(stage);
  setSteps(stage, data.steps, first);
  syncDrag(stage);
  syncAnatomy(stage);
  syncResults(stage);
  if (stage.shape !== shapeOf(stage)) arrange(stage);
  redraw(stage);
  askMore(stage);
}

/**
 * What the sizes of the panels depend on, besides the window; of states, how long they are, about. To measure a page
 * that has just changed costs a layout.
 */
function shapeOf({ racers, panels, theme, data }) {
  const windows = [...panels.values()].map(({ spec }) => [spec.name, spec.figure?.layout?.xaxis, spec.figure?.layout?.yaxis]);
  return JSON.stringify([windows, racers.map(({ label, state }) => [label, Math.ceil((state ?? "").length / 10)]), theme.size, data.height]);
}

/** The clock when data change: a race at its end stays at the end, any other stays where it is. */
function setSteps(stage, steps, first) {
  const atEnd = stage.at >= stage.steps; // a run that goes on is followed, unless the visitor looks back
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
  const diverged = /^diverged/i.test(racer.state ?? "");
  return { ...racer, diverged, dash: racer.dash ?? [], marker: racer.marker ?? "circle" };
}

function visible(stage) {
  const shown = stage.racers.filter((racer) => !stage.hidden.has(racer.id));
  return [...shown.filter((racer) => racer.ghost), ...shown.filter((racer) => !racer.ghost)];
}

// ------------------------------------------------------------------------------------------------ for browser tests

function probe(stage) {
  const panels = [...stage.panels.values()].filter((panel) => panel.geo);
  const plane = panels.find((panel) => panel.plane && !panel.solid) ?? panels.find((panel) => panel.plane);
  const solid = panels.find((panel) => panel.solid);
  const frame = Math.floor(stage.at);
  const head = ({ racer, n }) => [plane.spec.x, plane.spec.y].map((name) => racer.series[name][Math.min(frame, n - 1)]);
  const racing = plane ? plane.traces.filter(({ n }) => n > 0) : [];
  const pixel = (x, y) => {
    const corner = plane.graph.getBoundingClientRect();
    const [left, top] = projector(plane)(x, y);
    return [corner.left + plane.geo.left + left, corner.top + plane.geo.top + top];
  };
  return {
    frame,
    playing: stage.playing,
    steps: stage.steps,
    drawn: stage.drawn,
    view: Object.fromEntries(panels.map((panel) => [panel.spec.name, { x: panel.geo.x, y: panel.geo.y }])),
    camera: solid ? structuredClone(solid.graph._fullLayout.scene.camera) : null,
    space: solid ? Object.fromEntries(solid.traces.map(({ racer, X, Y, n }) => [racer.label, [X[n - 1], Y[n - 1]]])) : null,
    family: stage.family?.id ?? null,
    anatomy: stage.anatomy.data ? stage.anatomy.formula.innerText : null,
    heads: Object.fromEntries(racing.map((trace) => [trace.racer.label, head(trace)])),
    crowd: plane?.crowd ? Object.values(crowdNow(stage, plane)).map((values) => [...values]) : null,
    pixel,
  };
}
