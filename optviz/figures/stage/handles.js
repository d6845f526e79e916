/*
 * Handles: points of a strip that the hand may move, with the pointer or by the arrow keys.
 *   handles = { target, from, to, peak, color, points: [{ name, label, x, y, free }] }
 * A point lies at a share x of the steps between `from` and `to`, and a share y of the peak; one that is not `free` moves
 * up and down only. What the hand does goes back as the trigger `point` = { target, name, x, y }, also while it drags.
 */

const POINT_REST = 70; // ms between two messages while a point is dragged
const GRABBED_REST = 2000; // ms that a point which was let go waits for an answer

const shareOf = (value) => Number(Math.max(0, Math.min(1, value)).toFixed(3));

/** On a log axis there are none: zero, where most schedules end, has no place there. */
function placeHandles(stage, panel) {
  const { geo, spec } = panel;
  const handles = geo.log ? null : spec.handles;
  const points = handles?.points ?? [];
  const { style } = panel.handles;
  Object.assign(style, { left: `${geo.left}px`, top: `${geo.top}px`, width: `${geo.width}px`, height: `${geo.height}px` });
  while (panel.handles.children.length > points.length) panel.handles.lastChild.remove();
  while (panel.handles.children.length < points.length) panel.handles.append(createHandle(stage, panel));
  const [mapX, mapY] = toPixel(geo);
  points.forEach((point, i) => {
    const node = panel.handles.children[i];
    const { x, y } = heldPoint(stage, handles, point);
    const step = handles.from + x * (handles.to - handles.from);
    const value = y * handles.peak;
    const [px, py] = [mapX(step), mapY(value)];
    shift(node, px, py, px >= -1 && px <= geo.width + 1 && py >= -1 && py <= geo.height + 1);
    node.point = point;
    node.style.setProperty("--oz-dot", handles.color);
    const words = `${point.label} of your schedule: step ${Math.round(step)}, ${readable(value)}`;
    if (node.title !== words) {
      node.title = words;
      node.setAttribute("aria-label", words);
    }
  });
}

/** Where a point is: under the hand, if the hand has it. */
function heldPoint({ grabbed }, { target }, point) {
  return grabbed?.target === target && grabbed.name === point.name ? grabbed : point;
}

function createHandle(stage, panel) {
  const node = element("button", "oz-handle", { type: "button" });
  node.addEventListener("pointerdown", (event) => event.button === 0 && grab(stage, panel, node, event));
  node.addEventListener("keydown", (event) => {
    const way = ARROWS[event.key];
    if (!way || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    event.stopPropagation();
    const by = event.shiftKey ? 0.1 : 0.01;
    const { x, y } = heldPoint(stage, panel.spec.handles, node.point);
    movePoint(stage, panel, node.point, x + by * way[0], y + by * way[1]);
    leavePoint(stage);
  });
  return node;
}

function grab(stage, panel, node, event) {
  event.preventDefault();
  event.stopPropagation();
  node.focus({ preventScroll: true });
  node.setPointerCapture(event.pointerId);
  const move = (moved) => {
    const handles = panel.spec.handles;
    if (!handles) return;
    const { x, y } = toData(panel.geo, ...eventPixel(panel, moved));
    movePoint(stage, panel, node.point, (x - handles.from) / (handles.to - handles.from), handles.peak ? y / handles.peak : 0);
  };
  const end = () => {
    node.removeEventListener("pointermove", move);
    node.removeEventListener("pointerup", end);
    node.removeEventListener("pointercancel", end);
    leavePoint(stage);
  };
  node.addEventListener("pointermove", move);
  node.addEventListener("pointerup", end);
  node.addEventListener("pointercancel", end);
}

/** Shows the point there at once, and tells Python now and then. */
function movePoint(stage, panel, point, x, y) {
  const { target } = panel.spec.handles;
  stage.grabbed = { target, name: point.name, x: point.free ? shareOf(x) : point.x, y: shareOf(y), free: false };
  stage.timers.point ??= setTimeout(() => sendPoint(stage), POINT_REST);
  schedule(stage);
}

function sendPoint(stage) {
  clearTimeout(stage.timers.point);
  stage.timers.point = null;
  if (!stage.grabbed) return;
  const { target, name, x, y } = stage.grabbed;
  stage.send("point", { target, name, x, y });
}

/** The hand is off the point: it stays where the hand left it until Python has answered. */
function leavePoint(stage) {
  if (!stage.grabbed) return;
  stage.grabbed.free = true;
  sendPoint(stage);
  clearTimeout(stage.timers.release);
  stage.timers.release = setTimeout(() => {
    if (stage.grabbed?.free) stage.grabbed = null;
    schedule(stage);
  }, GRABBED_REST);
}

/** The data have caught up with a point that was let go. */
function settleGrabbed(stage) {
  const { grabbed } = stage;
  if (!grabbed?.free) return;
  const near = (point) => point.name === grabbed.name && Math.abs(point.x - grabbed.x) < 1e-6 && Math.abs(point.y - grabbed.y) < 1e-6;
  const strips = [...stage.panels.values()].map(({ spec }) => spec.handles).filter((handles) => handles?.target === grabbed.target);
  if (!strips.length || strips.some((handles) => handles.points.some(near))) stage.grabbed = null;
}
