// Results: a table below the pictures, with a row for each racer. It comes with the data, as a table of the page's own,
// written in Markdown, is parsed anew at every move, which took the browser as long as all pictures.

function createResults() {
  const box = element("div", "oz-results");
  const table = element("table", "");
  table.append(document.createElement("thead"), document.createElement("tbody"));
  box.append(table);
  return box;
}

function syncResults({ results, data }) {
  const { head = [], rows = [] } = data.table ?? {};
  const [top, body] = results.firstChild.children;
  results.hidden = !rows.length;
  sized(top, 1, () => document.createElement("tr"));
  sized(body, rows.length, () => document.createElement("tr"));
  sized(top.firstChild, head.length, () => element("th", "", { scope: "col" }));
  head.forEach((text, i) => say(top.firstChild.children[i], text));
  rows.forEach(({ color, cells, bad }, i) => {
    const row = body.children[i];
    sized(row, cells.length, (index) => (index ? document.createElement("td") : element("th", "", { scope: "row" })));
    row.style.setProperty("--oz-dot", color);
    cells.forEach((text, j) => {
      say(row.children[j], text);
      row.children[j].classList.toggle("oz-bad", bad === j);
    });
  });
}

/** Makes a box hold so many children. */
function sized(box, count, make) {
  while (box.children.length > count) box.lastChild.remove();
  while (box.children.length < count) box.append(make(box.children.length));
}

function say(node, text) {
  if (node.textContent !== text) node.textContent = text;
}
