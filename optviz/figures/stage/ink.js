// Ink: painting lines, moment by moment.

function schedule(stage) {
  if (!stage.frameRequest && !stage.gone) stage.frameRequest = requestAnimationFrame((now) => tick(stage, now));
}

function tick(stage, now) {
  stage.frameRequest = 0;
  if (stage.playing) advance(stage, now);
  const painted = [...stage.panels.values()].map((panel) => paintPanel(stage, panel));
  if (painted.includes(true)) stage.drawn++;
  showClock(stage, now);
  if (stage.playing) schedule(stage);
}

/** A tab that was hidden, or a page that was busy, goes on where it was instead of jumping. */
function advance(stage, now) {
  const seconds = Math.min(now - (stage.last ?? now), 100) / 1000;
  stage.last = now;
  if (stage.at < stage.steps) {
    stage.at = Math.min(stage.at + seconds * Number(stage.player.speed.value), stage.steps);
    stage.ended = now;
  } else if (!stage.data.loop) {
    pause(stage);
  } else if (now - stage.ended > LOOP_REST) {
    stage.at = 0;
  }
}

/** Brings a panel up to date. True if there were lines to paint. */
function paintPanel(stage, panel) {
  const geo = geometry(panel);
  if (!geo) return false;
  const seen = JSON.stringify(geo);
  if (panel.stale || seen !== panel.seen) {
    panel.geo = geo;
    panel.seen = seen;
    panel.stale = false;
    panel.inked = Infinity;
    panel.times = (frame) => timeOf(stage, frame);
    panel.traces = visible(stage).map((racer) => buildTrace(racer, panel, geo));
    fitOverlay(panel);
  }
  if (panel.spec.ground) paintGround(stage, panel);
  const painting = stage.at !== panel.inked && !(panel.spec.at && panel.inked !== Infinity);
  if (painting) paintInk(stage, panel);
  paintNotes(stage, panel);
  placeSprites(stage, panel);
  if ([...stage.panels.values()].every((other) => other.seen)) stage.root.dataset.ready = "true";
  return painting;
}

/** Sets sizes and places; touches the bitmap, which clears it, only if its size changes. */
function fitOverlay(panel) {
  const { left, top, width, height, dpr } = panel.geo;
  const { ink, notes, sprites } = panel;
  const [wide, high] = [Math.round(width * dpr), Math.round(height * dpr)];
  for (const canvas of [ink, notes]) {
    if (canvas.width !== wide) canvas.width = wide;
    if (canvas.height !== high) canvas.height = high;
  }
  panel.noted = -1;
  const place = { left: `${left}px`, top: `${top}px`, width: `${width}px`, height: `${height}px` };
  Object.assign(ink.style, place);
  Object.assign(notes.style, place);
  Object.assign(sprites.style, place);
}

function pen(canvas, dpr) {
  const ctx = canvas.getContext("2d");
  ctx.setTransform(dpr, 0, 0, dpr, 0, 0);
  ctx.lineJoin = "round";
  return ctx;
}

/** Draws on from where the ink ends, or afresh if time went back. */
function paintInk(stage, panel) {
  const { geo, traces, plane } = panel;
  const ctx = pen(panel.ink, geo.dpr);
  const afresh = stage.at < panel.inked;
  const from = afresh ? 0 : panel.inked;
  if (afresh) {
    ctx.clearRect(0, 0, geo.width, geo.height);
    for (const trace of traces) {
      if (!plane && !trace.steps) strokeLine(ctx, trace, 0, trace.n - 1, { width: 2, alpha: trace.racer.ghost ? 0.14 : 0.25 });
      trace.length = 0;
      if (panel.spec.band) paintBand(ctx, panel, trace);
    }
  }
  for (const trace of traces) {
    const { ghost } = trace.racer;
    const to = trace.steps ? trace.n - 1 : Math.min(stage.at, trace.n - 1);
    const halo = plane ? stage.theme.background : null;
    if (to > from) strokeLine(ctx, trace, from, to, { width: ghost ? 2 : 3, alpha: ghost ? 0.45 : 1, halo });
    if (trace.dots) dotSteps(ctx, stage, trace, afresh ? 0 : Math.floor(from) + 1, to);
  }
  panel.inked = stage.at;
}

/**
 * The line between two moments. The halo goes *under* everything drawn so far, so it never cuts a line, and the order
 * of drawing, which differs between playing and jumping, does not show.
 */
