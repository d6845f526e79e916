// Drag, and the answer is there: a slider whose every value has been computed before the hand moves.
//
// When the pointer comes near, Python is asked for a *family*: this racer's run for each value of the slider. From then
// on the picture follows the hand without a round trip. On release the value is sent, and the exact run takes over.

const HAND_REST = 150; // ms

function createDrag(stage) {
  const bar = element("div", "oz-drag", { role: "group", "aria-label": "Drag and watch" });
  const who = element("span", "oz-drag-who");
  const which = element("select", "oz-speed", { "aria-label": "Which hyperparameter to drag" });
  const slider = element("input", "oz-scrubber", { type: "range", min: 0, max: 0, step: 1 });
  const value = element("output", "oz-drag-value");
  bar.append(who, which, slider, value);
  which.onchange = () => stage.send("drag", { name: which.value });
  bar.onpointerenter = () => askFamily(stage);
  bar.onfocusin = () => askFamily(stage);
  slider.oninput = () => followHand(stage, Number(slider.value));
  // "change" does not come when the value ends where it began, and a pointer may be lost: each of these ends a drag
  for (const end of ["change", "pointerup", "pointercancel", "blur"]) slider.addEventListener(end, () => letGo(stage));
  return { bar, who, which, slider, value, hand: null }; // hand: { id, index, sent }, while it is down
}

/** New data: what can be dragged, a family if one was asked for, and the hand's value if it is still down. */
function syncDrag(stage) {
  const { drag, data } = stage;
  const offer = data.drag;
  drag.bar.hidden = !offer;
  if (!offer) return;
  if (offer.family) stage.family = { id: offer.id, every: offer.family.every, series: decodeAll(offer.family.series) };
  if (stage.family?.id !== offer.id) stage.family = stage.asked = null; // an answer that got lost is asked for again
  const offered = JSON.stringify([offer.choices, offer.name]);
  if (drag.offered !== offered) {
    drag.offered = offered;
    const choices = offer.choices.map(({ name, label }) => new Option(label, name, false, name === offer.name));
    drag.which.replaceChildren(...choices);
  }
  drag.who.textContent = `Drag and watch ${stage.racers[offer.racer].label}:`;
  drag.slider.max = offer.values.length - 1;
  drag.slider.setAttribute("aria-label", `Drag ${offer.label}`);
  // after letting go the next data have the answer, and another racer or surface is another slider
  if (drag.hand?.sent || drag.hand?.id !== offer.id) drag.hand = null;
  if (!drag.hand) drag.slider.value = offer.at;
  showDragged(stage);
}

const decodeAll = (series) => Object.fromEntries(Object.entries(series).map(([name, text]) => [name, decode(text)]));

function askFamily(stage) {
  const { id, name } = stage.data?.drag ?? {};
  if (!id || stage.family?.id === id || stage.asked === id) return;
  stage.asked = id;
  stage.send("drag", { name });
}

function followHand(stage, index) {
  if (stage.playing) pause(stage);
  if (!stage.drag.hand) stage.at = stage.steps; // the whole run answers, not the moment that was on show
  stage.drag.hand = { id: stage.data.drag.id, index };
  askFamily(stage);
  showDragged(stage);
}

/** Puts the family's member under the hand in the place of its racer. */
function showDragged(stage) {
  const { drag, family, data } = stage;
  const offer = data.drag;
  const index = drag.hand?.index ?? offer.at;
  drag.value.textContent = offer.texts[index];
  drag.slider.setAttribute("aria-valuetext", offer.texts[index]);
  drag.slider.style.setProperty("--oz-done", `${(100 * index) / Math.max(1, offer.values.length - 1)}%`);
  if (!drag.hand || !family) return;
  const racer = stage.racers[offer.racer];
  const member = (name) => spread(family.series[name], index, offer.values.length, family.every, offer.steps);
  const series = Object.fromEntries(Object.keys(family.series).map((name) => [name, member(name)]));
  racer.exact ??= { series: racer.series, stop: racer.stop, diverged: racer.diverged };
  const ratio = offer.name === "lr" && offer.values[offer.at] > 0 ? offer.values[index] / offer.values[offer.at] : 1;
  series.lr = racer.exact.series.lr.map((rate) => rate * ratio);
  Object.assign(racer, { series, stop: null, diverged: false });
  stage.legend.children[offer.racer].querySelector(".oz-state").textContent = "let go to judge";
  for (const panel of stage.panels.values()) panel.stale = true;
  schedule(stage);
  clearTimeout(stage.timers.axes); // lines follow the hand at once, axes when it rests: Plotly is not that quick
  stage.timers.axes = setTimeout(() => redraw(stage), HAND_REST);
}

/** A member's kept points at every step: straight between two of them, as the line that is drawn through them is. */
function spread(points, index, members, every, steps) {
  const count = points.length / members;
  const own = points.subarray(index * count, (index + 1) * count);
  return Float32Array.from({ length: steps + 1 }, (_, step) => {
    const left = Math.min(Math.floor(step / every), count - 2);
    const stride = Math.min(every, steps - left * every);
    const part = (step - left * every) / stride;
    return part === 0 ? own[left] : part === 1 ? own[left + 1] : own[left] * (1 - part) + own[left + 1] * part;
  });
}

function letGo(stage) {
  const { hand } = stage.drag;
  const { racer, name, values, at } = stage.data?.drag ?? {};
  if (!hand || hand.sent) return;
  if (hand.index !== at) {
    hand.sent = true;
    stage.send("drop", { name, value: values[hand.index] });
    return;
  }
  stage.drag.hand = null; // back where it began: the exact run stands as it did
  Object.assign(stage.racers[racer], stage.racers[racer].exact);
  syncLegend(stage);
  redraw(stage);
}
