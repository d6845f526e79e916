// From data to pixels: the map of a panel, and every racer's line in it.

function geometry(panel) {
  const full = panel.graph._fullLayout;
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
  const [mapX, mapY] = toPixel(geo);
  const xs = panel.plane ? racer.series[panel.spec.x] : null;
  const ys = racer.series[panel.spec.y];
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
    X[i] = mapX(xs ? xs[i] : i);
    Y[i] = mapY(ys[i]);
    if (isInside(geo, X[i], Y[i], 0)) inside++;
  }
  const dots = panel.plane && inside <= MANY_DOTS;
  const kept = panel.plane ? keepByDistance(X, Y, dots ? 0 : NEAR) : keepByColumn(X, Y, geo.width);
  const exits = panel.plane ? findExits(X, Y, geo) : [];
  return { racer, geo, n, X, Y, dots, diverged, exits, line: clipLine(X, Y, kept, geo), length: 0 };
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
