/** Between millimetres of the world and pixels of NiiVue's tiles: three slices and the 3D view. */

import { dot, norm, scale } from "./pose.js";

const RENDER = 4; // NiiVue's SLICE_TYPE.RENDER
/** For each slice type (0 axial, 1 coronal, 2 sagittal): world axes to the right, up, and out of the screen. */
const WORLD_AXES = [[0, 1, 2], [0, 2, 1], [1, 2, 0]];

export const SLICE_NAMES = ["axial", "coronal", "sagittal"];

/** The tiles as NiiVue has drawn them last. */
export function tilesOf(nv) {
  const { renderAzimuth, renderElevation } = nv.scene;
  return nv.screenSlices.map((tile) =>
    tile.axCorSag === RENDER
      ? new RenderTile(nv, tile.leftTopWidthHeight, renderAzimuth, renderElevation)
      : new SliceTile(tile));
}

export function tileAt(tiles, x, y) {
  return tiles.find(({ box: [left, top, width, height] }) =>
    x >= left && y >= top && x <= left + width && y <= top + height) ?? null;
}

/** One slice: pixels are millimetres of the world along two of its axes. */
class SliceTile {
  constructor(tile) {
    this.kind = SLICE_NAMES[tile.axCorSag];
    this.box = tile.leftTopWidthHeight;
    this.axes = WORLD_AXES[tile.axCorSag];
    this.start_mm = tile.leftTopMM;
    this.span_mm = tile.fovMM;
    this.plane = tile.AxyzMxy;
  }

  get pixelsPerMm() {
    return this.box[2] / Math.abs(this.span_mm[0]);
  }

  toPixel(point) {
    const [left, top, width, height] = this.box;
    const [right, up] = this.axes;
    return [
      left + ((point[right] - this.start_mm[0]) / this.span_mm[0]) * width,
      top + height - ((point[up] - this.start_mm[1]) / this.span_mm[1]) * height,
    ];
  }

  /** The point of the slice under a pixel. */
  toWorld(x, y) {
    const [left, top, width, height] = this.box;
    const across = this.start_mm[0] + ((x - left) / width) * this.span_mm[0];
    const along = this.start_mm[1] + ((top + height - y) / height) * this.span_mm[1];
    const point = [0, 0, 0];
    point[this.axes[0]] = across;
    point[this.axes[1]] = along;
    point[this.axes[2]] = this.#depthOf(across, along);
    return point;
  }

  /** Distance of a point from the slice, in mm along the axis out of the screen. */
  distance(point) {
    const [right, up, out] = this.axes;
    return point[out] - this.#depthOf(point[right], point[up]);
  }

  /** NiiVue's plane: out = z0 + my (up - y0) - mx (right - x0); level but for oblique volumes. */
  #depthOf(across, along) {
    const [x0, y0, z0, mx, my] = this.plane;
    return z0 + my * (along - y0) - mx * (across - x0);
  }
}

/** The 3D view, an orthographic projection. */
export class RenderTile {
  constructor(nv, box, azimuth, elevation) {
    this.kind = "render";
    this.box = box;
    [this.matrix] = nv.calculateMvpMatrix(null, box, azimuth, elevation);
  }

  toPixel(point) {
    const [left, top, width, height] = this.box;
    const m = this.matrix; // column by column
    const at = (row) => m[row] * point[0] + m[4 + row] * point[1] + m[8 + row] * point[2] + m[12 + row];
    return [left + ((at(0) + 1) / 2) * width, top + ((1 - at(1)) / 2) * height];
  }

  /** World direction towards the viewer. */
  get towardsViewer() {
    const m = this.matrix;
    const right = [m[0], m[4], m[8]];
    const up = [m[1], m[5], m[9]];
    const out = [
      right[1] * up[2] - right[2] * up[1],
      right[2] * up[0] - right[0] * up[2],
      right[0] * up[1] - right[1] * up[0],
    ];
    return scale(out, 1 / norm(out));
  }
}

/**
 * Where a flat polygon cuts a slice: pairs of points of the world.
 *
 * @param {number[][]} polygon closed, in the world.
 * @param {(point: number[]) => number} distance signed distance of a point from the slice.
 */
export function cut(polygon, distance) {
  const crossings = [];
  const away = polygon.map(distance);
  for (let i = 0; i + 1 < polygon.length; i += 1) {
    if (away[i] < 0 === away[i + 1] < 0) continue;
    const share = away[i] / (away[i] - away[i + 1]);
    crossings.push(polygon[i].map((value, k) => value + share * (polygon[i + 1][k] - value)));
  }
  if (crossings.length < 2) return [];
  const direction = crossings[0].map((value, k) => crossings.at(-1)[k] - value);
  crossings.sort((a, b) => dot(direction, a) - dot(direction, b));
  const segments = [];
  for (let i = 0; i + 1 < crossings.length; i += 2) segments.push([crossings[i], crossings[i + 1]]);
  return segments;
}
