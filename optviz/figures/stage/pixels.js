// From data to pixels: the map of a panel, and every racer's line in it.

function geometry(panel) {
  const full = panel.graph._fullLayout;
  if (panel.solid) return solidGeometry(panel, full);
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

/** The camera of a surface in space, as Plotly's own three-dimensional annotations read it. */
function solidGeometry(panel, full) {
  const scene = full?.scene?._scene;
  const camera = scene?.glplot?.cameraParams;
  if (!camera || !panel.sprites.isConnected) return null;
  const { l, t, w, h } = full._size;
  return {
    left: l,
    top: t,
    width: w,
    height: h,
    x: [...full.scene.xaxis.range],
    y: [...full.scene.yaxis.range],
    scale: [...scene.dataScale],
    camera: [camera.projection, camera.view, camera.model].map((matrix) => [...matrix]),
    dpr: window.devicePixelRatio || 1,
  };
}

/** From a point of the surface to pixels; in space there is none outside the window. */
function projector({ geo, land }) {
  if (!geo.camera) {
    const [mapX, mapY] = toPixel(geo);
    return (x, y) => [mapX(x), mapY(y)];
  }
  const [a, b, c, d] = [0, 1, 2, 3].map((column) =>
    [0, 1, 3].map((row) => {
      const axis = [0, 0, 0, 0].map((_, i) => Number(i === column));
      return geo.camera.reduceRight((vector, matrix) => times(matrix, vector), axis)[row];
    }),
  );
  const [sx, sy, sz] = geo.scale;
  const within = (value, [from, to]) => value >= from && value <= to;
  return (x, y) => {
    if (!within(x, geo.x) || !within(y, geo.y)) return [NaN, NaN];
    const z = land(x, y);
    const [px, py, w] = a.map((_, i) => a[i] * x * sx + b[i] * y * sy + c[i] * z * sz + d[i]);
    return [0.5 * (1 + px / w) * geo.width, 0.5 * (1 - py / w) * geo.height];
  };
}

/** A 4 × 4 matrix, stored by columns, times a vector. */
const times = (m, v) => [0, 1, 2, 3].map((i) => m[i] * v[0] + m[i + 4] * v[1] + m[i + 8] * v[2] + m[i + 12] * v[3]);

/** Heights of a surface in space as they are drawn: straight between the points of its grid. */
function readLand({ spec }) {
  const { x, y, z } = spec.figure.data[0];
  const [xs, ys, heights] = [x, y, z].map(({ bdata }) => decode(bdata));
  const place = (axis, value) => ((value - axis[0]) / (axis[axis.length - 1] - axis[0])) * (axis.length - 1);
  return (px, py) => {
    const [column, row] = [place(xs, px), place(ys, py)];
    const [i, j] = [Math.floor(column), Math.floor(row)].map((at, axis) => Math.min(at, [xs, ys][axis].length - 2));
    const [u, v] = [column - i, row - j];
    const at = (right, up) => heights[(j + up) * xs.length + i + right];
    return (1 - v) * ((1 - u) * at(0, 0) + u * at(1, 0)) + v * ((1 - u) * at(0, 1) + u * at(1, 1));
  };
}

function toPixel({ x, y, width, height, log }) {
  const kx = width / (x[1] - x[0]);
  const ky = height / (y[1] - y[0]);
  // exactly zero has no logarithm, and is where Newton's method arrives in one step: it lies on the lower edge
  return [(v) => (v - x[0]) * kx, (v) => height - ((log ? (v === 0 ? y[0] : Math.log10(v)) : v) - y[0]) * ky];
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
  const project = projector(panel);
  const xs = panel.plane ? racer.series[panel.spec.x] : null;
  const ys = panel.plane && !xs ? null : racer.series[panel.spec.y];
  if (panel.spec.at) return buildStrip(racer, panel, geo, ys ?? new Float32Array(0));
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
    [X[i], Y[i]] = project(xs ? xs[i] : panel.times(i), ys[i]);
    if (isInside(geo, X[i], Y[i], 0)) inside++;
  }
  const dots = panel.plane && inside <= MANY_DOTS;
  const kept = panel.plane ? keepByDistance(X, Y, dots ? 0 : NEAR) : keepByColumn(X, Y, geo.width);
  const exits = panel.plane && !panel.solid ? findExits(X, Y, geo) : [];
  return { racer, geo, n, X, Y, dots, diverged, exits, line: clipLine(X, Y, kept, geo), length: 0 };
}

/** A line of a strip: it has steps of its own, and is there before the run is. */
function buildStrip(racer, panel, geo, ys) {
  const project = projector(panel);
  const { steps } = panel.spec;
  const n = Math.min(ys.length, steps.length);
  const X = new Float64Array(n);
  const Y = new Float64Array(n);
  for (let i = 0; i < n; i++) [X[i], Y[i]] = project(steps[i], ys[i]);
  const line = clipLine(X, Y, keepByColumn(X, Y, geo.width), geo);
  return { racer, geo, n, X, Y, steps, dots: false, diverged: false, exits: [], line, length: 0 };
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
