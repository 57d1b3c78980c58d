/** What stands around a B-mode image: rulers in mm, focus, the marker of the probe's side, the dB bar. */

import { faceOf } from "./fan_overlay.js";

const INK = "#8fa1ad";
const BRIGHT = "#cfd8dc";
const MARKER = "#4fc3f7";
const FONT = "11px system-ui, sans-serif";
const BAR = { width: 10, share: 0.42 };

/** Depth at the left of the sector, lateral place below it; a number at each 10 mm, or fewer where tight. */
export function drawRulers(context, panel, state, pixelsPerMm) {
  const number_mm = [10, 20, 50].find((step) => step * pixelsPerMm >= 26) ?? 100;
  const tick_mm = number_mm / 2;
  const depth = state.depth_mm;
  context.strokeStyle = INK;
  context.fillStyle = INK;
  context.lineWidth = 1;
  context.font = FONT;
  const left = Math.round(panel.left) - 6.5;
  context.textAlign = "right";
  context.textBaseline = "middle";
  for (let z = 0; z <= depth + 1e-6; z += tick_mm) {
    const isNumbered = z % number_mm === 0;
    const y = Math.round(panel.toY(z)) + 0.5;
    line(context, left, y, left - (isNumbered ? 7 : 4), y);
    if (isNumbered) context.fillText(String(z), left - 10, y);
  }
  line(context, left, panel.toY(0), left, panel.toY(depth));
  const below = Math.round(panel.top + panel.height) + 6.5;
  const reach = Math.max(...state.outline_mm.map(([x]) => Math.abs(x)));
  context.textAlign = "center";
  context.textBaseline = "top";
  for (let x = -Math.floor(reach / tick_mm) * tick_mm; x <= reach; x += tick_mm) {
    const isNumbered = x % number_mm === 0;
    const at = Math.round(panel.toX(x)) + 0.5;
    line(context, at, below, at, below + (isNumbered ? 6 : 3));
    if (isNumbered) context.fillText(String(x).replace("-", "−"), at, below + 9);
  }
  line(context, panel.toX(-reach), below, panel.toX(reach), below);
  context.textAlign = "right";
  context.fillText("mm", panel.toX(-reach) - 8, below + 9);
}

/** The transmit focus on the depth ruler. */
export function drawFocus(context, panel, state) {
  const y = panel.toY(state.values.focus_mm);
  const x = panel.left - 5;
  context.fillStyle = "#ffd54f";
  context.beginPath();
  context.moveTo(x, y);
  context.lineTo(x + 9, y - 5);
  context.lineTo(x + 9, y + 5);
  context.fill();
}

/** The marker's dot beside the left end of the face, as on the probe's body. */
export function drawMarker(context, panel, outline_mm) {
  const [x, z] = faceOf(outline_mm)[0];
  const at = Math.max(panel.left + 6, panel.toX(x) - 16);
  const up = Math.max(panel.top - 12, panel.toY(z) - 6);
  context.fillStyle = MARKER;
  context.beginPath();
  context.arc(at, up, 5, 0, 2 * Math.PI);
  context.fill();
}

export function drawLabel(context, panel, text) {
  context.font = "12px system-ui, sans-serif";
  context.fillStyle = BRIGHT;
  context.textAlign = "right"; // the marker stands at the left
  context.textBaseline = "bottom";
  context.fillText(text, panel.left + panel.width, panel.top - 8);
}

/** Covers the image and says why there is none. */
export function drawRefusal(context, width, height, why) {
  context.fillStyle = "rgba(0, 0, 0, 0.75)";
  context.fillRect(0, 0, width, height);
  context.font = "14px system-ui, sans-serif";
  context.fillStyle = "#ffd9d5";
  context.textAlign = "center";
  context.textBaseline = "middle";
  const lines = wrapped(context, why, Math.min(420, width - 40));
  lines.forEach((words, i) => context.fillText(words, width / 2, height / 2 + 20 * (i - (lines.length - 1) / 2)));
}

function wrapped(context, text, width) {
  const lines = [""];
  for (const word of text.split(" ")) {
    const longer = `${lines.at(-1)} ${word}`.trim();
    if (context.measureText(longer).width <= width) lines[lines.length - 1] = longer;
    else lines.push(word);
  }
  return lines;
}

/** Grey levels from black to white in dB of the display. */
export function drawBar(context, left, panel, span_db) {
  const height = Math.max(60, panel.height * BAR.share);
  const { top } = panel;
  const ramp = context.createLinearGradient(0, top, 0, top + height);
  ramp.addColorStop(0, "#fff");
  ramp.addColorStop(1, "#000");
  context.fillStyle = ramp;
  context.fillRect(left, top, BAR.width, height);
  context.strokeStyle = "#46545e";
  context.lineWidth = 1;
  context.strokeRect(left - 0.5, top - 0.5, BAR.width + 1, height + 1);
  context.font = FONT;
  context.fillStyle = INK;
  context.textAlign = "left";
  context.textBaseline = "middle";
  for (const share of [0, 0.5, 1]) {
    const level = Math.round(share * span_db);
    context.fillText(level === 0 ? "0 dB" : `−${level}`, left + BAR.width + 5, top + share * height);
  }
}

function line(context, x0, y0, x1, y1) {
  context.beginPath();
  context.moveTo(x0, y0);
  context.lineTo(x1, y1);
  context.stroke();
}
