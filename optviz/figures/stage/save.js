// Saving a picture: a small menu, and what becomes of the picture that its owner draws for it.
//
// A picture is { title, file: its name where that is not the title, width, height, theme, body: SVG elements as text,
// legend: [{ label, swatch: SVG elements as text, 40 × 20 px }] }. It leaves as SVG, or as that SVG painted at twice the
// screen's size or more: PNG. Both carry the page's address, so that whoever finds the file finds the experiment again.

const SAVED_FINER = 2; // a PNG has at least so many pixels to one of the screen
const SAVED_PAD = 12; // px around all
const SAVED_KINDS = { PNG: "image/png", SVG: "image/svg+xml" };
const SAVE_ICON = "M12 3v10.2l3.6-3.6 1.4 1.4-6 6-6-6 1.4-1.4 3.6 3.6V3zM4 19h16v2H4z";

/** The menu, and `name(text)`, which says of which picture it is; `picture()` promises what is on the screen now. */
function createSaver(picture) {
  const box = document.createElement("details");
  box.className = "oz-save";
  box.innerHTML = `<summary><svg viewBox="0 0 24 24" aria-hidden="true"><path d="${SAVE_ICON}"/></svg></summary><div role="group"></div>`;
  const [summary, kinds] = box.children;
  const close = () => (box.open = false);
  for (const kind of Object.keys(SAVED_KINDS)) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = kind;
    button.onclick = async () => {
      try {
        await savePicture(await picture(), kind);
        button.textContent = kind; // where an attempt before had failed, it said why
        close();
        summary.focus();
      } catch (problem) {
        console.warn("optviz:", problem);
        button.textContent = `${kind}: ${problem.message}`;
      }
    };
    kinds.append(button);
  }
  box.addEventListener("keydown", (event) => event.key === "Escape" && (close(), summary.focus()));
  box.addEventListener("focusout", (event) => box.contains(event.relatedTarget) || close());
  const name = (text) => {
    const words = `Save picture: ${text}`;
    summary.setAttribute("aria-label", words);
    summary.title = words;
    [...kinds.children].forEach((button) => button.setAttribute("aria-label", `${words}, as ${button.textContent}`));
  };
  return { box, name };
}

async function savePicture(picture, kind) {
  const facts = provenance(picture);
  const { svg, width, height } = framed(picture, facts);
  const data = kind === "SVG" ? svg : withFacts(await rastered(svg, width, height), facts);
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([data], { type: SAVED_KINDS[kind] }));
  const page = slug(location.pathname.split("/").pop().replace(/\.\w+$/, ""));
  link.download = `${["optviz", page, slug(picture.file ?? picture.title)].filter(Boolean).join("_")}.${kind.toLowerCase()}`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

/** A file on somebody's disk has no address that would help anybody else. */
function provenance({ title }) {
  const source = /^https?:$/.test(location.protocol) ? { Source: location.href } : {};
  return { Title: title, Software: "optviz", ...source };
}

const slug = (text) => text.normalize("NFKD").replace(/[^\w]+/g, "_").replace(/^_+|_+$/g, "").slice(0, 60);
const escaped = (text) => String(text).replace(/[&<>"]/g, (sign) => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" })[sign]);

/** Title, legend and picture, one below the other, on the theme's background. */
function framed({ title, width, height, theme, body, legend = [] }, facts) {
  const line = Math.round(theme.size * 1.7);
  const text = (x, y, words, more = "") =>
    `<text x="${x}" y="${y}" font-family="${escaped(theme.font)}" font-size="${theme.size}" fill="${theme.text}"${more}>${escaped(words)}</text>`;
  const rows = [text(0, theme.size, title, ' font-weight="600"')];
  let [x, y] = [0, title ? line : 0];
  for (const { label, swatch } of legend) {
    const wide = 48 + wordsWidth(label, theme) + 20;
    if (x > 0 && x + wide > width) [x, y] = [0, y + line];
    rows.push(`<g transform="translate(${x},${y})">${swatch}</g>`, text(x + 48, y + theme.size, label));
    x += wide;
  }
  const top = y + (legend.length ? line : 0);
  const [outerWidth, outerHeight] = [width + 2 * SAVED_PAD, top + height + 2 * SAVED_PAD];
  const about = Object.entries(facts).map(([name, words]) => `${name}: ${words}`).join("\n");
  const svg =
    `<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" width="${outerWidth}" ` +
    `height="${outerHeight}" viewBox="${-SAVED_PAD} ${-SAVED_PAD} ${outerWidth} ${outerHeight}">` +
    `<title>${escaped(title)}</title><desc>${escaped(about)}</desc>` +
    `<rect x="${-SAVED_PAD}" y="${-SAVED_PAD}" width="${outerWidth}" height="${outerHeight}" fill="${theme.background}"/>` +
    `${rows.join("")}<g transform="translate(0,${top})">${body}</g></svg>`;
  return { svg, width: outerWidth, height: outerHeight };
}

function wordsWidth(words, { size, font }) {
  const ctx = document.createElement("canvas").getContext("2d");
  ctx.font = `${size}px ${font}`;
  return Math.ceil(ctx.measureText(words).width * 1.1); // the font may be another where the file is opened
}

async function rastered(svg, width, height) {
  const image = new Image();
  const address = URL.createObjectURL(new Blob([svg], { type: SAVED_KINDS.SVG }));
  try {
    image.src = address;
    await image.decode();
  } finally {
    URL.revokeObjectURL(address);
  }
  const finer = Math.max(SAVED_FINER, window.devicePixelRatio || 1);
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [Math.round(width * finer), Math.round(height * finer)];
  canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height);
  const blob = await new Promise((resolve) => canvas.toBlob(resolve, SAVED_KINDS.PNG));
  if (!blob) throw new Error("the browser could not paint it");
  return new Uint8Array(await blob.arrayBuffer());
}

/** The PNG with its facts as text chunks (iTXt, UTF-8), right behind its header. */
function withFacts(png, facts) {
  const header = 33; // the signature, and the chunk IHDR
  const chunks = Object.entries(facts).map(([name, words]) => chunk("iTXt", `${name}\0\0\0\0\0${words}`));
  return new Blob([png.subarray(0, header), ...chunks, png.subarray(header)]);
}

function chunk(kind, text) {
  const body = new TextEncoder().encode(kind + text);
  const out = new Uint8Array(body.length + 8);
  const view = new DataView(out.buffer);
  view.setUint32(0, body.length - 4);
  out.set(body, 4);
  view.setUint32(body.length + 4, checksum(body));
  return out;
}

/** CRC-32, as PNG wants it. */
function checksum(bytes) {
  let rest = -1;
  for (const byte of bytes) {
    rest ^= byte;
    for (let bit = 0; bit < 8; bit++) rest = (rest >>> 1) ^ (rest & 1 ? 0xedb88320 : 0);
  }
  return ~rest >>> 0;
}

/** A figure that Plotly has drawn, or would draw, as SVG; what it draws with WebGL is a picture within. */
async function plotted(graph) {
  const { width, height } = graph._fullLayout ?? graph.layout;
  return { width, height, body: await window.Plotly.toImage(graph, { format: "svg", width, height, imageDataOnly: true }) };
}
