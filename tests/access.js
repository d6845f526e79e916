/* What tests ask a page about access. A function of the names of what is wanted; gives plain records, and judges nothing. */
(...wanted) => {
  const brush = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const known = new Map();

  /** Any CSS colour as [r, g, b, alpha], by asking the browser to paint it. */
  function channels(color) {
    if (!known.has(color)) {
      brush.clearRect(0, 0, 1, 1);
      brush.fillStyle = "#000";
      brush.fillStyle = color;
      brush.fillRect(0, 0, 1, 1);
      const [r, g, b, a] = brush.getImageData(0, 0, 1, 1).data;
      known.set(color, [r, g, b, a / 255]);
    }
    return known.get(color);
  }

  const over = ([r, g, b, a], [R, G, B]) => [a * r + (1 - a) * R, a * g + (1 - a) * G, a * b + (1 - a) * B, 1];

  function luminance([r, g, b]) {
    const [R, G, B] = [r, g, b].map((v) => (v / 255 <= 0.04045 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4));
    return 0.2126 * R + 0.7152 * G + 0.0722 * B;
  }

  function ratio(one, other) {
    const [low, high] = [luminance(one), luminance(other)].sort((a, b) => a - b);
    return (high + 0.05) / (low + 0.05);
  }

  /** What lies behind an element: the fills of its ancestors, from the first opaque one upwards. A label that Plotly
   * draws on a plate of its own has the plate as its neighbour. */
  function behind(element) {
    const layers = [];
    const { left, right, top, bottom } = element.getBoundingClientRect();
    const [x, y] = [(left + right) / 2, (top + bottom) / 2];
    for (let one = element; one; one = one.parentElement) {
      const box = one.getBoundingClientRect();
      const under = box.left <= x && x <= box.right && box.top <= y && y <= box.bottom; // a slider's value is above it
      if (!under && getComputedStyle(one).display !== "contents") continue;
      const plate = one.matches("g.annotation-text-g, g.hovertext") ? one.querySelector("rect.bg, path") : null;
      if (plate) {
        const [r, g, b, a] = channels(getComputedStyle(plate).fill);
        layers.push([r, g, b, a * Number(getComputedStyle(plate).fillOpacity)]);
      }
      layers.push(channels(getComputedStyle(one).backgroundColor));
      if (layers.at(-1)[3] >= 0.999) break;
    }
    const ground = channels(getComputedStyle(document.querySelector(".stApp")).backgroundColor);
    return layers.reverse().reduce((below, layer) => over(layer, below), ground);
  }

  function opacity(element) {
    let product = 1;
    for (let one = element; one; one = one.parentElement) product *= Number(getComputedStyle(one).opacity);
    return product;
  }

  const seen = (element) => {
    const box = element.getBoundingClientRect();
    return box.width > 1 && box.height > 1 && element.checkVisibility({ opacityProperty: true, visibilityProperty: true });
  };
  const off = (element) => Boolean(element.closest(":disabled, [disabled], [aria-disabled=true]"));
  const spoken = (element) => element.closest(".katex-mathml, math, style, script, noscript") !== null;

  function where(element) {
    const id = (one) => one.dataset?.testid || one.getAttribute("class")?.split(" ").slice(0, 2).join(".") || one.tagName.toLowerCase();
    return [element.parentElement?.parentElement, element.parentElement, element].filter(Boolean).map(id).join(" > ");
  }

  /** Every text that can be seen, with its contrast and how much it needs. */
  function texts() {
    const walker = document.createTreeWalker(document.querySelector(".stApp"), NodeFilter.SHOW_TEXT);
    const found = [];
    while (walker.nextNode()) {
      const text = walker.currentNode.data.trim();
      const element = walker.currentNode.parentElement;
      if (!text || spoken(element) || !seen(element) || off(element)) continue;
      const style = getComputedStyle(element);
      const svg = element.closest("svg") !== null;
      const back = behind(element);
      const [r, g, b, a] = channels(svg ? style.fill : style.color);
      const ink = over([r, g, b, a * opacity(element) * (svg ? Number(style.fillOpacity) : 1)], back);
      const size = parseFloat(style.fontSize);
      const large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
      const sign = /Material/.test(style.fontFamily) || !/[\p{L}\p{N}]/u.test(text); // an icon or a dot: a picture
      found.push({ text: text.slice(0, 60), where: where(element), ratio: ratio(ink, back), need: large || sign ? 3 : 4.5,
        ink: ink.slice(0, 3).map(Math.round).join(), back: back.slice(0, 3).map(Math.round).join() });
    }
    return found;
  }

  /** The edges of controls that have only an edge to be known by, against what is around them. */
  function edges() {
    const boxes = "input:not([type=range], [type=checkbox], [type=radio]), select, textarea";
    return [...document.querySelectorAll(boxes)].filter((one) => seen(one) && !off(one)).map((one) => {
      let box = one; // Streamlit draws the edge of a field around the field
      for (let up = 0; up < 3 && parseFloat(getComputedStyle(box).borderTopWidth) === 0; up++) box = box.parentElement;
      const style = getComputedStyle(box);
      const around = behind(box.parentElement);
      const rim = parseFloat(style.borderTopWidth) > 0 ? over(channels(style.borderTopColor), around) : around;
      return { where: where(one), name: nameOf(one), ratio: Math.max(ratio(rim, around), ratio(over(channels(style.backgroundColor), around), around)) };
    });
  }

  function nameOf(element) {
    const by = element.getAttribute("aria-labelledby");
    const words = by?.split(/\s+/).map((id) => document.getElementById(id)?.textContent ?? "").join(" ").trim();
    return words || element.getAttribute("aria-label")?.trim() || element.querySelector?.(":scope > title")?.textContent.trim() ||
      element.getAttribute("alt")?.trim() || element.labels?.[0]?.textContent.trim() || element.textContent?.trim() || element.getAttribute("title") || "";
  }

  /** Every picture: what draws it, and the name of the nearest thing around it that is told to a screen reader. */
  function pictures() {
    const drawn = "canvas, img, .js-plotly-plot, svg.oz-walk-graph, [role=img], [role=figure]";
    const roots = new Map();
    for (const one of document.querySelectorAll(drawn)) {
      if (!seen(one) || one.closest("[aria-hidden=true]") || one.closest("button, a, summary, [data-testid=stIconMaterial]")) continue;
      const told = one.closest("[role=img], [role=figure], [role=application], [role=group][aria-label], img, figure[aria-label]");
      const key = told ?? one;
      if (key.closest(".oz-legend, .oz-racer") || /^material/i.test(getComputedStyle(key).fontFamily.replaceAll('"', ""))) continue;
      roots.set(key, { where: where(one), name: told ? nameOf(told) : "", role: told?.getAttribute("role") ?? told?.tagName ?? "" });
    }
    return [...roots.values()];
  }

  const usable = "a[href], button, input:not([type=hidden]), select, textarea, summary, [tabindex], [role=button], [role=slider], [role=radio], [role=switch], [role=checkbox], [role=link], [contenteditable=true]";

  /** Everything that a mouse can use, and the size of its target. The nth such thing keeps the number n in the page. */
  function controls() {
    return [...document.querySelectorAll(usable)].filter((one) => seen(one) && !off(one)).map((one, index) => {
      one.dataset.access = index;
      const set = one.closest("[role=radiogroup], [role=toolbar], [role=tablist]"); // one stop, and arrow keys within
      if (set) set.dataset.accessSet ??= `set ${index}`;
      const label = one.closest("label") ?? one.labels?.[0];
      const boxes = [one, label].filter(Boolean).map((two) => two.getBoundingClientRect());
      return { index, where: where(one), name: nameOf(one).slice(0, 60), tag: one.tagName, role: one.getAttribute("role"), tab: one.tabIndex,
        type: one.type ?? "", group: set?.dataset.accessSet ?? (one.type === "radio" ? one.name : ""), inline: getComputedStyle(one).display === "inline",
        width: Math.max(...boxes.map((box) => box.width)), height: Math.max(...boxes.map((box) => box.height)) };
    });
  }

  /** The control that has the keyboard, and whether that shows. */
  function focused() {
    const one = document.activeElement;
    if (!one || one === document.body) return null;
    const rings = [one, one.parentElement, one.parentElement?.parentElement, one.closest("label"), one.nextElementSibling, ...one.children].filter(Boolean);
    const visible = rings.some((two) => {
      const style = getComputedStyle(two);
      return (style.outlineStyle !== "none" && parseFloat(style.outlineWidth) > 0) || style.boxShadow !== "none" ;
    });
    return { index: one.dataset.access ?? null, name: nameOf(one).slice(0, 60), where: where(one), tag: one.tagName, visible };
  }

  /** What sticks out of the window on the right, though nothing around it scrolls. */
  function spilled() {
    const wide = document.documentElement.clientWidth;
    return [...document.querySelectorAll(".stApp *")].filter((one) => seen(one) && one.getBoundingClientRect().right > wide + 1)
      .filter((one) => { for (let up = one.parentElement; up && !up.matches(".stMain"); up = up.parentElement) {
        if (/auto|scroll|hidden|clip/.test(getComputedStyle(up).overflowX)) return false; } return true; })
      .map((one) => ({ where: where(one), right: Math.round(one.getBoundingClientRect().right), text: one.textContent.slice(0, 40) }));
  }

  const width = () => ({ inner: innerWidth, page: document.scrollingElement.scrollWidth,
    main: document.querySelector(".stMain")?.scrollWidth ?? 0, room: document.querySelector(".stMain")?.clientWidth ?? 0 });

  const all = { texts, edges, pictures, controls, focused, spilled, width };
  return Object.fromEntries(wanted.flat().map((name) => [name, all[name]()]));
}
