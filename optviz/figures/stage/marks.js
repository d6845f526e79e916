// Marks: heads of racers, start, minima and saddles.

/** Vertices on the unit circle, the first one on top; with `inner` a star. */
function corners(count, turn = 0, inner = 1) {
  const total = inner === 1 ? count : 2 * count;
  return Array.from({ length: total }, (_, i) => {
    const angle = turn - Math.PI / 2 + (2 * Math.PI * i) / total;
    const radius = inner !== 1 && i % 2 ? inner : 1;
    return [radius * Math.cos(angle), radius * Math.sin(angle)];
  });
}

/** A plus sign with arms `a` wide. */
function plus(a, turn) {
  const arm = [[-a, -a], [-a, -1], [a, -1]];
  return [0, 1, 2, 3].flatMap((quarter) => {
    const [c, s] = [Math.cos(turn + (quarter * Math.PI) / 2), Math.sin(turn + (quarter * Math.PI) / 2)];
    return arm.map(([x, y]) => [c * x - s * y, s * x + c * y]);
  });
}

// name: [vertices, scale that makes it look as large as the circle]
const MARKERS = {
  circle: [corners(32), 1],
  square: [corners(4, Math.PI / 4), 1.25],
  diamond: [corners(4), 1.25],
  triangle: [corners(3), 1.35],
  "triangle-down": [corners(3, Math.PI), 1.35],
  pentagon: [corners(5), 1.15],
  hexagon: [corners(6), 1.1],
  star: [corners(5, 0, 0.45), 1.5],
  cross: [plus(0.38, 0), 1.15],
  x: [plus(0.3, Math.PI / 4), 1.15],
  arrow: [[[0.2, 0], [-1.6, 0.95], [-1.6, -0.95]], 1], // its tip is where the path leaves
};

function paintMarker(ctx, kind, x, y, radius, color, halo, alpha = 1) {
  if (kind === "target") return paintTarget(ctx, x, y, radius, color, halo);
  const [points, scale] = MARKERS[kind] ?? MARKERS.circle;
  ctx.beginPath();
  for (const [dx, dy] of points) ctx.lineTo(x + radius * scale * dx, y + radius * scale * dy);
  ctx.closePath();
  ctx.globalAlpha = alpha;
  ctx.strokeStyle = halo;
  ctx.lineWidth = 4;
  ctx.stroke();
  ctx.fillStyle = color;
  ctx.fill();
  ctx.globalAlpha = 1;
}

/** The marks of a plane; a start that was just asked for replaces the one in the data. */
function marksOf(stage, panel) {
  const marks = panel.spec.marks ?? [];
  if (!stage.pending || stage.pending.panel !== panel) return marks;
  const start = { ...stage.pending, kind: "start", label: "start" };
  return [...marks.filter((mark) => mark.kind !== "start"), start];
}

/** The start: a ring with a point. */
function paintTarget(ctx, x, y, radius, color, halo) {
  disc(ctx, x, y, radius + 3.5, halo, 1);
  disc(ctx, x, y, radius + 1.5, color, 1);
  disc(ctx, x, y, radius - 1, halo, 1);
  disc(ctx, x, y, radius - 4, color, 1);
}

const MARKS = { minimum: "star", maximum: "triangle", saddle: "x", flat: "square", start: "target" };

function placeMarks(stage, panel) {
  const { geo, hover, tag } = panel;
  const marks = marksOf(stage, panel);
  const project = projector(panel);
  const { text, background, size } = stage.theme;
  spritesOf(panel.marks, marks.length).forEach((node, i) => {
    const [x, y] = project(marks[i].x, marks[i].y);
    dressSprite(node, MARKS[marks[i].kind] ?? "circle", 0.5 * size, text, background, 1);
    shift(node, x, y, isInside(geo, x, y, 1));
  });
  tag.textContent = hover?.text ?? "";
  if (hover) placeTag(tag, stage, geo, hover.x, hover.y);
}
