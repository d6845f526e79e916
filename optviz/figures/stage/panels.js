// Panels: one for the surface, one for each curve; made, measured and laid out. A strip is a curve above all others.

function syncPanels(stage, revised) {
  const specs = stage.data.panels.filter((spec) => spec.kind !== "curve" || !stage.data.compact);
  const names = new Set(specs.map((spec) => spec.name));
  for (const panel of stage.panels.values()) if (!names.has(panel.spec.name)) removePanel(stage, panel);
  for (const spec of specs) {
    const panel = stage.panels.get(spec.name) ?? createPanel(stage, spec);
    if (revised || panel.spec.log !== spec.log) panel.view = {};
    panel.spec = spec.at ? readStrip(stage, spec) : spec;
    panel.grounded = null;
    const source = JSON.stringify(spec.figure ?? {});
    if (panel.solid && panel.source !== source) panel.land = readLand(panel);
    panel.source = source;
    panel.stale = true;
    describePanel(stage, panel);
    if (spec.at) describeStrip(stage, panel);
  }
  for (const home of [stage.planes, stage.strips, stage.curves]) {
    const boxes = specs.map(({ name }) => stage.panels.get(name)).filter((panel) => panel.home === home).map(({ box }) => box);
    inOrder(home, boxes);
  }
}

/** Puts nodes into a box, in their order; one that is at its place already stays, as to put it back is to lay it out anew. */
function inOrder(box, nodes) {
  nodes.forEach((node, i) => box.children[i] === node || box.insertBefore(node, box.children[i] ?? null));
}

