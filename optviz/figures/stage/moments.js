// Moments: when the frames of a record are not steps one after the other. A network is measured now and then; a frame
// is such a moment, and the axis under a curve is the number of steps taken.

/** The steps taken at frame `at`, a real number; without moments a frame is a step. */
function timeOf(stage, at) {
  const { moments } = stage;
  if (!moments) return at;
  const i = Math.min(Math.floor(at), moments.length - 1);
  return i + 1 < moments.length ? moments[i] + (at - i) * (moments[i + 1] - moments[i]) : moments[i];
}

/** The frame whose moment is nearest to `time`. */
function frameNear(stage, time) {
  const { moments } = stage;
  if (!moments) return time;
  const next = Math.min(firstAfter(moments, time), moments.length - 1);
  return next > 0 && time - moments[next - 1] < moments[next] - time ? next - 1 : next;
}

const timeEnd = (stage) => Math.max(stage.data.time?.end ?? stage.steps, 1);

/** What the clock says. */
function clockText(stage, frame) {
  const { time } = stage.data;
  if (!time) return `step ${frame} of ${stage.steps}`;
  const step = timeOf(stage, frame);
  if (!time.epoch) return `step ${step} of ${time.end}`;
  const epoch = step / time.epoch;
  const written = Number.isInteger(epoch) ? epoch : epoch.toFixed(time.epoch > 99 ? 2 : 1);
  return `step ${step} of ${time.end} · epoch ${written}`;
}

/** Ticks that say both how many steps and, below, how many epochs. */
function timeTicks(stage, [low, high], width) {
  const { time } = stage.data;
  if (!time?.epoch) return {};
  const wanted = Math.max(2, Math.min(7, width / (stage.theme.size * 6)));
  const [from, to] = [Math.max(0, low) / time.epoch, high / time.epoch];
  const raw = (to - from) / wanted;
  const power = 10 ** Math.floor(Math.log10(raw));
  const stride = power * [1, 2, 5, 10].find((nice) => nice * power >= raw);
  const tickvals = [];
  for (let epoch = Math.ceil(from / stride) * stride; epoch <= to * (1 + 1e-9); epoch += stride) tickvals.push(epoch * time.epoch);
  const text = (value) => `${Math.round(value)}<br>${Number((value / time.epoch).toPrecision(4))}`;
  return { tickmode: "array", tickvals, ticktext: tickvals.map(text) };
}

/** A run that goes on: asks for more as soon as what came has been shown, and not more often than every `live` ms. */
function askMore(stage) {
  clearTimeout(stage.timers.live);
  const live = stage.data?.live;
  if (!live) return;
  const now = performance.now();
  const wait = Math.max(0, live - (now - (stage.askedAt ?? 0)), LEAVING - (now - (stage.leftAt ?? -LEAVING)));
  stage.timers.live = setTimeout(() => {
    if (stage.gone) return;
    stage.askedAt = performance.now();
    stage.send("tick", (stage.ticks = (stage.ticks ?? 0) + 1));
    stage.timers.live = setTimeout(() => askMore(stage), 3000); // an answer that got lost is asked for again
  }, wait);
}

/**
 * The visitor clicks a link to another page, or goes back. Streamlit folds requests that wait into one, of the page that
 * asked last: were this one to ask for more after the other, the other would go blank. What it asked for a moment ago
 * may not have been sent, as Streamlit sends by a timer; so the way out is taken by the next one.
 */
function leave(stage, event) {
  const link = event.target.closest?.("a[href]");
  const elsewhere = event.ctrlKey || event.metaKey || event.shiftKey || link?.target === "_blank" || link?.download;
  if (event.type === "click" && (!link || elsewhere || link.pathname === location.pathname)) return;
  stage.leftAt = performance.now();
  askMore(stage);
  if (!stage.data?.live || stage.leaving) return;
  event.preventDefault();
  event.stopImmediatePropagation();
  setTimeout(() => {
    stage.leaving = true;
    if (link) link.click();
    else window.dispatchEvent(new PopStateEvent("popstate", { state: event.state }));
    stage.leaving = false;
  });
}
