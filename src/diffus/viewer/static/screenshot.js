/** One picture of what the page shows: MRI with the sector beside the B-mode image. */

const GROUND = "#0b0e11";
const GAP = 12;

/**
 * @param {import("./scene_view.js").SceneView} view
 * @param {import("./bmode.js").BModeView} bmode
 * @returns {Promise<Blob>} PNG.
 */
export function screenshot(view, bmode) {
  view.nv.drawScene(); // WebGL forgets its picture once it is shown
  const left = view.canvas;
  const right = bmode.canvas;
  const height = Math.max(left.height, right.height);
  const canvas = document.createElement("canvas");
  canvas.width = left.width + GAP + right.width;
  canvas.height = height;
  const context = canvas.getContext("2d");
  context.fillStyle = GROUND;
  context.fillRect(0, 0, canvas.width, height);
  for (const layer of [left, view.overlay]) context.drawImage(layer, 0, (height - left.height) / 2);
  context.drawImage(right, left.width + GAP, (height - right.height) / 2);
  return new Promise((resolve, reject) => {
    canvas.toBlob((blob) => (blob ? resolve(blob) : reject(new Error("no screenshot could be made"))), "image/png");
  });
}
