// The viewer of a scene page: parallel projection, drawn anew only when something has changed.

// ---- drawing ------------------------------------------------------------------------------------------------

let view = null;
let waiting = false;
const REACH = 2000;

function show(name) {
  view = JSON.parse(JSON.stringify(name === undefined ? scene.first : scene.views[name]));
  // The views were made for a window of 4 by 3; a narrower one needs more height to hold the width.
  view.half *= Math.max(1, 4 / 3 / (canvas.clientWidth / Math.max(canvas.clientHeight, 1)));
  redraw();
}

function redraw() {
  if (waiting) return;
  waiting = true;
  requestAnimationFrame(() => { waiting = false; draw(); });
}

function draw() {
  if (!view || !solid) return;
  const ratio = window.devicePixelRatio || 1;
  const [width, height] = [canvas.clientWidth, canvas.clientHeight];
  if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
  }
  gl.viewport(0, 0, canvas.width, canvas.height);
  gl.clearColor(...scene.background, 1);
  gl.enable(gl.DEPTH_TEST);
  gl.depthMask(true);
  gl.clear(gl.COLOR_BUFFER_BIT | gl.DEPTH_BUFFER_BIT);
  const right = cross(view.up, view.eye);
  const rows = [scaled(right, height / width / view.half), scaled(view.up, 1 / view.half), scaled(view.eye, -1 / REACH)];
  const clip = new Float32Array(16);
  rows.forEach((row, r) => {
    row.forEach((value, c) => { clip[4 * c + r] = value; });
    clip[12 + r] = -dot(row, view.centre);
  });
  clip[15] = 1;
  drawPictures(clip);
  gl.useProgram(meshProgram);
  gl.uniformMatrix4fv(gl.getUniformLocation(meshProgram, "clip"), false, clip);
  const eye = new Float32Array([0, 1, 2].flatMap((c) => [right[c], view.up[c], view.eye[c]]));
  gl.uniformMatrix3fv(gl.getUniformLocation(meshProgram, "eye"), false, eye);
  gl.bindVertexArray(solid.array);
  gl.drawElements(gl.TRIANGLES, solid.count, gl.UNSIGNED_INT, 0);
  gl.enable(gl.BLEND);
  gl.blendFunc(gl.ONE, gl.ONE_MINUS_SRC_ALPHA);
  gl.depthMask(false);
  sortClear(view.eye);
  gl.bindVertexArray(clear.array);
  gl.drawElements(gl.TRIANGLES, clear.count, gl.UNSIGNED_INT, 0);
  gl.disable(gl.BLEND);
  drawWords(right, width, height);
}

function drawPictures(clip) {
  gl.useProgram(pictureProgram);
  gl.uniformMatrix4fv(gl.getUniformLocation(pictureProgram, "clip"), false, clip);
  for (const part of parts) {
    if (part.kind !== "picture" || !part.ready || hidden.has(part.name)) continue;
    if (part.behind) { gl.enable(gl.POLYGON_OFFSET_FILL); gl.polygonOffset(2, 4); }
    gl.bindTexture(gl.TEXTURE_2D, part.texture);
    gl.bindVertexArray(part.mesh.array);
    gl.drawElements(gl.TRIANGLES, part.mesh.count, gl.UNSIGNED_INT, 0);
    gl.disable(gl.POLYGON_OFFSET_FILL);
  }
}

function drawWords(right, width, height) {
  const scale = height / (2 * view.half);
  for (const label of labels) {
    const away = plus(label.at, scaled(view.centre, -1));
    const [x, y] = [width / 2 + scale * dot(away, right), height / 2 - scale * dot(away, view.up)];
    label.word.style.transform = `translate(${x + 8}px, ${y - 18}px)`;
  }
  const steps = [1, 2, 5, 10, 20, 50, 100, 200, 500].filter((step) => step <= width / scale / 5);
  const length = steps.length ? steps[steps.length - 1] : 1;
  document.getElementById("length").textContent = `${length} mm`;
  document.getElementById("bar").style.width = `${length * scale}px`;
  const corner = document.getElementById("axes");
  corner.width = corner.height = 220;
  const page = corner.getContext("2d");
  page.lineWidth = 5;
  page.font = "bold 30px system-ui, sans-serif";
  page.textAlign = "center";
  page.textBaseline = "middle";
  const axes = [["R", [1, 0, 0]], ["A", [0, 1, 0]], ["S", [0, 0, 1]]];
  axes.sort((a, b) => dot(a[1], view.eye) - dot(b[1], view.eye));
  for (const [letter, axis] of axes) {
    const [x, y] = [dot(axis, right), -dot(axis, view.up)];
    page.strokeStyle = page.fillStyle = css(scene.axes[letter]);
    page.beginPath();
    page.moveTo(110, 110);
    page.lineTo(110 + 64 * x, 110 + 64 * y);
    page.stroke();
    const beyond = 64 + 24 / Math.max(Math.hypot(x, y), 0.35);
    page.fillText(letter, 110 + beyond * x, 110 + beyond * y);
  }
}

