// Anatomy of one step: arrows that add up to it, its formula with the numbers in it, and what two models promised of it.

const ARROW = 9; // px: the length of an arrow's head
const SHORT = 3; // px: an arrow shorter than this is a dot

function createAnatomy(stage) {
  const box = element("section", "oz-anatomy", { "aria-label": "Anatomy of one step" });
  const head = element("h3", "oz-anatomy-title");
  const zoom = element("button", "oz-speed oz-zoom", { type: "button" });
  zoom.textContent = "Zoom to this step";
  const keys = element("div", "oz-arrows", { role: "group", "aria-label": "Arrows" });
  const formula = element("table", "oz-formula");
  const promise = element("p", "oz-promise");
  const promises = element("table", "oz-promises");
  const slice = element("div", "oz-slice", { role: "img", "aria-label": "The loss along the step, and two models of it" });
  const words = element("div", "oz-anatomy-words");
  const picture = element("div", "oz-anatomy-picture");
  const bar = element("div", "oz-anatomy-bar");
  bar.append(head, zoom);
  words.append(keys, formula);
  const saver = createSaver(async () => ({ title: `${head.textContent}: the loss along it`, theme: stage.theme, ...(await plotted(slice)) }));
  saver.name("the loss along the step");
  picture.append(slice, saver.box, promise, promises);
  box.append(bar, words, picture);
  box.hidden = true;
  return { box, head, zoom, keys, formula, slice, promise, promises, queue: Promise.resolve(), hidden: null, row: -1 };
}

/** New data: decode what is there, and write the rows that numbers will be put into. */
function syncAnatomy(stage) {
  const { anatomy, data } = stage;
  const given = data.anatomy ?? null;
  anatomy.box.hidden = !given;
  anatomy.row = -1;
  anatomy.data = null;
  for (const panel of stage.panels.values()) if (panel.plane) panel.stale = true;
  if (!given) return;
  const numbers = ({ columns, values }) => ({ columns, values: decode(values) });
  anatomy.data = {
    ...given,
    arrows: given.arrows.map((arrow) => ({ ...arrow, vector: decode(arrow.vector) })),
    lines: given.lines.map((line) => ({ ...line, ...numbers(line) })),
    leaves: given.leaves.map(numbers),
    along: Object.fromEntries(Object.entries(given.along).map(([name, v]) => [name, name === "alpha" ? v : decode(v)])),
    promises: given.promises.map((one) => Object.fromEntries(Object.entries(one).map(([name, v]) => [name, decode(v)]))),
    ellipse: given.ellipse && { centre: decode(given.ellipse.centre), hessian: decode(given.ellipse.hessian) },
  };
  anatomy.hidden ??= new Set(given.arrows.filter((arrow) => !arrow.shown).map((arrow) => arrow.id));
  anatomy.zoom.onclick = () => zoomToStep(stage);
  writeKeys(stage);
  writeFormula(stage);
  writePromises(stage);
}

function writeKeys(stage) {
  const { anatomy } = stage;
  const racer = stage.racers[anatomy.data.racer];
  const keys = anatomy.data.arrows.map((arrow) => {
    const label = element("label", "oz-arrow");
    const box = element("input", "", { type: "checkbox" });
    box.checked = !anatomy.hidden.has(arrow.id);
    box.onchange = () => {
      anatomy.hidden[box.checked ? "delete" : "add"](arrow.id);
      writeKeys(stage);
      for (const panel of stage.panels.values()) panel.noted = -1;
      schedule(stage);
    };
    const swatch = element("span", "oz-arrow-swatch");
    swatch.style.color = inkOf(stage, arrow, racer);
    swatch.textContent = arrow.part ? "⟶" : "⇢";
    const value = element("span", "oz-arrow-value");
    label.append(box, swatch, `${arrow.label} `, value);
    arrow.value = value;
    return label;
  });
  anatomy.keys.replaceChildren(...keys);
  anatomy.row = -1;
}

const inkOf = (stage, arrow, racer) => (arrow.key === "step" ? racer.color : arrow.color ?? stage.theme.text);

