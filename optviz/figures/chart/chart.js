/*
 * A chart: one Plotly figure that follows the theme, keeps the visitor's zoom, and says what was clicked.
 *
 * Streamlit calls the default export for every script run and theme change with
 *   data = { title: what it is, for its file, figure: { data, layout: with a height if it is no share of the screen },
 *     revision, alt, scales: those of a coloraxis by theme, if one is used,
 *     plotly: [where plotly.js is, best first], key: what colours mean where the figure itself does not tell, as
 *     [{ words, color, opacity, dash: null | [px], empty if solid }]; a page tells it beside the chart, a file brings it }
 * and gets back one trigger: `clicked` = { curve: trace.meta, point: index among the trace's points, of a heatmap or a contour [row,
 * column] }, for traces that have a meta. Colours "text", "line" and "band" in the figure stand for those of the theme. A narrow chart leaves out
 * annotations whose name is "wide".
 */

let library = null; // the promise of Plotly: one load per page

const NARROW = 560; // px
const REACH = 20; // px: how near a click must come to a point, as for Plotly's hover
const charts = new WeakMap();

export default function showChart({ data, parentElement, setTriggerValue }) {
  let chart = charts.get(parentElement);
  if (!chart || !parentElement.contains(chart.root)) {
    chart = createChart(parentElement);
    charts.set(parentElement, chart);
  }
  chart.tell = (clicked) => setTriggerValue("clicked", clicked);
  if (data) chart.data = JSON.parse(new TextDecoder().decode(data));
  show(chart);
  return () => setTimeout(() => parentElement.isConnected || destroyChart(chart));
}

function createChart(parent) {
  const root = parent.querySelector(".oz-chart");
  root.replaceChildren();
  const graph = document.createElement("div");
  const note = document.createElement("p");
  note.className = "oz-chart-note";
  root.setAttribute("role", "figure"); // not "img", which would hide the menu within from whoever cannot see it
  const saver = createSaver(async () => ({ title: chart.data.title ?? "", theme: readTheme(root), legend: legendOf(chart), ...(await plotted(graph)) }));
  root.append(note, graph, saver.box);
  const chart = { root, graph, note, saver, data: null, listening: false, queue: Promise.resolve(), shown: "", gone: false };
  chart.observer = new ResizeObserver(() => show(chart));
  chart.observer.observe(root);
  return chart;
}

function destroyChart(chart) {
  chart.gone = true;
  chart.observer.disconnect();
  if (window.Plotly) window.Plotly.purge(chart.graph);
}

function show(chart) {
  if (!chart.data) return;
  chart.queue = chart.queue
    .then(() => draw(chart))
    .catch((problem) => {
      console.warn("optviz:", problem);
      chart.note.textContent = `The picture could not be drawn: ${problem.message}. Reload the page to try again.`;
    });
}

async function draw(chart) {
  const Plotly = await loadPlotly(chart.data.plotly);
  const own = chart.data.figure.layout.height;
  chart.root.style.height = own ? `${own}px` : "";
  const { clientWidth: width, clientHeight: height } = chart.root;
  if (chart.gone || !width) return;
  const theme = readTheme(chart.root);
  const figure = painted(chart.data.figure, theme);
  const layout = chartLayout(chart, figure.layout, theme, width, height);
  const text = JSON.stringify([figure.data, layout]);
  if (text !== chart.shown) {
    chart.shown = text;
    const buttons = [["zoom2d", "pan2d", "resetScale2d"]];
    await Plotly.react(chart.graph, figure.data, layout, { displaylogo: false, modeBarButtons: buttons, showTips: false });
  }
  chart.note.textContent = "";
  chart.root.setAttribute("aria-label", chart.data.alt);
  chart.saver.name(chart.data.title ?? "this chart");
  if (!chart.listening) {
    chart.listening = true;
    chart.graph.on("plotly_click", ({ event }) => {
      const found = hit(chart.graph, event);
      if (found) chart.tell(found);
    });
  }
  chart.root.dataset.ready = "true";
}

