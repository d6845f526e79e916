// Presenting: the button that begins, and the bar with the question, the timer and what brings hidden parts back. All of
// it works in the browser alone, but beginning and leaving, which change the address.
const SECOND = 1000
const bars = new WeakMap()

export default function ({ parentElement, data, setTriggerValue }) {
  const button = parentElement.querySelector(".oz-present-begin")
  const root = button ?? parentElement.querySelector(".oz-lectern")
  let bar = bars.get(root)
  if (!bar) {
    bar = { root, shown: new Set() }
    bar.heard = (event) => (root.isConnected ? hear(bar, event) : forget(bar))
    document.addEventListener("keydown", bar.heard, true)
    bars.set(root, bar)
  }
  bar.trigger = setTriggerValue
  if (button) {
    button.textContent = data.label
    button.title = data.help
    button.setAttribute("aria-keyshortcuts", "p")
    button.onclick = () => setTriggerValue("begin", true)
    bar.keys = { p: button.onclick }
    return
  }
  const asked = JSON.stringify(data)
  if (asked !== bar.asked) build(Object.assign(bar, { asked, data }))
}

/** What a bar that has left the page leaves behind. */
function forget(bar) {
  document.removeEventListener("keydown", bar.heard, true)
  clearInterval(bar.ticking)
  bars.delete(bar.root)
}

/** Keys are for the bar unless somebody types, or has opened something that Escape should close. */
function hear(bar, event) {
  const { target, key, ctrlKey, metaKey, altKey } = event
  const types = target.closest?.("textarea, select, [contenteditable=true], [role=combobox], input:not([type=range], [type=checkbox], [type=radio])")
  const action = bar.keys[key.length === 1 ? key.toLowerCase() : key]
  if (!action || types || ctrlKey || metaKey || altKey || event.repeat) return
  if (key === "Escape" && document.querySelector("[data-baseweb=popover], [role=dialog], details.oz-help[open]")) return
  event.preventDefault()
  event.stopPropagation()
  action()
}

const follow = (name) => document.querySelector(`.st-key-lectern-${name} a`)?.click()

function make(tag, className, attributes = {}, ...children) {
  const node = document.createElement(tag)
  node.className = className
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value)
  node.append(...children)
  return node
}

function action(label, title, keys, onclick) {
  const node = make("button", "oz-tool", { type: "button", title, "aria-keyshortcuts": keys }, label)
  node.onclick = onclick
  return node
}

function build(bar) {
  const { data, root } = bar
  bar.keys = { Escape: () => bar.trigger("leave", true) }
  if (data.remote && data.place) {
    bar.keys.PageDown = () => follow("next")
    bar.keys.PageUp = () => follow("previous")
  }
  const words = make("div", "oz-lectern-words")
  const where = [data.topic, data.place].filter(Boolean).join(" · ")
  if (where) words.append(make("div", "oz-lectern-where", {}, where))
  if (data.question) words.append(make("div", "oz-lectern-question", {}, data.question))
  for (const message of data.messages) words.append(make("div", "oz-lectern-message", { role: "status" }, message))
  const tools = make("div", "oz-lectern-tools")
  if (data.minutes > 0) tools.append(...timer(bar))
  for (const part of data.parts) tools.append(switchOf(bar, part))
  tools.append(action("Leave", "Back to the usual view (Escape)", "Escape", bar.keys.Escape))
  bar.shown.clear()
  tell(bar)
  root.replaceChildren(words, tools)
  root.dataset.ready = "true"
}

/** A hidden part comes back, and goes again. */
function switchOf(bar, { name, key, help }) {
  const label = name[0].toUpperCase() + name.slice(1)
  const node = action("", `Show or hide ${help} (key ${key})`, String(key), () => {
    bar.shown.has(name) ? bar.shown.delete(name) : bar.shown.add(name)
    node.setAttribute("aria-pressed", String(bar.shown.has(name)))
    tell(bar)
  })
  node.append(make("kbd", "", { "aria-hidden": "true" }, key), label)
  node.setAttribute("aria-pressed", "false")
  bar.keys[key] = node.onclick
  return node
}

function tell(bar) {
  document.documentElement.dataset.ozShown = [...bar.shown].join(" ")
}

/** Counts down in the browser. It is read out at its start, a minute before its end and at its end, not every second. */
function timer(bar) {
  clearInterval(bar.ticking)
  const whole = bar.data.minutes * 60 * SECOND
  let left = whole
  let told = false // that a minute is left
  let since = null // when it was last started, on the page's own clock
  const said = make("span", "oz-lectern-said", { role: "status", "aria-live": "polite" })
  const remaining = () => Math.max(0, left - (since === null ? 0 : performance.now() - since))
  const say = (words) => said.textContent !== words && (said.textContent = words)
  const show = () => {
    const seconds = Math.ceil(remaining() / SECOND)
    const text = `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`
    const state = seconds === 0 ? "over" : since !== null ? "runs" : left < whole ? "pauses" : "waits"
    node.dataset.state = state
    node.textContent = state === "over" ? "Time to vote" : { waits: "▶ ", runs: "❚❚ ", pauses: "▶ " }[state] + text
    if (state === "over") {
      since = null
      left = 0
      clearInterval(bar.ticking)
      say("Time is up. Vote.")
    } else if (state === "runs" && seconds <= 60 && whole > 60 * SECOND && !told) {
      told = true
      say("One minute left.")
    }
  }
  const node = action("", "Minutes to think, then vote: start, pause, start again (key T)", "t", () => {
    clearInterval(bar.ticking)
    if (since !== null) {
      left = remaining()
      since = null
      say("The timer pauses.")
    } else {
      if (left === 0) [left, told] = [whole, false]
      since = performance.now()
      say("Think. The time runs.")
      bar.ticking = setInterval(show, SECOND / 5)
    }
    show()
  })
  bar.keys.t = node.onclick
  node.classList.add("oz-lectern-timer")
  show()
  return [node, said]
}
