/*
 * A crowd: many runs at once, each a point that moves, or all of them a shade that is the darker the more there are.
 *
 *   ground = { kind: "crowd", look: "points" | "density" | "both", count, racer: the id whose colour it has and with which it
 *              is hidden, extent: [x0, x1, y0, y1], parts: [{ id, at: 0, data }] }
 *
 * The data are frame after frame, first all x and then all y, as 16-bit numbers from 0 to 65534 over the extent; 65535 is
 * nowhere. Between two frames points glide, as heads do.
 */

const NOWHERE = 65535;
const CELL = 7; // px: the side of a cell in which runs are counted
const SPREAD = 3; // how often the counts are mixed with their neighbours
const DENSEST = 0.72; // how opaque the fullest cell of a moment is
const SPECK = 2.1; // px, the radius of a point

/** Where the points are at the present moment: x and y of each in data coordinates, NaN where it is nowhere. */
function crowdNow(stage, { spec: { ground }, crowd }) {
  const { places } = crowd;
  const [x0, x1, y0, y1] = ground.extent;
  const { count } = ground;
  const last = places.length / (2 * count) - 1;
  const frame = Math.min(Math.floor(stage.at), last);
  const share = frame < last ? stage.at - frame : 0;
  const x = new Float64Array(count);
  const y = new Float64Array(count);
  for (let i = 0; i < count; i++) {
    const here = 2 * count * frame + i;
    const next = share > 0 ? here + 2 * count : here;
    const gone = places[here] === NOWHERE || places[next] === NOWHERE;
    const between = (offset) => ((1 - share) * places[here + offset] + share * places[next + offset]) / (NOWHERE - 1);
    x[i] = gone ? NaN : x0 + (x1 - x0) * between(0);
    y[i] = gone ? NaN : y0 + (y1 - y0) * between(count);
  }
  return { x, y };
}

function paintCrowd(stage, panel, part) {
  const { ground } = panel.spec;
  if (panel.crowd?.id !== part.id) panel.crowd = { id: part.id, places: new Uint16Array(decode(part.data).buffer) };
  const owner = stage.racers.find(({ id }) => id === ground.racer);
  if (!owner || stage.hidden.has(owner.id)) return;
  const project = projector(panel);
  const { x, y } = crowdNow(stage, panel);
  const pixels = [];
  x.forEach((at, i) => {
    const [px, py] = project(at, y[i]);
    if (isInside(panel.geo, px, py, SPECK)) pixels.push([px, py]);
  });
  const ctx = pen(panel.ground, panel.geo.dpr);
  if (ground.look !== "points") paintDensity(ctx, panel.geo, pixels, owner.color);
  if (ground.look !== "density") paintSpecks(ctx, stage, panel, pixels, owner.color);
}

/** Points, each a stamp: a thousand arcs a picture would take too long. */
function paintSpecks(ctx, stage, panel, pixels, color) {
  const { dpr } = panel.geo;
  const side = 2 * (SPECK + 1);
  const look = `${color} ${stage.theme.background} ${dpr}`;
  if (panel.crowd.look !== look) {
    const stamp = element("canvas", "");
    stamp.width = stamp.height = Math.ceil(side * dpr);
    const small = pen(stamp, dpr);
    disc(small, side / 2, side / 2, SPECK + 0.7, stage.theme.background, 0.55);
    disc(small, side / 2, side / 2, SPECK, color, 1);
    Object.assign(panel.crowd, { look, stamp });
  }
  const { stamp } = panel.crowd;
  ctx.globalAlpha = panel.spec.ground.look === "both" ? 0.35 : 0.65;
  for (const [px, py] of pixels) ctx.drawImage(stamp, px - side / 2, py - side / 2, side, side);
  ctx.globalAlpha = 1;
}

/** How many points there are in each cell, smoothed over its neighbours, as opacity; the square root shows thin places. */
function paintDensity(ctx, { width, height }, pixels, color) {
  const pad = SPREAD + 1;
  const [columns, rows] = [width, height].map((length) => Math.ceil(length / CELL) + 2 * pad);
  let counts = new Float32Array(columns * rows);
  for (const [px, py] of pixels) {
    const [u, v] = [px / CELL + pad - 0.5, py / CELL + pad - 0.5];
    const [i, j] = [Math.floor(u), Math.floor(v)];
    const [s, t] = [u - i, v - j];
    const at = j * columns + i;
    counts[at] += (1 - s) * (1 - t);
    counts[at + 1] += s * (1 - t);
    counts[at + columns] += (1 - s) * t;
    counts[at + columns + 1] += s * t;
  }
  for (let i = 0; i < SPREAD; i++) counts = mixed(mixed(counts, 1), columns);
  const most = counts.reduce((a, b) => Math.max(a, b), 0) || 1;
  const [r, g, b] = channels(color);
  const image = new ImageData(columns, rows);
  counts.forEach((count, i) => image.data.set([r, g, b, 255 * DENSEST * Math.sqrt(count / most)], 4 * i));
  const small = element("canvas", "");
  [small.width, small.height] = [columns, rows];
  small.getContext("2d").putImageData(image, 0, 0);
  ctx.imageSmoothingEnabled = true;
  ctx.drawImage(small, -pad * CELL, -pad * CELL, columns * CELL, rows * CELL);
}

/** Each count mixed with its two neighbours that lie `stride` apart: ¼, ½, ¼. */
function mixed(counts, stride) {
  const out = new Float32Array(counts.length);
  for (let i = stride; i < counts.length - stride; i++) {
    out[i] = 0.25 * counts[i - stride] + 0.5 * counts[i] + 0.25 * counts[i + stride];
  }
  return out;
}
