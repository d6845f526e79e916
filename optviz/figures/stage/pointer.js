// Pointer and keys: a click or the arrow keys ask for another start.

function eventPixel(panel, event) {
  const frame = panel.graph.getBoundingClientRect();
  return [event.clientX - frame.left - panel.geo.left, event.clientY - frame.top - panel.geo.top];
}

/**
 * A press and release on one spot is a click, seen before Plotly sees it: its own click event knows grid nodes only.
 * The release is heard on the window, because Plotly spreads a cover over the page while a button is down.
 */
function onPress(stage, panel, event) {
  if (event.button !== 0 || !panel.geo || event.target.closest(".modebar, .oz-handle")) return;
  if (panel.solid) whileTurning(stage, panel);
  const [x, y] = eventPixel(panel, event);
  if (!isInside(panel.geo, x, y, 0)) return;
  const point = panel.solid ? null : toData(panel.geo, x, y);
  const release = (up) => {
    window.removeEventListener("pointerup", release, true);
    window.removeEventListener("pointercancel", release, true);
    const moved = Math.hypot(up.clientX - event.clientX, up.clientY - event.clientY);
    if (up.type === "pointerup" && moved <= 4) onClick(stage, panel, point ?? panel.under);
  };
  window.addEventListener("pointerup", release, true);
  window.addEventListener("pointercancel", release, true);
}

/** In space the lines follow the camera as long as a button is down: Plotly tells of the end of a turn only. */
function whileTurning(stage, panel) {
  let turning = true;
  const follow = () => {
    paintPanel(stage, panel);
    if (turning && !stage.gone) requestAnimationFrame(follow);
  };
  const rest = () => {
    turning = false;
    window.removeEventListener("pointerup", rest, true);
    window.removeEventListener("pointercancel", rest, true);
  };
  window.addEventListener("pointerup", rest, true);
  window.addEventListener("pointercancel", rest, true);
  follow();
}

/** A click waits for a second one: together they reset the view and mean nothing else. */
function onClick(stage, panel, point) {
  if (panel.click) {
    clearTimeout(panel.click.timer);
    panel.click = null;
    return resetView(stage, panel);
  }
  const act = () => {
    panel.click = null;
    if (!point) return; // beside the surface in space
    if (!panel.plane) goTo(stage, frameNear(stage, point.x));
    else if (panel.spec.click) askStart(stage, panel, point, 0);
  };
  panel.click = { timer: setTimeout(act, DOUBLE_CLICK) };
  if (panel.spec.click) panel.plot.focus({ preventScroll: true });
}

/** Shows the start at once, sends it after `rest` ms without another one, and forgets it if no answer comes. */
function askStart(stage, panel, point, rest) {
  const tidy = (value, [low, high]) => {
    const digits = Math.max(0, Math.min(12, Math.ceil(-Math.log10(Math.abs(high - low) / 1000))));
    return Number(value.toFixed(digits));
  };
  const { x, y } = panel.geo;
  stage.pending = { panel, x: tidy(point.x, x), y: tidy(point.y, y), sent: false };
  clearTimeout(stage.timers.send);
  clearTimeout(stage.timers.forget);
  stage.timers.send = setTimeout(() => {
    stage.pending.sent = true;
    stage.send("start", { x: stage.pending.x, y: stage.pending.y });
    stage.timers.forget = setTimeout(() => forgetPending(stage), PENDING_START);
  }, rest);
  schedule(stage);
}

function forgetPending(stage) {
  stage.pending = null;
  schedule(stage);
}

/** The data have caught up with the start that was asked for; an older answer does not move the mark back. */
function settlePending(stage) {
  if (!stage.pending?.sent) return;
  const { panel, x, y } = stage.pending;
  const start = panel.spec.marks?.find((mark) => mark.kind === "start");
  const near = (a, b, [low, high]) => Math.abs(a - b) <= Math.abs(high - low) / 500;
  if (start && near(start.x, x, panel.geo.x) && near(start.y, y, panel.geo.y)) stage.pending = null;
}

/** One fiftieth of the window per key, a tenth with Shift; the start stays in the window. */
function moveStart(stage, panel, [dx, dy], far) {
  const { x, y } = panel.geo;
  const middle = { x: (x[0] + x[1]) / 2, y: (y[0] + y[1]) / 2 };
  const now = marksOf(stage, panel).find((mark) => mark.kind === "start") ?? middle;
  const part = far ? 0.1 : 0.02;
  const within = (value, [a, b]) => Math.max(Math.min(a, b), Math.min(Math.max(a, b), value));
  const point = { x: within(now.x + dx * part * (x[1] - x[0]), x), y: within(now.y + dy * part * (y[1] - y[0]), y) };
  askStart(stage, panel, point, KEY_REST);
}

/** The wheel scrolls the page, as everywhere; with Ctrl (which is also how a pinch arrives) Plotly gets it and zooms. */
function onWheel(event) {
  if (!event.ctrlKey && !event.metaKey) event.stopPropagation();
}

function onHover(stage, panel, event) {
  if (!panel.geo || event.buttons) return;
  const [x, y] = eventPixel(panel, event);
  const project = projector(panel);
  for (const mark of marksOf(stage, panel)) {
    const [markX, markY] = project(mark.x, mark.y);
    if (mark.label && Math.hypot(markX - x, markY - y) < 12) {
      return setHover(stage, panel, { x: markX, y: markY, text: mark.label });
    }
  }
  setHover(stage, panel, null);
}

function setHover(stage, panel, hover) {
  if (panel.hover?.text === hover?.text && panel.hover?.x === hover?.x) return;
  panel.hover = hover;
  schedule(stage);
}

const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };

const KEYS = [
  ["Space or K", "play or pause"],
  ["← →", "one step (with Shift ten)"],
  ["Home, End", "first or last step"],
  ["click on the surface", "start there"],
  ["← → ↑ ↓ on the surface", "move the start (with Shift further)"],
  ["click on a curve", "go to that step"],
  ["← → ↑ ↓ on a point", "move it (with Shift further)"],
  ["drag, Ctrl + wheel", "zoom; double click resets"],
];

/** On the surface, arrows move the start; elsewhere left and right step. Buttons and the list keep their own keys. */
function onKey(stage, event) {
  const { key, target } = event;
  if (event.ctrlKey || event.metaKey || event.altKey || target.tagName === "SELECT") return;
  const panel = [...stage.panels.values()].find((one) => one.plot === target && one.spec.click && one.geo);
  if (ARROWS[key] && panel) moveStart(stage, panel, ARROWS[key], event.shiftKey);
  else if (!onPlayerKey(stage, event)) return;
  event.preventDefault();
  event.stopPropagation();
}