function writeFormula({ anatomy }) {
  const rows = anatomy.data.lines.map((line) => {
    const row = element("tr", "");
    const [symbol, formula] = [element("th", "", { scope: "row", title: line.says }), element("td", "oz-formula-text")];
    symbol.textContent = line.symbol;
    const [general, filled, says] = [element("div", ""), element("div", "oz-filled"), element("div", "oz-says")];
    general.textContent = line.formula ? `= ${line.formula}` : "";
    says.textContent = line.says;
    formula.append(general, filled, says);
    row.append(symbol, formula);
    line.cell = filled;
    return row;
  });
  anatomy.formula.replaceChildren(...rows);
}

/** Promise and outcome of every racer's step, a row each. */
function writePromises({ anatomy, racers }) {
  const head = element("tr", "");
  for (const word of ["this step of", "linear", "quadratic", "outcome"]) {
    head.append(Object.assign(element("th", "", { scope: "col" }), { textContent: word }));
  }
  const rows = anatomy.data.promises.map((promise, i) => {
    const row = element("tr", "");
    const name = element("th", "", { scope: "row" });
    name.textContent = racers[i].label;
    name.style.borderLeft = `4px solid ${racers[i].color}`;
    promise.cells = ["linear", "quadratic", "change"].map((key) => [key, element("td", "")]);
    row.append(name, ...promise.cells.map(([, cell]) => cell));
    return row;
  });
  anatomy.promises.replaceChildren(head, ...rows);
}

/** The step that leaves the frame on show; at the end the last one. */
const rowOf = (stage) => Math.max(0, Math.min(Math.floor(stage.at), stage.anatomy.data.steps - 1));

function showAnatomy(stage) {
  const { anatomy } = stage;
  if (!anatomy.data) return;
  const row = rowOf(stage);
  if (row === anatomy.row) return;
  anatomy.row = row;
  const racer = stage.racers[anatomy.data.racer];
  const map = [...stage.panels.values()].some((panel) => panel.plane && !panel.solid);
  anatomy.head.textContent = `Step ${row + 1} of ${racer.label}, taken apart${map ? "" : " (its arrows are on the map: 2-D)"}`;
  anatomy.zoom.hidden = !map;
  for (const line of anatomy.data.lines) {
    const value = written(line, row, false);
    const filled = line.filled.replace(/\{(\d+)\}/g, (_, leaf) => written(anatomy.data.leaves[leaf], row, line.filled !== `{${leaf}}`));
    line.cell.textContent = line.formula && filled !== value ? `= ${filled} = ${value}` : `= ${value}`;
  }
  for (const { vector, value } of anatomy.data.arrows) {
    value.textContent = `(${readable(vector[2 * row])}, ${readable(vector[2 * row + 1])})`;
  }
  for (const promise of anatomy.data.promises) {
    for (const [key, cell] of promise.cells) cell.textContent = readable(promise[key][Math.min(row, promise[key].length - 1)]);
  }
  drawSlice(stage, row, racer);
}

/** A number or a vector; a negative or long number in a formula stands in parentheses. */
function written({ columns, values }, row, inside) {
  if (columns === 2) return `(${readable(values[2 * row])}, ${readable(values[2 * row + 1])})`;
  const text = readable(values[row]);
  return inside && /^−|×/.test(text) ? `(${text})` : text;
}

// ------------------------------------------------------------------------------------------------ arrows in the plane