function createPanel(stage, spec) {
  const plane = spec.kind !== "curve"; // it shows the surface, from above or in space
  const panel = {
    spec,
    plane,
    solid: spec.kind === "solid",
    box: element("section", `oz-panel oz-${spec.kind}`),
    title: element("span", "oz-title"),
    symbols: element("span", "oz-symbols"),
    plot: element("div", "oz-plot"),
    graph: element("div", "oz-graph"),
    ground: element("canvas", "oz-ink", { "aria-hidden": "true" }), // a picture under the points
    ink: element("canvas", "oz-ink", { "aria-hidden": "true" }),
    notes: element("canvas", "oz-ink", { "aria-hidden": "true" }), // the arrows of one step
    sprites: element("div", "oz-sprites", { "aria-hidden": "true" }),
    marks: element("div", "oz-layer"),
    heads: element("div", "oz-layer"),
    cursor: element("div", "oz-cursor"),
    tag: element("div", "oz-tag"), // the words of the mark under the pointer
    handles: element("div", "oz-handles"),
    home: plane ? stage.planes : spec.place === "top" ? stage.strips : stage.curves,
    view: {}, // the ranges the visitor zoomed to: { x, y }
    camera: spec.kind === "solid" ? stage.camera : null, // where the visitor left it when it was last shown
    under: null, // the point of a surface in space under the pointer
    margin: null, // what Plotly really needs around the plot, measured
    listening: false,
    key: null, // the figure on the screen, as text
    queue: Promise.resolve(), // Plotly calls for this panel, one after the other
    traces: [],
    inked: 0,
    hover: null,
  };
  const head = element("div", "oz-head");
  panel.saver = createSaver(() => panelPicture(stage, panel));
  head.append(panel.title, panel.symbols, panel.saver.box);
  panel.plot.append(panel.graph);
  panel.sprites.append(panel.marks, panel.cursor, panel.heads, panel.tag);
  panel.box.append(head, panel.plot);
  panel.plot.addEventListener("wheel", onWheel, { capture: true, passive: true });
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

const SYMBOLS = { minimum: "★ minimum", maximum: "▲ maximum", saddle: "✕ saddle", flat: "■ flat", start: "◎ start" };

function describePanel(stage, { spec, plane, title, symbols, plot, saver }) {
  const clickable = plane && Boolean(spec.click);
  const kinds = Object.keys(SYMBOLS).filter((kind) => spec.marks?.some((mark) => mark.kind === kind));
  title.textContent = spec.title ?? "";
  saver.name(spec.title || spec.name);
  symbols.textContent = spec.note ?? (plane && spec.kind === "plane" ? kinds.map((kind) => SYMBOLS[kind]).join("\u2003") : "");
  plot.setAttribute("role", clickable ? "application" : spec.handles ? "group" : "img");
  plot.setAttribute("aria-label", `${spec.alt ?? spec.title ?? ""}${clickable ? " Arrow keys move the start." : ""}`);
  if (clickable) plot.setAttribute("tabindex", "0");
  else plot.removeAttribute("tabindex");
}

/** Gives every panel its pixels: the surface as large as fits at its own proportions, the curves what is left. */
function arrange(stage) {
  const { root, data, theme } = stage;
  const planes = [...stage.panels.values()].filter((panel) => panel.plane);
  const curves = [...stage.panels.values()].filter((panel) => !panel.plane && !panel.spec.at);
  const strips = [...stage.panels.values()].filter((panel) => panel.spec.at);
  if (root.clientWidth === 0) return; // in a tab that is not open: the observer calls again
  stage.shape = shapeOf(stage);
  stage.width = root.clientWidth;
  const pair = planes.length === 2 && stage.width >= WIDE; // from above and in space, side by side
  const wide = stage.width >= WIDE && planes.length === 1 && curves.length > 0;
  root.classList.toggle("oz-wide", wide);
  root.classList.toggle("oz-pair", pair);
  root.classList.toggle("oz-tiles", planes.length > 2);
  const tallLegend = Math.max(0, stage.legend.offsetHeight - 3.5 * theme.size); // leaves the player on the first screen
  const cap = Math.max(360, data.height ?? window.innerHeight * (strips.length ? 0.5 : 0.65) - tallLegend);
  const tiles = planes.length > 2 ? Math.max(1, Math.min(planes.length === 4 ? 2 : 3, Math.floor(stage.width / 340))) : 0;
  const tile = Math.floor((stage.width - 20 * (tiles - 1)) / tiles) - 1; // a page's width is no whole number
  const room = tiles ? tile : Math.floor(wide ? stage.width * 0.62 : pair ? stage.width / 2 - 10 : stage.width);
  const title = Math.ceil(theme.size * 1.9); // the line above every plot, as in stage.css
  root.style.setProperty("--oz-title", `${title}px`);
  let height = 0;
  let width = 0;
  for (const panel of planes) {
    panel.size = tiles ? [room, Math.round(Math.max(220, 0.7 * room))] : planeSize(stage, panel, room, cap);
    height += panel.size[1] + title;
    width = Math.max(width, panel.size[0]);
  }
  const last = theme.size * 2.6; // the lowest curve also carries the labels of the step axis
  const columns = wide ? 1 : Math.max(1, Math.min(curves.length, Math.floor(stage.width / 380)));
  const each = wide ? Math.max(150, (height - last) / curves.length) : Math.max(200, Math.min(280, stage.width * 0.4));
  const beside = Math.floor((stage.width - 20 * (columns - 1)) / columns);
  root.style.setProperty("--oz-columns", columns);
  curves.forEach((panel, i) => {
    panel.lowest = i >= curves.length - columns;
    panel.size = [wide ? stage.width - width - 20 : beside, Math.floor(each - title + (panel.lowest ? last : 0))];
  });
  arrangeStrips(stage, strips);
  for (const panel of stage.panels.values()) {
    panel.box.style.width = panel.plot.style.width = `${panel.size[0]}px`;
    panel.plot.style.height = `${panel.size[1]}px`;
  }
}

function planeSize(stage, panel, room, cap) {
  if (panel.solid) return [room, Math.round(Math.max(360, Math.min(cap, room * 0.8)))];
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

/** Strips share the width if they fit beside each other; each carries the labels of its step axis. */
function arrangeStrips(stage, strips) {
  const columns = strips.length > 1 && stage.width >= WIDE ? 2 : 1;
  const width = Math.floor((stage.width - 20 * (columns - 1)) / columns) - 1;
  stage.root.style.setProperty("--oz-strip-columns", columns);
  for (const panel of strips) {
    panel.lowest = true;
    panel.size = [width, Math.round(stage.theme.size * (stage.moments ? 13.5 : 12.5))];
  }
}

/** A strip's steps as numbers, and on the axis that the visitor chose. */
function readStrip(stage, spec) {
  return { ...spec, steps: decode(spec.at), log: stage.logs.get(spec.name) ?? spec.log };
}

/** What stands in the line above a strip besides its title: the switch of its axis. */
function describeStrip(stage, panel) {
  if (!panel.scale) {
    panel.scale = element("button", "oz-scale", { type: "button" });
    panel.scale.onclick = () => {
      panel.spec.log = !panel.spec.log;
      stage.logs.set(panel.spec.name, panel.spec.log);
      panel.view = {};
      describeStrip(stage, panel);
      redraw(stage);
    };
    panel.symbols.before(panel.scale);
  }
  panel.scale.textContent = "log scale";
  panel.scale.title = "Equal distances for equal ratios: shows small values";
  panel.scale.setAttribute("aria-pressed", String(panel.spec.log));
}
