/*
 * A panel of controls, drawn from data:
 *   data = { heard, session, parts: [part] }, as bytes,  part = { name, value, text, parts, spec }
 * where `spec` is the JSON text of { kind, label, help, term, … }, with the kinds that `controls` below has. It says all
 * that does not depend on a part's value; as long as it is the same, the control stays the same, with its focus.
 *
 * What the hand does goes back as the trigger `moves` = [[count, name, value]]. Python answers with `heard`, the last
 * count it knows. A message carries every move that was not heard yet, because a busy server may pass over one, and a
 * control with such a move stays as the hand has set it. A new `session` has heard none of them, and gets them again. Numbers that are typed are sent as text.
 */

const UNHEARD = 10_000 // ms after which a move that an idle server has not answered is given up, and the control shows what Python last said

const TELLING = 80 // ms between two messages of a slider that tells while it is dragged

const panels = new WeakMap()
let ids = 0

export default function ({ data, parentElement, setTriggerValue }) {
  const { heard, session, parts } = JSON.parse(new TextDecoder().decode(data))
  let panel = panels.get(parentElement)
  if (!panel || !parentElement.contains(panel.root)) {
    const root = parentElement.querySelector(".oz-panel-root")
    panel = { root, nodes: new Map(), unheard: [], sent: heard, session, timer: 0 }
    panels.set(parentElement, panel)
  }
  panel.trigger = setTriggerValue
  panel.sent = Math.max(panel.sent, heard)
  panel.unheard = panel.unheard.filter(([count]) => count > heard)
  // Another server, or the same one started anew, was not there when the hand moved.
  if (session !== panel.session && panel.unheard.length) panel.trigger("moves", [...panel.unheard])
  panel.session = session
  panel.parts = parts
  sync(panel)
}

/** Makes the page show the data. */
function sync(panel) {
  const kept = new Map()
  arrange(panel, panel.root, panel.parts, "", kept)
  panel.nodes = kept
}

function arrange(panel, box, parts, place, kept) {
  const nodes = parts.map((part, i) => {
    const key = part.name || `${place}/${i}`
    let control = panel.nodes.get(key)
    if (control?.from !== part.spec) {
      const spec = JSON.parse(part.spec)
      control = { from: part.spec, ...controls[spec.kind](spec, mover(panel, key), part) }
    }
    kept.set(key, control)
    if (part.parts) arrange(panel, control.box, part.parts, key, kept)
    const waits = panel.unheard.some(([, name]) => name === part.name)
    if (!waits && !control.held?.()) control.show?.(part)
    return control.node
  })
  // One by one: a node that is taken out and put back loses the focus.
  nodes.forEach((node, i) => box.children[i] === node || box.insertBefore(node, box.children[i] ?? null))
  while (box.children.length > nodes.length) box.lastElementChild.remove()
}

/** What a control calls: with a value to move to, or without one to show what is true again. */
function mover(panel, name) {
  return (value) => {
    if (value === undefined) return sync(panel)
    // a number on its way to another is not worth telling; what a button does counts each time
    if (typeof value === "number" && panel.unheard.at(-1)?.[1] === name) panel.unheard.pop()
    panel.unheard.push([++panel.sent, name, value])
    atOnce(() => panel.trigger("moves", [...panel.unheard]))
    expectAnswer(panel)
  }
}

/** Streamlit sends a message by a timer of no time, and after a key or a click Chromium lets timers wait for the next
 * frame. The message goes out right after this event instead, which is up to 16 ms sooner. */
function atOnce(send) {
  const timer = window.setTimeout
  window.setTimeout = (act, ms, ...rest) => (ms ? timer(act, ms, ...rest) : void queueMicrotask(() => act(...rest)))
  try {
    send()
  } finally {
    window.setTimeout = timer
  }
}

/** A server that is away or still at work may answer yet: as long as it is, nothing is given up. */
function expectAnswer(panel) {
  clearTimeout(panel.timer)
  panel.timer = setTimeout(() => {
    const { testConnectionState: connection, testScriptState: script } =
      document.querySelector("[data-testid=stApp]")?.dataset ?? {}
    if (connection !== "CONNECTED" || script !== "notRunning") return expectAnswer(panel)
    panel.unheard = []
    if (panel.root.isConnected) sync(panel)
  }, UNHEARD)
}

