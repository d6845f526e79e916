// The legend: who is who, with the loss of this moment; pressing an entry hides its racer.

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
    entry.setAttribute("aria-pressed", String(!stage.hidden.has(racer.id)));
    entry.title = `${stage.hidden.has(racer.id) ? "Show" : "Hide"} ${racer.label}`;
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
  entry.onclick = () => toggleRacer(stage, stage.racers[index].id);
  return entry;
}

function toggleRacer(stage, id) {
  if (!stage.hidden.delete(id)) stage.hidden.add(id);
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

/** What belongs to the step at which the clock stands, in numbers. */
function readOut(stage) {
  showValues(stage);
  showAnatomy(stage);
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