// ---- hands --------------------------------------------------------------------------------------------------

function turn(across, down) {
  const right = cross(view.up, view.eye);
  view.eye = unit(turned(turned(view.eye, view.up, -across), right, -down));
  view.up = turned(view.up, right, -down);
  view.up = unit(plus(view.up, scaled(view.eye, -dot(view.up, view.eye))));
  redraw();
}

function shift(x, y) {
  const mm = (2 * view.half) / canvas.clientHeight;
  view.centre = plus(view.centre, plus(scaled(cross(view.up, view.eye), -x * mm), scaled(view.up, y * mm)));
  redraw();
}

function enlarge(factor) {
  view.half = Math.min(1500, Math.max(1, view.half / factor));
  redraw();
}

const fingers = new Map();
canvas.addEventListener("pointerdown", (event) => {
  canvas.setPointerCapture(event.pointerId);
  fingers.set(event.pointerId, [event.clientX, event.clientY]);
});
canvas.addEventListener("pointermove", (event) => {
  const before = fingers.get(event.pointerId);
  if (!before) return;
  const now = [event.clientX, event.clientY];
  const moved = [now[0] - before[0], now[1] - before[1]];
  if (fingers.size === 2) {
    const other = [...fingers].find(([id]) => id !== event.pointerId)[1];
    enlarge(Math.hypot(now[0] - other[0], now[1] - other[1]) / Math.max(Math.hypot(before[0] - other[0], before[1] - other[1]), 1));
    shift(moved[0] / 2, moved[1] / 2);
  } else if (event.buttons & 2 || event.shiftKey) shift(...moved);
  else turn(0.008 * moved[0], 0.008 * moved[1]);
  fingers.set(event.pointerId, now);
});
for (const kind of ["pointerup", "pointercancel"]) canvas.addEventListener(kind, (event) => fingers.delete(event.pointerId));
canvas.addEventListener("contextmenu", (event) => event.preventDefault());
canvas.addEventListener("wheel", (event) => { event.preventDefault(); enlarge(Math.exp(-0.0012 * event.deltaY)); }, { passive: false });
canvas.addEventListener("keydown", (event) => {
  const arrows = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  const way = arrows[event.key];
  if (way && event.shiftKey) shift(20 * way[0], 20 * way[1]);
  else if (way) turn(0.08 * way[0], 0.08 * way[1]);
  else if (event.key === "+" || event.key === "=") enlarge(1.15);
  else if (event.key === "-") enlarge(1 / 1.15);
  else if (event.key === "0") show();
  else return;
  event.preventDefault();
});
window.addEventListener("resize", redraw);

// ---- legend, views and labels -------------------------------------------------------------------------------

function element(kind, home, text) {
  const made = document.createElement(kind);
  if (text !== undefined) made.textContent = text;
  document.getElementById(home).append(made);
  return made;
}

const named = new Map();
for (const part of parts) if (part.listed || part.kind === "picture") if (!named.has(part.name)) named.set(part.name, part);
for (const [name, part] of named) {
  const row = element("label", "legend");
  const box = document.createElement("input");
  box.type = "checkbox";
  box.checked = true;
  box.addEventListener("change", () => { hidden[box.checked ? "delete" : "add"](name); regroup(); });
  const patch = document.createElement("i");
  patch.style.background = part.colour ? css(part.colour) : "linear-gradient(135deg, #111, #ddd)";
  row.append(box, patch, name);
}
for (const name of Object.keys(scene.views)) element("button", "views", name).addEventListener("click", () => show(name));
for (const label of labels) {
  label.word = element("div", "labels", label.name);
  label.word.className = "label";
  label.word.style.color = css(label.colour);
}

regroup();
show();
