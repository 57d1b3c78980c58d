// The parts of a scene page, as meshes and textures of WebGL.
"use strict";

const scene = JSON.parse(document.getElementById("scene").textContent);
const canvas = document.getElementById("view");
const gl = canvas.getContext("webgl2", { antialias: true, preserveDrawingBuffer: true });
if (!gl) document.getElementById("trouble").textContent = "This page needs a browser with WebGL 2.";

// ---- numbers ------------------------------------------------------------------------------------------------

const dot = (a, b) => a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
const cross = (a, b) => [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]];
const scaled = (a, s) => a.map((v) => v * s);
const plus = (a, b) => a.map((v, i) => v + b[i]);
const unit = (a) => scaled(a, 1 / Math.hypot(...a));
const turned = (a, axis, angle) => {
  const along = scaled(axis, dot(axis, a) * (1 - Math.cos(angle)));
  return plus(plus(scaled(a, Math.cos(angle)), scaled(cross(axis, a), Math.sin(angle))), along);
};
const unpacked = (text, Kind) => new Kind(Uint8Array.from(atob(text), (c) => c.charCodeAt(0)).buffer);
const css = (colour) => `rgb(${colour.map((v) => Math.round(255 * v)).join(",")})`;

// ---- programs -----------------------------------------------------------------------------------------------

const MESH_VERTEX = `#version 300 es
uniform mat4 clip; uniform mat3 eye;
in vec3 point; in vec3 normal; in vec4 colour;
out vec3 facing; out vec4 paint;
void main() { gl_Position = clip * vec4(point, 1.0); facing = eye * normal; paint = colour; }`;
const MESH_FRAGMENT = `#version 300 es
precision highp float;
in vec3 facing; in vec4 paint; out vec4 seen;
void main() {
  vec3 n = normalize(facing);
  if (n.z < 0.0) n = -n;
  float key = max(dot(n, normalize(vec3(0.35, 0.55, 0.75))), 0.0);
  float light = 0.30 + 0.58 * key + 0.20 * n.z;
  float shine = 0.12 * pow(max(dot(n, normalize(vec3(0.18, 0.30, 0.94))), 0.0), 24.0);
  float alpha = paint.a;
  if (alpha < 1.0) alpha *= 0.45 + 0.55 * pow(1.0 - min(n.z, 1.0), 2.5);
  seen = vec4((paint.rgb * light + shine) * alpha, alpha);
}`;
const PICTURE_VERTEX = `#version 300 es
uniform mat4 clip; in vec3 point; in vec2 place; out vec2 at;
void main() { gl_Position = clip * vec4(point, 1.0); at = place; }`;
const PICTURE_FRAGMENT = `#version 300 es
precision highp float;
uniform sampler2D image; in vec2 at; out vec4 seen;
void main() { seen = vec4(texture(image, at).rgb, 1.0); }`;

function program(vertex, fragment) {
  const made = gl.createProgram();
  for (const [kind, text] of [[gl.VERTEX_SHADER, vertex], [gl.FRAGMENT_SHADER, fragment]]) {
    const shader = gl.createShader(kind);
    gl.shaderSource(shader, text);
    gl.compileShader(shader);
    gl.attachShader(made, shader);
  }
  gl.linkProgram(made);
  if (!gl.getProgramParameter(made, gl.LINK_STATUS)) throw new Error(gl.getProgramInfoLog(made));
  return made;
}

const meshProgram = program(MESH_VERTEX, MESH_FRAGMENT);
const pictureProgram = program(PICTURE_VERTEX, PICTURE_FRAGMENT);

function vertices(owner, attributes, triangles) {
  const array = gl.createVertexArray();
  gl.bindVertexArray(array);
  for (const [name, values, size, type, normalised] of attributes) {
    const place = gl.getAttribLocation(owner, name);
    gl.bindBuffer(gl.ARRAY_BUFFER, gl.createBuffer());
    gl.bufferData(gl.ARRAY_BUFFER, values, gl.STATIC_DRAW);
    gl.enableVertexAttribArray(place);
    gl.vertexAttribPointer(place, size, type, normalised, 0, 0);
  }
  const index = gl.createBuffer();
  gl.bindBuffer(gl.ELEMENT_ARRAY_BUFFER, index);
  gl.bufferData(gl.ELEMENT_ARRAY_BUFFER, triangles, gl.DYNAMIC_DRAW);
  gl.bindVertexArray(null);
  return { array, index, count: triangles.length };
}

// ---- the parts ----------------------------------------------------------------------------------------------

