/** The B-mode image as on a scanner's screen: to scale, with rulers in mm, focus, marker and dB bar. */

import { bitmapOf } from "./bitmap.js";
import { drawBar, drawFocus, drawLabel, drawMarker, drawRefusal, drawRulers } from "./rulers.js";

const MARGIN = { left: 44, right: 62, top: 30, bottom: 34 };
const SQUARE_MM = 8;

export const MODES = ["rendered", "real", "beside", "blend", "checkerboard"];

export class BModeView {
  #due = false;

  /**
   * @param {HTMLCanvasElement} canvas
   * @param {import("./state.js").State} state
   */
  constructor(canvas, state) {
    this.canvas = canvas;
    this.state = state;
    this.rendered = null;
    this.real = null;
    this.refusal = null;
    this.mode = "rendered";
    this.blend = 0.5;
    this.pixelsPerMm = 1;
    this.panels = [];
    new ResizeObserver(() => this.#request()).observe(canvas.parentElement);
    state.addEventListener("settings", () => this.#request());
  }

  setFrame(frame) {
    this.rendered = bitmapOf(frame);
    this.refusal = null;
    this.#request();
  }

  /** Covers the image, which belongs to another pose, and says why there is none of this one. */
  refuse(why) {
    this.refusal = why;
    this.#request();
  }

  setReal(image) {
    this.real = image && bitmapOf(image);
    this.#request();
  }

  setMode(mode, blend = this.blend) {
    this.mode = mode;
    this.blend = blend;
    this.#request();
  }

  #request() {
    if (this.#due) return;
    this.#due = true;
    requestAnimationFrame(() => {
      this.#due = false;
      this.draw();
    });
  }

  draw() {
    const { canvas } = this;
    const ratio = window.devicePixelRatio || 1;
    const { width, height } = canvas.parentElement.getBoundingClientRect();
    if (width < 1 || height < 1) return;
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
    const context = canvas.getContext("2d");
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.imageSmoothingQuality = "high";
    if (!this.rendered) {
      if (this.refusal) drawRefusal(context, width, height, this.refusal);
      return;
    }
    this.#layOut(width, height);
    for (const panel of this.panels) this.#drawPanel(context, panel);
    if (this.refusal) drawRefusal(context, width, height, this.refusal);
    drawBar(context, width - MARGIN.right + 16, this.panels[0], this.state.values.dynamic_range_db);
  }

  /** Panels at one scale, beside or below each other as they come out larger. */
  #layOut(width, height) {
    const { rendered: image } = this;
    const shows = this.mode === "beside" ? ["rendered", "real"] : [this.mode];
    const cell = (count, size, margins, gap) => (size - margins - gap * (count - 1)) / count;
    const arrangements = [[shows.length, 1], [1, shows.length]].map(([columns, rows]) => {
      const across = cell(columns, width, MARGIN.left + MARGIN.right, MARGIN.left);
      const down = cell(rows, height, MARGIN.top + MARGIN.bottom, MARGIN.top + MARGIN.bottom);
      return { columns, across, down, scale: Math.min(across / image.width_mm, down / image.height_mm) };
    });
    const { columns, across, down, scale } = arrangements.reduce((a, b) => (b.scale > a.scale ? b : a));
    this.pixelsPerMm = Math.max(0.1, scale);
    this.panels = shows.map((what, i) => {
      const [column, row] = [i % columns, Math.floor(i / columns)];
      const left = MARGIN.left + column * (across + MARGIN.left);
      const top = MARGIN.top + row * (down + MARGIN.top + MARGIN.bottom);
      return placed(what, image, left, top, across, down, this.pixelsPerMm);
    });
  }

  #drawPanel(context, panel) {
    context.save();
    context.beginPath();
    context.rect(panel.left, panel.top, panel.width, panel.height);
    context.clip();
    this.#drawImages(context, panel);
    context.restore();
    const { state } = this;
    const isFirst = panel === this.panels[0];
    drawRulers(context, panel, state, this.pixelsPerMm);
    drawMarker(context, panel, state.outline_mm);
    if (isFirst) drawFocus(context, panel, state);
    drawLabel(context, panel, this.#label(panel.shows));
  }

  #drawImages(context, panel) {
    const { shows } = panel;
    const isReal = shows === "real";
    if (!isReal) drawImage(context, panel, this.rendered);
    if (!this.real || shows === "rendered") return;
    if (shows === "blend") context.globalAlpha = this.blend;
    if (shows === "checkerboard") clipToCheckerboard(context, panel, SQUARE_MM * this.pixelsPerMm);
    drawImage(context, panel, this.real);
    context.globalAlpha = 1;
  }

  #label(shows) {
    if (!this.state.scene.ultrasound) return "";
    const share = Math.round(100 * this.blend);
    const words = { rendered: "rendered", real: "real", checkerboard: "rendered / real" };
    return shows === "blend" ? `${100 - share} % rendered, ${share} % real` : words[shows];
  }
}

/** A panel in the middle of its cell: {shows, left, top, width, height}, and from mm to pixels toX, toY. */
function placed(shows, image, cellLeft, cellTop, cellWidth, cellHeight, scale) {
  const [width, height] = [image.width_mm * scale, image.height_mm * scale];
  const left = cellLeft + Math.max(0, (cellWidth - width) / 2);
  const top = cellTop + Math.max(0, (cellHeight - height) / 2);
  const toX = (x) => left + (x - image.left_mm) * scale;
  const toY = (z) => top + (z - image.top_mm) * scale;
  return { shows, left, top, width, height, toX, toY };
}

function drawImage(context, panel, image) {
  const [x, y] = [panel.toX(image.left_mm), panel.toY(image.top_mm)];
  const scale = panel.toX(1) - panel.toX(0);
  context.drawImage(image.canvas, x, y, image.width_mm * scale, image.height_mm * scale);
}

function clipToCheckerboard(context, panel, side) {
  context.beginPath();
  for (let row = 0; row * side < panel.height; row += 1) {
    for (let column = row % 2; column * side < panel.width; column += 2) {
      context.rect(panel.left + column * side, panel.top + row * side, side, side);
    }
  }
  context.clip();
}