function strokeLine(ctx, trace, from, to, { width, alpha, halo }) {
  const { line, racer } = trace;
  const dash = dashOf(racer);
  let [x, y] = [NaN, NaN];
  let vertices = 0;
  let travelled = 0;
  const stroke = () => {
    ctx.globalAlpha = alpha;
    ctx.strokeStyle = racer.color;
    ctx.lineWidth = width;
    ctx.lineCap = alpha < 1 || dash.length ? "butt" : "round";
    ctx.setLineDash(dash);
    ctx.lineDashOffset = trace.length;
    ctx.stroke();
    if (halo) {
      ctx.setLineDash([]);
      ctx.globalCompositeOperation = "destination-over";
      ctx.strokeStyle = halo;
      ctx.lineWidth = width + 3;
      ctx.stroke();
      ctx.globalCompositeOperation = "source-over";
    }
    trace.length += travelled;
    travelled = vertices = 0;
    ctx.beginPath();
    ctx.moveTo(x, y);
  };
  const move = (toX, toY) => ctx.moveTo((x = toX), (y = toY));
  const draw = (toX, toY) => {
    if (Number.isNaN(x)) return move(toX, toY);
    travelled += Math.hypot(toX - x, toY - y);
    ctx.lineTo((x = toX), (y = toY));
    if (++vertices === CHUNK) stroke();
  };
  const start = headAt(trace, from);
  ctx.beginPath();
  if (isInside(trace.geo, ...start, CLIP_PAD)) move(...start);
  for (let k = firstAfter(line.step, from); k < line.step.length && line.step[k] <= to; k++) {
    (line.move[k] ? move : draw)(line.x[k], line.y[k]);
  }
  drawTail(trace, to, move, draw);
  stroke();
  ctx.setLineDash([]);
  ctx.globalAlpha = 1;
}

/** From the last whole step to the head, as far as it is near the picture. */
function drawTail(trace, to, move, draw) {
  const { X, Y, geo } = trace;
  const i = Math.floor(to);
  const [x, y] = headAt(trace, to);
  const part = Number.isFinite(Y[i] + y) && clipSegment(X[i], Y[i], x, y, geo, CLIP_PAD);
  if (!part) return;
  if (part[0] > 0) move(X[i] + part[0] * (x - X[i]), Y[i] + part[0] * (y - Y[i]));
  draw(X[i] + part[1] * (x - X[i]), Y[i] + part[1] * (y - Y[i]));
}

const dashOf = ({ ghost, dash }) => (ghost && dash.length === 0 ? [5, 5] : dash);

/** Index of the first entry of the ascending `steps` above `step`. */
function firstAfter(steps, step) {
  let low = 0;
  let high = steps.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (steps[middle] > step) high = middle;
    else low = middle + 1;
  }
  return low;
}

function dotSteps(ctx, stage, { X, Y, racer, geo }, from, to) {
  for (let i = from; i <= to; i++) {
    if (!isInside(geo, X[i], Y[i], 0)) continue;
    disc(ctx, X[i], Y[i], racer.ghost ? 2.4 : 3.4, racer.color, racer.ghost ? 0.45 : 1);
    ctx.globalCompositeOperation = "destination-over";
    disc(ctx, X[i], Y[i], 4.8, stage.theme.background, racer.ghost ? 0.45 : 1);
    ctx.globalCompositeOperation = "source-over";
  }
}

function disc(ctx, x, y, radius, color, alpha) {
  ctx.globalAlpha = alpha;
  ctx.fillStyle = color;
  ctx.beginPath();
  ctx.arc(x, y, radius, 0, 2 * Math.PI);
  ctx.fill();
  ctx.globalAlpha = 1;
}

/** Head of a trace at time `at`, in pixels, between frames on the segment that joins them. */
function headAt({ X, Y, n }, at) {
  const i = Math.min(Math.floor(at), n - 1);
  const part = i < n - 1 ? at - i : 0;
  if (part === 0) return [X[i], Y[i]];
  return [X[i] + part * (X[i + 1] - X[i]), Y[i] + part * (Y[i + 1] - Y[i])];
}

/** Where among ascending `steps` a time is, as a real number; at the last of `n` when it is over. */
function placeIn(steps, n, time) {
  const i = Math.min(firstAfter(steps, time), n) - 1;
  if (i < 0 || i + 1 >= n) return Math.max(i, 0);
  return i + (time - steps[i]) / (steps[i + 1] - steps[i]);
}