/** Paints the arrows on their own small canvas, afresh for every step. */
function paintNotes(stage, panel) {
  const { anatomy } = stage;
  const { geo, notes } = panel;
  if (panel.solid || !panel.plane) return;
  notes.hidden = !anatomy.data;
  if (!anatomy.data) return;
  const row = rowOf(stage);
  if (panel.noted === row && panel.notedView === panel.seen) return;
  [panel.noted, panel.notedView] = [row, panel.seen];
  const ctx = pen(notes, geo.dpr);
  ctx.clearRect(0, 0, geo.width, geo.height);
  const racer = stage.racers[anatomy.data.racer];
  if (stage.hidden.has(racer.id)) return;
  const project = projector(panel);
  const home = [racer.series[panel.spec.x][row], racer.series[panel.spec.y][row]];
  if (anatomy.data.ellipse) paintEllipse(stage, ctx, project, home, row);
  let tail = home;
  for (const arrow of anatomy.data.arrows) {
    const from = arrow.part ? tail : home;
    const to = [from[0] + arrow.vector[2 * row], from[1] + arrow.vector[2 * row + 1]];
    if (arrow.part) tail = to;
    if (anatomy.hidden.has(arrow.id)) continue;
    paintArrow(ctx, project(...from), project(...to), {
      color: inkOf(stage, arrow, racer),
      halo: stage.theme.background,
      dash: arrow.part || arrow.key === "step" ? [] : [5, 4],
      width: arrow.key === "step" ? 5 : 2.5,
    });
  }
}

function paintArrow(ctx, [x0, y0], [x1, y1], { color, halo, dash, width }) {
  const [dx, dy] = [x1 - x0, y1 - y0];
  const length = Math.hypot(dx, dy);
  if (!Number.isFinite(length) || length > 1e5) return;
  const [ux, uy] = [dx / length, dy / length];
  const head = Math.min(ARROW + width, length);
  const side = 0.45 * head;
  for (const [ink, extra] of [[halo, 3], [color, 0]]) {
    ctx.strokeStyle = ctx.fillStyle = ink;
    ctx.lineWidth = width + extra;
    ctx.setLineDash(extra ? [] : dash);
    ctx.beginPath();
    if (length < SHORT) ctx.arc(x0, y0, 2 + extra / 2, 0, 2 * Math.PI);
    else {
      ctx.moveTo(x0, y0);
      ctx.lineTo(x1 - 0.8 * head * ux, y1 - 0.8 * head * uy);
      ctx.stroke();
      ctx.setLineDash([]);
      ctx.beginPath();
      ctx.moveTo(x1, y1);
      ctx.lineTo(x1 - head * ux - side * uy, y1 - head * uy + side * ux);
      ctx.lineTo(x1 - head * ux + side * uy, y1 - head * uy - side * ux);
      ctx.closePath();
    }
    if (extra) ctx.stroke();
    ctx.fill();
  }
}

/** The level line of the quadratic model through θ: an ellipse where it curves upwards both ways, else a hyperbola. */
function paintEllipse(stage, ctx, project, [x, y], row) {
  const { centre, hessian } = stage.anatomy.data.ellipse;
  const [cx, cy] = [centre[2 * row], centre[2 * row + 1]];
  const [a, b, , d] = hessian.subarray(4 * row, 4 * row + 4);
  const level = a * (x - cx) ** 2 + 2 * b * (x - cx) * (y - cy) + d * (y - cy) ** 2;
  ctx.strokeStyle = stage.theme.text;
  ctx.lineWidth = 1.5;
  ctx.setLineDash([2, 3]);
  ctx.beginPath();
  let down = false;
  for (let i = 0; i <= 360; i++) {
    const [u, v] = [Math.cos((i * Math.PI) / 180), Math.sin((i * Math.PI) / 180)];
    const square = level / (a * u * u + 2 * b * u * v + d * v * v);
    const [px, py] = project(cx + Math.sqrt(square) * u, cy + Math.sqrt(square) * v);
    if (!(square >= 0) || !Number.isFinite(px + py) || Math.hypot(px, py) > 1e5) {
      down = false;
      continue;
    }
    if (down) ctx.lineTo(px, py);
    else ctx.moveTo(px, py);
    down = true;
  }
  ctx.stroke();
  ctx.setLineDash([]);
}

