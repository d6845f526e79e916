// Ground: what lies under Plotly's points and changes from moment to moment, as a picture or as lines. A crowd, which
// moves at every moment, lies above Plotly's contours instead.

const grounds = new Map(); // parts that were sent once, by their names

/** Parts that do not change are sent once and named afterwards: puts them back. False if one was never received. */
function completeGrounds(panel) {
  for (const part of panel.ground?.parts ?? []) {
    if (part.data !== undefined) grounds.set(part.id, part.data);
    part.data = grounds.get(part.id);
    if (part.data === undefined) return false;
  }
  return true;
}

const GROUNDS_AT_MOST = 2000;

function forgetGrounds() {
  while (grounds.size > GROUNDS_AT_MOST) grounds.delete(grounds.keys().next().value);
}

/** The part of the ground that belongs to the present frame: the last one that is not later. */
function partNow(stage, { ground }) {
  const frame = Math.floor(stage.at);
  return ground.parts.findLast?.(({ at }) => at <= frame) ?? ground.parts[0];
}

function paintGround(stage, panel) {
  const { ground } = panel.spec;
  const part = partNow(stage, panel.spec);
  const crowd = ground.kind === "crowd";
  const key = JSON.stringify([part?.id, panel.geo, stage.theme.dark, crowd && stage.at]);
  if (panel.grounded === key) return;
  panel.grounded = key;
  const { left, top, width, height, dpr } = panel.geo;
  const canvas = panel.ground;
  Object.assign(canvas.style, { left: `${left}px`, top: `${top}px`, width: `${width}px`, height: `${height}px` });
  [canvas.width, canvas.height] = [Math.round(width * dpr), Math.round(height * dpr)];
  if (!part) return;
  if (crowd) paintCrowd(stage, panel, part);
  else if (ground.kind === "lines") paintLines(stage, panel, part);
  else paintPicture(stage, panel, part);
}

/** A picture of rows × columns colour numbers, the first row at the top, stretched over its extent. */
function paintPicture(stage, panel, part) {
  const { rows, columns, extent, palette, smooth } = panel.spec.ground;
  const colors = palette[stage.theme.dark ? "dark" : "light"].map(channels);
  const words = new Uint8ClampedArray(colors.flatMap((rgb) => [...rgb, 255])); // four bytes a colour, written as one
  const pixels = new Uint32Array(words.buffer);
  const raw = atob(part.data);
  const image = new ImageData(columns, rows);
  const cells = new Uint32Array(image.data.buffer);
  for (let i = 0; i < raw.length; i++) cells[i] = pixels[raw.charCodeAt(i)];
  const small = element("canvas", "");
  [small.width, small.height] = [columns, rows];
  small.getContext("2d").putImageData(image, 0, 0);
  const project = projector(panel);
  const [x0, y0] = project(extent[0], extent[3]);
  const [x1, y1] = project(extent[1], extent[2]);
  const ctx = pen(panel.ground, panel.geo.dpr);
  ctx.imageSmoothingEnabled = Boolean(smooth);
  ctx.drawImage(small, x0, y0, x1 - x0, y1 - y0);
}

/** Lines over common x, one for each configuration, in their colours. */
function paintLines(stage, panel, part) {
  const xs = (panel.xs ??= decode(panel.spec.ground.x));
  const ctx = pen(panel.ground, panel.geo.dpr);
  const project = projector(panel);
  part.data.forEach(({ racer, y }) => {
    const owner = stage.racers.find(({ id }) => id === racer);
    if (!owner || stage.hidden.has(racer)) return;
    ctx.beginPath();
    decode(y).forEach((value, i) => Number.isFinite(value) && ctx.lineTo(...project(xs[i], value)));
    ctx.strokeStyle = stage.theme.background;
    ctx.lineWidth = 5;
    ctx.stroke();
    ctx.strokeStyle = owner.color;
    ctx.lineWidth = 3;
    ctx.setLineDash(dashOf(owner));
    ctx.stroke();
    ctx.setLineDash([]);
  });
}

/** The spread over seeds, from a lower to an upper quartile, as a band behind the lines. */
function paintBand(ctx, panel, { racer, geo, n }) {
  const { band = [], y } = panel.spec;
  const [low, high] = band.map((suffix) => racer.series[`${y}.${suffix}`]);
  if (!low || !high || n < 2) return;
  const project = projector(panel);
  const times = panel.times;
  const edge = (values) => Array.from({ length: n }, (_, i) => project(times(i), values[i])).filter(([, py]) => Number.isFinite(py));
  ctx.beginPath();
  for (const [px, py] of [...edge(low), ...edge(high).reverse()]) ctx.lineTo(px, Math.max(-9, Math.min(geo.height + 9, py)));
  ctx.closePath();
  ctx.globalAlpha = 0.18;
  ctx.fillStyle = racer.color;
  ctx.fill();
  ctx.globalAlpha = 1;
}
