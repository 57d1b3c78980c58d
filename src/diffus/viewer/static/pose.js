/**
 * Poses of the probe, as in `diffus.pose`: world_from_probe, 16 numbers, row by row, world RAS+ in mm.
 *
 * Probe frame: x lateral, y elevation, z down the beam, origin at the middle of the transducer's face.
 */

const RADIANS = Math.PI / 180;

export const AXES = { lateral: 0, elevation: 1, beam: 2 };

/** World position of the middle of the face. */
export function entry(pose) {
  return [pose[3], pose[7], pose[11]];
}

/** World direction of one axis of the probe (0 lateral, 1 elevation, 2 beam). */
export function axis(pose, which) {
  return [pose[which], pose[4 + which], pose[8 + which]];
}

/** A point of the probe frame, in the world. */
export function toWorld(pose, [x, y, z]) {
  return [0, 4, 8].map((row) => pose[row] * x + pose[row + 1] * y + pose[row + 2] * z + pose[row + 3]);
}

/** A point of the world, in the probe frame. */
export function toProbe(pose, point) {
  const away = subtract(point, entry(pose));
  return [0, 1, 2].map((which) => dot(axis(pose, which), away));
}

/**
 * Moves a pose in the probe's own frame, as `diffus.pose.perturb` does.
 *
 * @param {number[]} pose
 * @param {{turn_deg?: number[], slide_mm?: number[]}} step rotation vector in degrees, translation in mm.
 */
export function perturb(pose, { turn_deg = [0, 0, 0], slide_mm = [0, 0, 0] }) {
  const rotation = multiply(rotationOf(pose), rotationFromVector(turn_deg.map((v) => v * RADIANS)));
  return assemble(orthonormal(rotation), toWorld(pose, slide_mm));
}

/** Moves a pose by a vector of the world. */
export function translate(pose, shift_mm) {
  return assemble(rotationOf(pose), add(entry(pose), shift_mm));
}

/** Turns the probe about the middle of its face, by the smallest turn, until the beam passes a world point. */
export function aimAt(pose, target) {
  const local = toProbe(pose, target);
  const length = norm(local);
  if (length < 1e-6) return pose.slice();
  const [x, y, z] = local.map((v) => v / length);
  const sine = Math.hypot(x, y);
  if (sine < 1e-9 && z > 0) return pose.slice();
  const angle = Math.atan2(sine, z) / RADIANS;
  const about = sine < 1e-9 ? [1, 0, 0] : [-y / sine, x / sine, 0];
  return perturb(pose, { turn_deg: about.map((v) => v * angle) });
}

/**
 * Tilt, rock and rotation in degrees: turns about the probe's own x, y and z, one after the other.
 *
 * They give the pose back by `diffus.pose.from_euler(angles, entry, "XYZ")`.
 */
export function angles(pose) {
  const sine = Math.min(1, Math.max(-1, pose[2]));
  const rock = Math.asin(sine);
  if (Math.abs(sine) > 1 - 1e-9) {
    return [Math.atan2(pose[9], pose[5]) / RADIANS, rock / RADIANS, 0];
  }
  return [Math.atan2(-pose[6], pose[10]), rock, Math.atan2(-pose[1], pose[0])].map((v) => v / RADIANS);
}

/** The second pose as seen from the first: a pose in the first one's probe frame. */
export function between(first, second) {
  return assemble(multiply(transpose(rotationOf(first)), rotationOf(second)), toProbe(first, entry(second)));
}

/** How far two poses lie apart: mm between the faces, degrees between the orientations. */
export function distance(first, second) {
  const step = between(first, second);
  const cosine = Math.min(1, Math.max(-1, (step[0] + step[5] + step[10] - 1) / 2));
  return { mm: norm(subtract(entry(first), entry(second))), deg: Math.acos(cosine) / RADIANS };
}

export function isPose(candidate) {
  return Array.isArray(candidate) && candidate.length === 16 && candidate.every(Number.isFinite);
}

export function add(a, b) {
  return a.map((value, i) => value + b[i]);
}

export function subtract(a, b) {
  return a.map((value, i) => value - b[i]);
}

export function scale(a, factor) {
  return a.map((value) => value * factor);
}

export function dot(a, b) {
  return a.reduce((sum, value, i) => sum + value * b[i], 0);
}

export function norm(a) {
  return Math.hypot(...a);
}

function cross([a, b, c], [d, e, f]) {
  return [b * f - c * e, c * d - a * f, a * e - b * d];
}

function rotationOf(pose) {
  return [pose[0], pose[1], pose[2], pose[4], pose[5], pose[6], pose[8], pose[9], pose[10]];
}

function assemble(r, t) {
  return [r[0], r[1], r[2], t[0], r[3], r[4], r[5], t[1], r[6], r[7], r[8], t[2], 0, 0, 0, 1];
}

/** Rodrigues' formula. */
function rotationFromVector(vector) {
  const angle = norm(vector);
  if (angle < 1e-12) return [1, 0, 0, 0, 1, 0, 0, 0, 1];
  const [x, y, z] = vector.map((v) => v / angle);
  const [s, c] = [Math.sin(angle), Math.cos(angle)];
  const k = 1 - c;
  return [
    c + x * x * k, x * y * k - z * s, x * z * k + y * s,
    y * x * k + z * s, c + y * y * k, y * z * k - x * s,
    z * x * k - y * s, z * y * k + x * s, c + z * z * k,
  ];
}

function multiply(a, b) {
  const product = [];
  for (let row = 0; row < 9; row += 3) {
    for (let column = 0; column < 3; column += 1) {
      product.push(a[row] * b[column] + a[row + 1] * b[column + 3] + a[row + 2] * b[column + 6]);
    }
  }
  return product;
}

function transpose(r) {
  return [r[0], r[3], r[6], r[1], r[4], r[7], r[2], r[5], r[8]];
}

/** Takes away what rounding adds over thousands of small moves: the server accepts rigid poses only. */
function orthonormal(r) {
  let z = [r[2], r[5], r[8]];
  z = scale(z, 1 / norm(z));
  let x = [r[0], r[3], r[6]];
  x = subtract(x, scale(z, dot(x, z)));
  x = scale(x, 1 / norm(x));
  const y = cross(z, x);
  return [x[0], y[0], z[0], x[1], y[1], z[1], x[2], y[2], z[2]];
}