/** Shows the neighbourhood in which this step's arrows are as large as they can be. */
function zoomToStep(stage) {
  const { data, hidden } = stage.anatomy;
  const panel = [...stage.panels.values()].find((one) => one.plane && !one.solid && one.geo);
  if (!panel || !data) return;
  const row = rowOf(stage);
  const racer = stage.racers[data.racer];
  const home = [racer.series[panel.spec.x][row], racer.series[panel.spec.y][row]];
  const points = [home];
  let tail = home;
  for (const arrow of data.arrows) {
    const from = arrow.part ? tail : home;
    const to = [from[0] + arrow.vector[2 * row], from[1] + arrow.vector[2 * row + 1]];
    if (arrow.part) tail = to;
    if (!hidden.has(arrow.id)) points.push(to);
  }
  const [xs, ys] = [0, 1].map((axis) => points.map((point) => point[axis]));
  const middle = (values) => (Math.min(...values) + Math.max(...values)) / 2;
  const reach = 0.75 * Math.max(...[xs, ys].map((values) => Math.max(...values) - Math.min(...values)));
  if (!(reach > 0) || !Number.isFinite(reach)) return;
  const proportion = panel.geo.width / panel.geo.height;
  const [wide, high] = [reach * Math.max(1, proportion), reach * Math.max(1, 1 / proportion)];
  panel.view = { x: [middle(xs) - wide, middle(xs) + wide], y: [middle(ys) - high, middle(ys) + high] };
  redraw(stage);
}

// ------------------------------------------------------------------------------------------------ promise and outcome

/** The loss along the step, with the linear and the quadratic model at its start. */
function drawSlice(stage, row, racer) {
  const { anatomy, theme } = stage;
  const { alpha, loss, slope, curvature } = anatomy.data.along;
  const count = alpha.length;
  const values = [...loss.subarray(row * count, (row + 1) * count)];
  const [start, end] = [values[alpha.indexOf(0)], values[alpha.indexOf(1)]];
  const linear = alpha.map((a) => start + a * slope[row]);
  const quadratic = alpha.map((a) => start + a * slope[row] + 0.5 * a * a * curvature[row]);
  const promised = [slope[row], slope[row] + 0.5 * curvature[row]];
  const change = end - start;
  const verb = (number) => (number <= 0 ? "a fall" : "a rise");
  const size = (number) => readable(Math.abs(number));
  anatomy.promise.textContent =
    `The linear model promised ${verb(promised[0])} of ${size(promised[0])}, the quadratic one ` +
    `${verb(promised[1])} of ${size(promised[1])}. The step brought ${verb(change)} of ${size(change)}.`;
  const finite = [...values, start + promised[0], start + promised[1]].filter(Number.isFinite);
  const [low, high] = [Math.min(...finite), Math.max(...finite)];
  const pad = 0.08 * (high - low) || 1e-9;
  const line = (y, name, look) => ({ type: "scatter", mode: "lines", x: alpha, y, name, line: look, hoverinfo: "skip" });
  const data = [
    line(linear, "linear model", { color: theme.text, width: 1.5, dash: "dot" }),
    line(quadratic, "quadratic model", { color: theme.text, width: 2, dash: "dash" }),
    line(values, "loss", { color: racer.color, width: 3 }),
    { type: "scatter", mode: "markers", x: [0, 1], y: [start, end], marker: { color: racer.color, size: 9 }, showlegend: false, hoverinfo: "skip" },
  ];
  const layout = {
    ...look(stage),
    width: 27 * theme.size,
    height: 20 * theme.size,
    margin: { l: theme.size * 4.6, r: 8, t: theme.size * 3.4, b: theme.size * 3.2 },
    xaxis: { ...axisLook(stage, "share of the step"), range: [alpha[0], alpha[count - 1]], tickvals: [0, 0.5, 1, 1.5, 2] },
    yaxis: { ...axisLook(stage, ""), range: [low - pad, high + pad], nticks: 5 },
    showlegend: true,
    legend: { orientation: "h", x: 0, y: 1.02, yanchor: "bottom", font: { size: theme.size } },
  };
  anatomy.queue = anatomy.queue
    .then(() => loadPlotly(stage.data.plotly))
    .then((Plotly) => !stage.gone && row === anatomy.row && Plotly.react(anatomy.slice, data, layout, { displayModeBar: false }))
    .catch((problem) => console.warn("optviz:", problem));
}