function make(tag, className, attributes = {}, ...children) {
  const node = document.createElement(tag)
  node.className = className
  for (const [name, value] of Object.entries(attributes)) {
    if (value === true) node.setAttribute(name, "")
    else if (value !== false && value !== undefined) node.setAttribute(name, value)
  }
  node.append(...children)
  return node
}

/** The line above a control: its name, a question mark that explains it, and perhaps more. */
function head({ label, help, term }, ...more) {
  const line = make("div", "oz-line", {}, make("span", "oz-name", {}, label))
  if (help) line.append(question(label, help, term))
  line.append(...more)
  return line
}

/** Shown on focus and, by CSS, on hover, on a tap too; Escape puts it away. Focus is a class: between button and link
 * there is a moment without :focus-within, in which a hidden link cannot take the focus. */
function question(label, help, term) {
  const id = `oz-tip-${++ids}`
  const button = make("button", "oz-ask", { type: "button", "aria-label": `Help: ${label}`, "aria-describedby": id }, "?")
  const tip = make("span", "oz-tip", { id, role: "tooltip" }, help)
  if (term) tip.append(" ", make("a", "", { href: term, target: "_blank", rel: "noopener" }, "Glossary"))
  const ask = make("span", "oz-asking", {}, button, tip)
  const put = (away, focused) => {
    ask.classList.toggle("oz-away", away)
    ask.classList.toggle("oz-asked", focused)
  }
  ask.addEventListener("focusin", () => put(false, true))
  ask.addEventListener("focusout", ({ relatedTarget }) => put(false, ask.contains(relatedTarget)))
  ask.addEventListener("pointerenter", () => ask.classList.remove("oz-away"))
  ask.addEventListener("keydown", ({ key }) => key === "Escape" && (button.focus(), put(true, false)))
  button.onclick = () => put(false, true)
  return ask
}

/** A field for typing. Enter and leaving it commit what was typed; Escape brings back what is true. `exact` is the text
 * to be mended, `text` the one to be read. */
function typing(attributes, move) {
  const input = make("input", "oz-typing", { type: "text", autocomplete: "off", spellcheck: "false", ...attributes })
  let shown = { text: "", exact: "" }
  let typed = false
  const focused = () => document.activeElement === input
  const write = () => (input.value = focused() ? shown.exact : shown.text)
  const commit = () => {
    if (!typed) return
    typed = false
    if (input.value.trim() !== shown.exact) move(input.value.trim())
  }
  input.onfocus = () => {
    if (typed) return
    write()
    input.select()
  }
  input.oninput = () => (typed = true)
  input.onblur = () => {
    commit()
    if (input.value === shown.exact) write()
  }
  input.addEventListener("keydown", (event) => {
    if (event.key === "Enter") commit()
    if (event.key === "Escape") {
      typed = false
      write()
      input.select()
    }
  })
  return {
    input,
    held: () => typed,
    show(text, exact) {
      shown = { text, exact }
      write()
    },
  }
}

