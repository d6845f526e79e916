// The player: the clock and its buttons. Whoever has one brings `SPEEDS`, `KEYS`, `READOUT_REST`, and functions:
// `schedule` asks for a frame, `readOut` shows what belongs to the step, `clockText` says where the clock stands.

const ICONS = {
  start: "M5 5h2.5v14H5zM19 5v14L8.5 12z",
  back: "M6 5h3v14H6zM18 5v14l-8-7z",
  play: "M7 4.5v15L20 12z",
  pause: "M6 5h4v14H6zM14 5h4v14h-4z",
  forward: "M15 5h3v14h-3zM6 5v14l8-7z",
  end: "M16.5 5H19v14h-2.5zM5 5v14l10.5-7z",
};

function element(tag, className, attributes = {}) {
  const node = document.createElement(tag);
  node.className = className;
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  return node;
}

function setIcon(button, name, label) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  path.setAttribute("d", ICONS[name]);
  svg.append(path);
  button.replaceChildren(svg);
  button.setAttribute("aria-label", label);
  button.title = label;
}

function createPlayer(stage) {
  const bar = element("div", "oz-player", { role: "group", "aria-label": "Player" });
  const button = (icon, label, extra, action) => {
    const node = element("button", `oz-button ${extra}`, { type: "button" });
    setIcon(node, icon, label);
    node.onclick = action;
    bar.append(node);
    return node;
  };
  button("start", "Jump to start", "oz-extra", () => goTo(stage, 0));
  button("back", "Step back", "oz-extra", () => goTo(stage, Math.floor(stage.at) - 1));
  const toggle = button("play", "Play", "oz-main", () => (stage.playing ? pause(stage) : play(stage)));
  button("forward", "Step forward", "oz-extra", () => goTo(stage, Math.floor(stage.at) + 1));
  button("end", "Jump to end", "oz-extra", () => goTo(stage, stage.steps));
  const scrubber = element("input", "oz-scrubber", { type: "range", min: 0, max: 0, step: 1, "aria-label": "Step" });
  scrubber.oninput = () => goTo(stage, Number(scrubber.value));
  const clock = element("span", "oz-clock");
  const speed = element("select", "oz-speed oz-extra", { "aria-label": "Speed" });
  for (const value of SPEEDS) speed.append(new Option(`${value} steps/s`, value));
  speed.onchange = () => (stage.speed = Number(speed.value));
  bar.append(scrubber, clock, speed, createHelp());
  return { bar, toggle, scrubber, clock, speed };
}

function createHelp() {
  const help = element("details", "oz-help oz-extra");
  help.addEventListener("keydown", (event) => event.key === "Escape" && (help.open = false));
  help.addEventListener("focusout", (event) => help.contains(event.relatedTarget) || (help.open = false));
  const summary = element("summary", "oz-button", { "aria-label": "Keys", title: "Keys" });
  summary.textContent = "?";
  const list = element("dl", "oz-keys");
  for (const [key, action] of KEYS) {
    const [term, text] = [element("dt", ""), element("dd", "")];
    term.textContent = key;
    text.textContent = action;
    list.append(term, text);
  }
  help.append(summary, list);
  return help;
}

function play(stage) {
  if (stage.at >= stage.steps) stage.at = 0;
  stage.last = undefined;
  setPlaying(stage, true);
}

function pause(stage) {
  stage.at = Math.round(stage.at);
  setPlaying(stage, false);
}

function setPlaying(stage, playing) {
  stage.playing = playing;
  stage.root.dataset.playing = String(playing);
  setIcon(stage.player.toggle, playing ? "pause" : "play", playing ? "Pause" : "Play");
  schedule(stage);
}

function goTo(stage, step) {
  if (stage.playing) pause(stage);
  stage.at = Math.max(0, Math.min(stage.steps, Math.round(step)));
  schedule(stage);
}

/** Moves the clock by a key; false if the key is none of the player's. */
function onPlayerKey(stage, { key, shiftKey, target }) {
  if (key === " " && /^(BUTTON|SUMMARY)$/.test(target.tagName)) return false;
  if (key === " " || key === "k" || key === "K") stage.playing ? pause(stage) : play(stage);
  else if (key === "ArrowLeft") goTo(stage, Math.floor(stage.at) - (shiftKey ? 10 : 1));
  else if (key === "ArrowRight") goTo(stage, Math.floor(stage.at) + (shiftKey ? 10 : 1));
  else if (key === "Home") goTo(stage, 0);
  else if (key === "End") goTo(stage, stage.steps);
  else return false;
  return true;
}

function showClock(stage, now) {
  const frame = Math.floor(stage.at);
  const { scrubber, clock } = stage.player;
  if (!stage.playing || now - (stage.readAt ?? 0) > READOUT_REST) {
    stage.readAt = now;
    readOut(stage);
    clock.textContent = clockText(stage, frame);
    clock.style.minWidth = `${clockText(stage, stage.steps).length * 0.56}em`;
    scrubber.setAttribute("aria-valuetext", clock.textContent);
  }
  if (Number(scrubber.value) !== frame) scrubber.value = frame;
  scrubber.style.setProperty("--oz-done", `${(100 * frame) / Math.max(stage.steps, 1)}%`);
  stage.root.dataset.frame = frame;
  stage.root.dataset.playing = String(stage.playing);
}
