/** Draws the probe's sector over the MRI: where it cuts each slice, and as a picture in the 3D view. */

import { axis, entry, toWorld } from "./pose.js";
import { cut } from "./projection.js";

const FAN = "#ffd54f";
const FAINT = "rgba(255, 213, 79, 0.45)";
const BODY = "rgba(207, 216, 220, 0.9)";
const MARKER = "#4fc3f7";
const IN_PLANE_MM = 0.75; // a sector nearer than this all over lies in the slice
const BODY_LENGTH_MM = 22;

/**
 * @param {CanvasRenderingContext2D} context
 * @param {object[]} tiles of `projection.tilesOf`.
 * @param {{pose: number[], outline_mm: number[][], image: object|null, ratio: number}} fan `image` is what
 *   `bmode.js` keeps of a frame: canvas, left_mm, top_mm, spacing_mm; `ratio` the device pixels in a pixel.
 */
export function drawFan(context, tiles, fan) {
  context.setTransform(1, 0, 0, 1, 0, 0);
  context.clearRect(0, 0, context.canvas.width, context.canvas.height);
  const polygon = fan.outline_mm.map(([x, z]) => toWorld(fan.pose, [x, 0, z]));
  for (const tile of tiles) {
    context.save();
    context.beginPath();
    context.rect(...tile.box);
    context.clip();
    context.lineJoin = "round";
    context.lineCap = "round";
    if (tile.kind === "render") drawInSpace(context, tile, polygon, fan);
    else drawInSlice(context, tile, polygon, fan);
    context.restore();
  }
}

function drawInSlice(context, tile, polygon, { pose, outline_mm, ratio }) {
  const inPlane = polygon.every((point) => Math.abs(tile.distance(point)) < IN_PLANE_MM);
  trace(context, tile, polygon);
  if (inPlane) {
    stroke(context, FAN, 2 * ratio);
  } else {
    context.fillStyle = "rgba(255, 213, 79, 0.07)";
    context.fill();
    context.setLineDash([4 * ratio, 4 * ratio]);
    stroke(context, FAINT, ratio);
    context.setLineDash([]);
    for (const segment of cut(polygon, (point) => tile.distance(point))) {
      trace(context, tile, segment);
      stroke(context, "rgba(0, 0, 0, 0.6)", 5 * ratio);
      stroke(context, FAN, 2.5 * ratio);
    }
  }
  drawProbe(context, tile, pose, outline_mm, ratio);
}

function drawInSpace(context, tile, polygon, fan) {
  const { pose, outline_mm, image, ratio } = fan;
  if (image) drawPicture(context, tile, polygon, pose, image);
  trace(context, tile, polygon);
  stroke(context, "rgba(0, 0, 0, 0.6)", 4 * ratio);
  stroke(context, FAN, 2 * ratio);
  drawProbe(context, tile, pose, outline_mm, ratio);
}

/** The B-mode image in its place: under an orthographic projection a plane is drawn by an affine map. */
function drawPicture(context, tile, polygon, pose, image) {
  const origin = tile.toPixel(toWorld(pose, [image.left_mm, 0, image.top_mm]));
  const across = tile.toPixel(toWorld(pose, [image.left_mm + image.spacing_mm, 0, image.top_mm]));
  const down = tile.toPixel(toWorld(pose, [image.left_mm, 0, image.top_mm + image.spacing_mm]));
  context.save();
  trace(context, tile, polygon);
  context.clip();
  context.transform(
    across[0] - origin[0], across[1] - origin[1], down[0] - origin[0], down[1] - origin[1], origin[0], origin[1],
  );
  context.drawImage(image.canvas, 0, 0);
  context.restore();
}

/** Face, handle behind it, beam, and the dot that marks the left side of the image. */
function drawProbe(context, tile, pose, outline_mm, ratio) {
  const face = faceOf(outline_mm).map(([x, z]) => toWorld(pose, [x, 0, z]));
  trace(context, tile, [entry(pose), toWorld(pose, [0, 0, -BODY_LENGTH_MM])]);
  stroke(context, "rgba(0, 0, 0, 0.6)", 7 * ratio);
  stroke(context, BODY, 5 * ratio);
  trace(context, tile, face);
  stroke(context, BODY, 3 * ratio);
  const [x, y] = tile.toPixel(face[0]);
  context.beginPath();
  context.arc(x, y, 4 * ratio, 0, 2 * Math.PI);
  context.fillStyle = MARKER;
  context.fill();
  context.strokeStyle = "#000";
  context.lineWidth = ratio;
  context.stroke();
}

/** The near edge of the sector: its first half of points but the last, the far edge comes back. */
export function faceOf(outline_mm) {
  return outline_mm.slice(0, (outline_mm.length - 1) / 2);
}

/** Pixel distance of a point of the screen from the probe as drawn in a tile: its handle and its face. */
export function distanceToProbe(tile, pose, outline_mm, [x, y]) {
  const face = faceOf(outline_mm).map(([across, z]) => toWorld(pose, [across, 0, z]));
  const handle = [-1, -0.5, 0].map((share) => toWorld(pose, [0, 0, share * BODY_LENGTH_MM]));
  const distances = [...face, ...handle].map((point) => {
    const [px, py] = tile.toPixel(point);
    return Math.hypot(px - x, py - y);
  });
  return Math.min(...distances);
}

/** How squarely the image plane faces the viewer: 1 face on, 0 edge on; the sign tells the side. */
export function facing(tile, pose) {
  const normal = axis(pose, 1);
  return normal.reduce((sum, value, i) => sum + value * tile.towardsViewer[i], 0);
}

function trace(context, tile, points) {
  context.beginPath();
  points.forEach((point, i) => {
    const [x, y] = tile.toPixel(point);
    if (i === 0) context.moveTo(x, y);
    else context.lineTo(x, y);
  });
}

function stroke(context, colour, width) {
  context.strokeStyle = colour;
  context.lineWidth = width;
  context.stroke();
}