const hidden = new Set();
const parts = scene.parts.filter((part) => part.kind !== "label");
const labels = scene.parts.filter((part) => part.kind === "label");
for (const part of parts) {
  part.points = unpacked(part.points, Float32Array);
  part.triangles = unpacked(part.triangles, Uint32Array);
  if (part.kind === "picture") preparePicture(part);
  else part.paint = paintOf(part);
}
let solid = null;
let clear = null;

function paintOf(part) {
  const n = part.points.length / 3;
  const paint = new Uint8Array(4 * n);
  const own = part.colours ? unpacked(part.colours, Uint8Array) : null;
  for (let i = 0; i < n; i++) {
    for (let c = 0; c < 3; c++) paint[4 * i + c] = own ? own[3 * i + c] : Math.round(255 * part.colour[c]);
    paint[4 * i + 3] = Math.round(255 * part.opacity);
  }
  part.shade = unpacked(part.normals, Int16Array);
  return paint;
}

function preparePicture(part) {
  const places = unpacked(part.places, Float32Array);
  const attributes = [["point", part.points, 3, gl.FLOAT, false], ["place", places, 2, gl.FLOAT, false]];
  part.mesh = vertices(pictureProgram, attributes, part.triangles);
  part.texture = gl.createTexture();
  const image = new Image();
  image.onload = () => {
    gl.bindTexture(gl.TEXTURE_2D, part.texture);
    gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA, gl.RGBA, gl.UNSIGNED_BYTE, image);
    gl.generateMipmap(gl.TEXTURE_2D);
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MIN_FILTER, gl.LINEAR_MIPMAP_LINEAR);
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_WRAP_S, gl.CLAMP_TO_EDGE);
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_WRAP_T, gl.CLAMP_TO_EDGE);
    part.ready = true;
    redraw();
  };
  image.src = part.image;
}

// All that is shown of one kind goes into one mesh: what is clear must be drawn from back to front.
function merged(chosen) {
  const shown = parts.filter((part) => part.kind === "mesh" && !hidden.has(part.name) && chosen(part));
  const corners = shown.reduce((sum, part) => sum + part.points.length / 3, 0);
  const points = new Float32Array(3 * corners);
  const normals = new Int16Array(3 * corners);
  const paint = new Uint8Array(4 * corners);
  const triangles = new Uint32Array(shown.reduce((sum, part) => sum + part.triangles.length, 0));
  let corner = 0;
  let filled = 0;
  for (const part of shown) {
    points.set(part.points, 3 * corner);
    normals.set(part.shade, 3 * corner);
    paint.set(part.paint, 4 * corner);
    for (let i = 0; i < part.triangles.length; i++) triangles[filled + i] = part.triangles[i] + corner;
    filled += part.triangles.length;
    corner += part.points.length / 3;
  }
  const attributes = [["point", points, 3, gl.FLOAT, false], ["normal", normals, 3, gl.SHORT, true],
    ["colour", paint, 4, gl.UNSIGNED_BYTE, true]];
  return { ...vertices(meshProgram, attributes, triangles), points, triangles };
}

function regroup() {
  for (const mesh of [solid, clear]) if (mesh) gl.deleteVertexArray(mesh.array);
  solid = merged((part) => part.opacity >= 1);
  clear = merged((part) => part.opacity < 1);
  redraw();
}

// A counting sort over 4096 depths, which is finer than a triangle.
function sortClear(eye) {
  const { points, triangles } = clear;
  const n = triangles.length / 3;
  const depth = new Float32Array(n);
  let low = Infinity;
  let high = -Infinity;
  for (let t = 0; t < n; t++) {
    let sum = 0;
    for (let c = 0; c < 3; c++) {
      const p = 3 * triangles[3 * t + c];
      sum += points[p] * eye[0] + points[p + 1] * eye[1] + points[p + 2] * eye[2];
    }
    depth[t] = sum;
    low = Math.min(low, sum);
    high = Math.max(high, sum);
  }
  const bins = new Uint32Array(4097);
  const scale = 4095 / Math.max(high - low, 1e-6);
  for (let t = 0; t < n; t++) bins[1 + Math.floor((depth[t] - low) * scale)]++;
  for (let b = 1; b < bins.length; b++) bins[b] += bins[b - 1];
  const order = new Uint32Array(3 * n);
  for (let t = 0; t < n; t++) {
    const to = 3 * bins[Math.floor((depth[t] - low) * scale)]++;
    for (let c = 0; c < 3; c++) order[to + c] = triangles[3 * t + c];
  }
  gl.bindVertexArray(clear.array);
  gl.bufferData(gl.ELEMENT_ARRAY_BUFFER, order, gl.DYNAMIC_DRAW);
}

