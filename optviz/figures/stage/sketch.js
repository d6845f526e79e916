// Sketch: a panel as SVG. The functions that paint on canvases paint here too, with a pen that writes what it is told.

/** What stands in for a canvas: `text()` is all that was drawn on it. */
function createSketch() {
  const parts = []; // { look, end, path }, the lowest first
  let [path, start, end, dash] = ["", "", "", []];
  const at = (x, y) => `${Number(x.toFixed(2))},${Number(y.toFixed(2))}`;
  const to = (letter, x, y) => {
    if (!Number.isFinite(x + y)) return;
    start ||= at(x, y);
    path += `${letter}${(end = at(x, y))}`;
  };
  /** Pieces of one line, drawn one after the other, become one line again. */
  const put = (look, style) => {
    if (!/[LZA]/.test(path)) return;
    const under = pen.globalCompositeOperation === "destination-over";
    const next = under ? parts[0] : parts[parts.length - 1];
    if (look && next?.look === look && next.end === start) {
      next.path += path.slice(1 + start.length);
      next.end = end;
      return;
    }
    parts[under ? "unshift" : "push"]({ look, end, path, style });
  };
  const shade = () => (pen.globalAlpha < 1 ? ` opacity="${pen.globalAlpha}"` : "");
  const pen = {
    globalAlpha: 1,
    globalCompositeOperation: "source-over",
    lineWidth: 1,
    lineCap: "butt",
    lineDashOffset: 0,
    strokeStyle: "black",
    fillStyle: "black",
    setTransform() {}, // lengths are those of the screen
    clearRect() {},
    setLineDash: (lengths) => (dash = lengths),
    beginPath: () => ([path, start, end] = ["", "", ""]),
    moveTo: (x, y) => to("M", x, y),
    lineTo: (x, y) => to(path ? "L" : "M", x, y),
    closePath: () => (path += "Z"),
    arc(x, y, radius) {
      to("M", x - radius, y);
      for (const side of [1, -1]) path += `A${radius},${radius} 0 0 1 ${at(x + side * radius, y)}`;
      path += "Z";
    },
    fill: () => put(null, `fill="${pen.fillStyle}"${shade()}`),
    stroke() {
      const { strokeStyle, lineWidth, lineCap } = pen;
      const look = `fill="none" stroke="${strokeStyle}" stroke-width="${lineWidth}" stroke-linecap="${lineCap}" stroke-linejoin="round"${shade()}${dash.length ? ` stroke-dasharray="${dash}"` : ""}`;
      put(look, dash.length && pen.lineDashOffset ? `${look} stroke-dashoffset="${pen.lineDashOffset}"` : look);
    },
  };
  const text = () => parts.map(({ path, style }) => `<path d="${path}" ${style}/>`).join("");
  return { getContext: () => pen, style: {}, text };
}

/** What `paint` draws on a sketch. */
function sketched(paint) {
  const sketch = createSketch();
  paint(sketch);
  return sketch.text();
}

/** A panel as it stands: Plotly's figure, what lies under and above it, and who is who. */
async function panelPicture(stage, panel) {
  const { width, height, body } = await plotted(labelled(stage, panel));
  const { left, top, width: wide, height: high } = panel.geo;
  const layer = (inner, overflow) => `<svg x="${left}" y="${top}" width="${wide}" height="${high}" overflow="${overflow}">${inner}</svg>`;
  const ground = panel.spec.ground ? layer(groundSketch(stage, panel), "hidden") : "";
  const ink = sketched((sketch) =>
    paintInk(stage, { ...panel, ink: sketch, inked: Infinity, traces: panel.traces.map((trace) => ({ ...trace })) }),
  );
  const notes = sketched((sketch) => paintNotes(stage, { ...panel, notes: sketch, noted: -1 }));
  const crowd = panel.spec.ground?.kind === "crowd";
  return {
    title: panel.spec.title ?? "",
    width,
    height,
    theme: stage.theme,
    legend: shownIn(stage, panel).map((racer) => ({ label: racer.label, swatch: sketched((sketch) => paintSwatch(sketch, racer, stage.theme)) })),
    body: [crowd ? "" : ground, body, crowd ? ground : "", layer(ink + notes, "hidden"), layer(spriteSketch(stage, panel), "visible")].join(""),
  };
}

/** The figure as it is drawn; a curve above others, which has its steps from them, gets their labels of its own. */
function labelled(stage, panel) {
  if (panel.plane || panel.lowest) return panel.graph;
  const alone = { ...panel, lowest: true };
  const [b, bare] = [alone, panel].map((one) => curveLayout(stage, one).margin.b);
  alone.size = [panel.size[0], panel.size[1] + b - bare];
  return { data: JSON.parse(panel.source).data ?? [], layout: compose(stage, alone) };
}

/** Those who have a line here. */
function shownIn(stage, panel) {
  if (panel.spec.ground?.kind === "lines") return visible(stage);
  return panel.traces.filter(({ n }) => n > 0).map(({ racer }) => racer);
}

/** Lines are lines. Colours of cells and thousands of points would be a hundred times longer than a picture of them. */
function groundSketch(stage, panel) {
  const { width, height, dpr } = panel.geo;
  if (panel.spec.ground.kind === "lines") return sketched((sketch) => paintGround(stage, { ...panel, ground: sketch, grounded: null }));
  const canvas = element("canvas", "");
  paintGround(stage, { ...panel, ground: canvas, grounded: null, geo: { ...panel.geo, dpr: Math.max(SAVED_FINER, dpr) } });
  return `<image width="${width}" height="${height}" href="${canvas.toDataURL()}"/>`;
}

/** Marks, heads with their words, and the line that stands at the present moment. */
function spriteSketch(stage, panel) {
  const { geo, marks, heads, cursor } = panel;
  const nodes = [...(marks.nodes ?? []), ...(heads.nodes ?? [])].filter((node) => node.spot);
  const drawn = nodes.map(({ spot: [x, y, turn], dress, tag }) => {
    const [kind, radius, ...colors] = dress;
    const mark = sketched((sketch) => paintMarker(sketch.getContext(), kind, 0, 0, radius, ...colors));
    const shape = `<g transform="translate(${x},${y}) rotate(${(turn * 180) / Math.PI})">${mark}</g>`;
    return shape + (tag.textContent ? tagSketch(stage, geo, x, y, tag) : "");
  });
  const [x] = cursor.spot ?? [];
  const line = x === undefined ? "" : `<path d="M${x + 1},0V${geo.height}" stroke="${stage.theme.frame}" stroke-width="1.5"/>`;
  return line + drawn.join("");
}

/** On the side where there is room, as on the screen. */
function tagSketch(stage, geo, x, y, tag) {
  const { size, font } = stage.theme;
  const left = x > geo.width / 2;
  const place = `x="${x + (left ? -12 : 12)}" y="${y + (y < 24 ? size : -0.4 * size)}" text-anchor="${left ? "end" : "start"}"`;
  return `<text ${place} font-family="${escaped(font)}" font-size="${size}" font-weight="600" fill="${tag.style.color}">${escaped(tag.textContent)}</text>`;
}