function placeSprites(stage, panel) {
  placeMarks(stage, panel);
  if (panel.spec.at) placeHandles(stage, panel);
  if (!panel.plane || panel.spec.ground?.time) placeCursor(stage, panel);
  const nodes = spritesOf(panel.heads, panel.traces.length);
  panel.traces.forEach((trace, i) => placeHead(stage, panel, trace, nodes[i]));
}

function placeCursor(stage, { geo, cursor }) {
  const x = toPixel(geo)[0](timeOf(stage, stage.at));
  shift(cursor, x - 1, 0, x >= 0 && x <= geo.width);
}

function placeHead(stage, panel, trace, node) {
  const { racer, geo, n } = trace;
  const [x, y] = headAt(trace, trace.steps ? placeIn(trace.steps, n, timeOf(stage, stage.at)) : stage.at);
  const inside = isInside(geo, x, y, 1);
  const over = trace.diverged && stage.at >= n - 1;
  const radius = (panel.plane ? 0.55 : 0.42) * stage.theme.size * (racer.ghost ? 0.8 : 1);
  const alpha = racer.ghost ? 0.6 : 1;
  const dress = (kind, size) => dressSprite(node, kind, size, racer.color, stage.theme.background, alpha);
  node.tag.textContent = over && inside && panel.plane ? `diverged, step ${racer.stop ?? n - 1}` : "";
  if (inside) {
    dress(over ? "x" : racer.marker, over ? radius * 1.3 : radius);
    shift(node, x, y, true);
    if (node.tag.textContent) placeTag(node.tag, stage, geo, x, y, racer.color);
  } else if (panel.plane && !panel.solid && n > 0) {
    const tip = exitOf(trace, stage.at, x, y);
    dress("arrow", radius * 1.2);
    shift(node, tip.x, tip.y, true, Math.atan2(tip.dy, tip.dx));
  } else {
    shift(node, 0, 0, false);
  }
}

/** Where on the border the path left the picture, or, if it never was in it, where the head is nearest. */
function exitOf({ geo, exits }, at, x, y) {
  const left = exits.filter((exit) => exit.step <= Math.ceil(at)).pop();
  if (left) return left;
  const near = { x: Math.max(0, Math.min(geo.width, x)), y: Math.max(0, Math.min(geo.height, y)) };
  return { ...near, dx: x - near.x, dy: y - near.y };
}

/** The small canvases in a layer, as many as asked for; each brings a tag for words. */
function spritesOf(layer, count) {
  layer.nodes ??= [];
  while (layer.nodes.length > count) {
    const node = layer.nodes.pop();
    node.tag.remove();
    node.remove();
  }
  while (layer.nodes.length < count) {
    const node = element("canvas", "oz-sprite");
    node.tag = element("div", "oz-tag");
    layer.append(node, node.tag);
    layer.nodes.push(node);
  }
  return layer.nodes;
}

/** Moves a sprite, to whole device pixels so that it stays sharp. */
function shift(node, x, y, shown, turn = 0) {
  const dpr = window.devicePixelRatio || 1;
  const [px, py] = [Math.round(x * dpr) / dpr, Math.round(y * dpr) / dpr];
  node.spot = shown ? [px, py, turn] : null;
  const visibility = shown ? "visible" : "hidden";
  if (node.style.visibility !== visibility) node.style.visibility = visibility;
  if (shown) node.style.transform = `translate(${px}px, ${py}px)${turn ? ` rotate(${turn.toFixed(3)}rad)` : ""}`;
}

/** Words beside a point, on the side where there is room. */
function placeTag(tag, stage, geo, x, y, color) {
  const side = x > geo.width / 2 ? "calc(-100% - 12px)" : "12px";
  const rise = y < 24 ? "0" : "-100%";
  tag.style.color = color ?? stage.theme.text;
  tag.style.transform = `translate(${Math.round(x)}px, ${Math.round(y)}px) translate(${side}, ${rise})`;
}

/** Draws a marker into its sprite, if it is not there yet. */
function dressSprite(node, kind, radius, color, halo, alpha) {
  const dpr = window.devicePixelRatio || 1;
  const look = [kind, radius, color, halo, alpha, dpr].join();
  if (node.look === look) return;
  node.look = look;
  node.dress = [kind, radius, color, halo, alpha];
  node.width = node.height = SPRITE * dpr;
  paintMarker(pen(node, dpr), kind, SPRITE / 2, SPRITE / 2, radius, color, halo, alpha);
}
