/** Grey values as a picture that a canvas can draw, with its place in the probe frame. */

/**
 * @param {object} image of the server: width, height, left_mm, top_mm (centre of the first pixel), spacing_mm,
 *   pixels.
 * @returns {{canvas: HTMLCanvasElement, left_mm: number, top_mm: number, spacing_mm: number, width_mm: number,
 *   height_mm: number}} with the outer edges of the first pixel at left_mm, top_mm.
 */
export function bitmapOf({ width, height, left_mm, top_mm, spacing_mm, pixels }) {
  const canvas = document.createElement("canvas");
  canvas.width = width;
  canvas.height = height;
  const context = canvas.getContext("2d");
  const colours = context.createImageData(width, height);
  const words = new Uint32Array(colours.data.buffer);
  for (let i = 0; i < pixels.length; i += 1) words[i] = 0xff000000 | (pixels[i] * 0x010101);
  context.putImageData(colours, 0, 0);
  return {
    canvas,
    left_mm: left_mm - spacing_mm / 2,
    top_mm: top_mm - spacing_mm / 2,
    spacing_mm,
    width_mm: width * spacing_mm,
    height_mm: height * spacing_mm,
  };
}