/**
 * What a click is meant for: the nearest point of a trace with a meta, or else the cell that lies there. The points that
 * Plotly hands over with a click are those of its last look under the pointer, up to 50 ms before, when a quick hand was
 * still somewhere else. Which point is the nearest is judged as Plotly does for its hover labels.
 */
function hit(graph, { clientX, clientY }) {
  const { left, top } = graph.getBoundingClientRect();
  let [point, cell, least] = [null, null, REACH];
  for (const trace of graph._fullData) {
    if (trace.meta === undefined || trace.visible !== true) continue;
    const xaxis = graph._fullLayout[`xaxis${trace.xaxis.slice(1)}`];
    const yaxis = graph._fullLayout[`yaxis${trace.yaxis.slice(1)}`];
    const [x, y] = [clientX - left - xaxis._offset, clientY - top - yaxis._offset];
    if (x < 0 || x > xaxis._length || y < 0 || y > yaxis._length) continue;
    if (trace.z) {
      const rows = trace.y ?? trace.z.map((_, i) => trace.y0 + i * trace.dy);
      const columns = trace.x ?? Array.from(trace.z[0], (_, i) => trace.x0 + i * trace.dx);
      cell = { curve: trace.meta, point: [nearest(rows, yaxis.p2d(y)), nearest(columns, xaxis.p2d(x))] };
      continue;
    }
    const marked = trace.mode.includes("markers");
    const radius = marked ? Math.max(trace.marker.size / 2, 3) : 0.5;
    trace.x.forEach((value, i) => {
      const away = Math.hypot(xaxis.d2p(value) - x, yaxis.d2p(trace.y[i]) - y); // NaN where there is no point
      const distance = Math.max(away - radius, 1 - (marked ? 3 : 0.5) / radius); // within a marker, a small one comes first
      if (distance <= least) [point, least] = [{ curve: trace.meta, point: i }, distance];
    });
  }
  return point ?? cell;
}

/** The index of the value that is nearest to another. */
function nearest(values, value) {
  return values.reduce((best, here, i) => (Math.abs(here - value) < Math.abs(values[best] - value) ? i : best), 0);
}

/** The key, as a saved picture shows it. */
function legendOf({ root, data }) {
  return (data.key ?? []).map((entry) => ({ label: entry.words, swatch: keySwatch(entry, readTheme(root)) }));
}

/** What stands before an entry of a key, as SVG elements, 40 × 20 px: a patch of colour or, with a dash, a line. */
function keySwatch({ color, opacity, dash }, { frame }) {
  if (dash) return `<path d="M4,10H38" stroke="${color}" stroke-width="3" stroke-dasharray="${dash.join() || "none"}"/>`;
  return `<rect x="22" y="3" width="16" height="14" fill="${color}" fill-opacity="${opacity}" stroke="${frame}"/>`;
}

/** The figure with the theme's own colours where it names them. */
function painted(figure, theme) {
  const colors = { text: theme.text, line: theme.frame, band: fade(theme.text, 0.05), paper: theme.background };
  return JSON.parse(
    JSON.stringify(figure, (name, value) => (/color$/i.test(name) && typeof value === "string" ? (colors[value] ?? value) : value)),
  );
}

function chartLayout(chart, own, theme, width, height) {
  const stage = { theme, data: { revision: chart.data.revision, scales: chart.data.scales } };
  const narrow = width < NARROW;
  const base = {
    ...look(stage),
    margin: { l: theme.size * 4.6, r: 12, t: theme.size * 2.4, b: theme.size * 3.4 },
    hovermode: "closest",
    clickanywhere: true, // `hit` finds what was clicked, even where Plotly has not looked yet
    showlegend: true,
    legend: { orientation: "h", x: 0, y: 1, xanchor: "left", yanchor: "bottom", font: { size: theme.size, color: theme.text } },
  };
  const axes = {};
  for (const name of Object.keys(own).filter((key) => /^[xy]axis/.test(key))) axes[name] = axisLook(stage, "");
  const layout = merge({ ...base, ...axes }, own);
  if (narrow) layout.annotations = (layout.annotations ?? []).filter((note) => note.name !== "wide");
  return { ...layout, width, height };
}
