/** Names the tiles of the MRI, and says in anatomical words where each slice lies. */

const KINDS = { 0: "axial", 1: "coronal", 2: "sagittal", 4: "3D" };
const ACROSS = { axial: ["I", "S", 2], coronal: ["P", "A", 1], sagittal: ["L", "R", 0] };

/**
 * @param {CanvasRenderingContext2D} context
 * @param {{sliceType: number, position: number[]}[]} layout NiiVue's.
 * @param {number[]} point through which the slices go, world RAS+ in mm.
 * @param {number} ratio device pixels in a pixel.
 */
export function drawTileLabels(context, layout, point, ratio) {
  const { width, height } = context.canvas;
  context.font = `${11 * ratio}px system-ui, sans-serif`;
  context.fillStyle = "#9fb0bb";
  context.textBaseline = "bottom";
  for (const { sliceType, position } of layout) {
    const kind = KINDS[sliceType];
    const place = kind in ACROSS ? `  ${placeOf(kind, point)}` : "";
    const left = position[0] * width + 8 * ratio;
    context.fillText(kind + place, left, (position[1] + position[3]) * height - 5 * ratio);
  }
}

function placeOf(kind, point) {
  const [negative, positive, which] = ACROSS[kind];
  const value = Math.round(point[which]);
  return value === 0 ? "0 mm" : `${value < 0 ? negative : positive} ${Math.abs(value)} mm`;
}