const controls = {
  words: ({ text }) => ({ node: make("p", "oz-words", {}, text) }),

  row() {
    const node = make("div", "oz-row")
    return { node, box: node }
  },

  fold(_, __, { unfolded }) {
    const summary = make("summary", "oz-summary")
    const box = make("div", "oz-folded")
    const node = make("details", "oz-fold", { open: unfolded }, summary, box)
    return { node, box, show: ({ label }) => (summary.textContent = label) }
  },

  action(spec, move) {
    const { label, help, disabled } = spec
    const node = make("button", "oz-action", { type: "button", title: help, disabled }, label)
    node.onclick = () => move(null)
    return { node }
  },

  flag(spec, move) {
    const input = make("input", "oz-switch", { type: "checkbox", role: "switch" })
    const label = make("label", "oz-name", {}, input, spec.label)
    const node = make("div", "oz-field oz-line", {}, label, question(spec.label, spec.help, spec.term))
    input.onchange = () => move(input.checked)
    return { node, show: ({ value }) => (input.checked = value) }
  },

  menu(spec, move) {
    const { label, options, placeholder, disabled } = spec
    const select = make("select", "oz-menu", { "aria-label": label, disabled })
    if (placeholder) select.append(new Option(placeholder, ""))
    const groups = new Map()
    options.forEach(({ label, group }, i) => {
      if (group && !groups.has(group)) groups.set(group, make("optgroup", "", { label: group }))
      ;(groups.get(group) ?? select).append(new Option(label, i))
    })
    select.append(...groups.values())
    select.onchange = () => select.value !== "" && move(options[Number(select.value)].value)
    const show = ({ value }) => {
      const index = options.findIndex((option) => option.value === value)
      select.value = index < 0 ? "" : String(index)
    }
    return { node: make("div", "oz-field", {}, ...(spec.help ? [head(spec)] : []), select), show }
  },

  pills(spec, move) {
    const name = `oz-pills-${++ids}`
    const inputs = spec.options.map(({ value }) => {
      const input = make("input", "oz-pill-input", { type: "radio", name })
      input.onchange = () => move(value)
      return input
    })
    const pills = spec.options.map(({ label, color }, i) => {
      const pill = make("label", "oz-pill", {}, inputs[i], label)
      if (color) pill.style.setProperty("--oz-dot", color)
      return pill
    })
    const group = make("div", "oz-pills", { role: "radiogroup", "aria-label": spec.label }, ...pills)
    const show = ({ value }) => spec.options.forEach((option, i) => (inputs[i].checked = option.value === value))
    return { node: make("div", "oz-field", {}, head(spec), group), show }
  },

  number(spec, move) {
    const { label, step } = spec
    let now = 0
    const field = typing({ role: "spinbutton", inputmode: "decimal", maxlength: 32, "aria-label": label }, move)
    field.input.addEventListener("keydown", (event) => {
      const way = { ArrowUp: 1, ArrowDown: -1 }[event.key]
      if (!way || field.held()) return
      event.preventDefault()
      show({ value: Number((now + way * step).toPrecision(12)) })
      move(now)
    })
    const show = ({ value, text }) => {
      now = value
      field.input.setAttribute("aria-valuenow", value)
      field.show(text ?? String(value), String(value))
    }
    return { node: make("div", "oz-field", {}, head(spec), field.input), show, held: field.held }
  },

  slider(spec, move) {
    const { label, live } = spec
    let stops = spec.stops // and a value between them or beyond, by link or by typing, as a stop of its own
    let texts = spec.texts
    let hand = false // is on the handle
    let telling = 0 // the timer of a live slider's next message
    const slider = make("input", "oz-slider", { type: "range", min: 0, step: 1, "aria-label": label })
    const field = typing({ inputmode: "decimal", maxlength: 32, "aria-label": `${label}, typed` }, move)
    const paint = () => {
      const index = Number(slider.value)
      slider.setAttribute("aria-valuetext", texts[index])
      slider.style.setProperty("--oz-done", String(index / Math.max(1, stops.length - 1)))
      if (!field.held()) field.show(texts[index], String(stops[index]))
    }
    const tell = () => {
      telling = 0
      if (hand) move(stops[Number(slider.value)])
    }
    slider.oninput = () => {
      hand = true
      paint()
      if (live) telling ||= setTimeout(tell, TELLING)
    }
    slider.onchange = () => {
      hand = false
      move(stops[Number(slider.value)])
    }
    // "change" does not come when the value ends where it began, and a pointer may be lost
    for (const end of ["pointerup", "pointercancel", "blur"]) {
      slider.addEventListener(end, () => setTimeout(() => hand && ((hand = false), move())))
    }
    const show = ({ value, text }) => {
      const after = spec.stops.findIndex((stop) => stop >= value)
      const own = after < 0 ? spec.stops.length : after
      const known = spec.stops[own] === value
      stops = known ? spec.stops : spec.stops.toSpliced(own, 0, value)
      texts = known ? spec.texts : spec.texts.toSpliced(own, 0, text)
      slider.max = stops.length - 1
      slider.value = own
      paint()
    }
    const held = () => hand || field.held()
    return { node: make("div", "oz-field", {}, head(spec, field.input), slider), show, held }
  },
}
