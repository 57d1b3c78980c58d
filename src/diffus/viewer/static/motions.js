/** The moves of the probe by name: what keys, buttons and hands do. Probe frame, mm and degrees. */

import { perturb } from "./pose.js";

export const STEP = 1; // mm or degrees
export const FINE_STEP = 0.2;

/** `keys` are KeyboardEvent.key, lower case; `word` and `shown` on the button. +y points to the viewer. */
export const MOTIONS = {
  left: { word: "left", label: "Slide left", keys: ["arrowleft"], shown: "←", slide: [-1, 0, 0] },
  right: { word: "right", label: "Slide right", keys: ["arrowright"], shown: "→", slide: [1, 0, 0] },
  away: { word: "away", label: "Slide away from you", keys: ["arrowup"], shown: "↑", slide: [0, -1, 0] },
  near: { word: "near", label: "Slide towards you", keys: ["arrowdown"], shown: "↓", slide: [0, 1, 0] },
  lift: { word: "lift", label: "Lift along the beam", keys: ["pageup"], shown: "PgUp", slide: [0, 0, -1] },
  press: { word: "press", label: "Press along the beam", keys: ["pagedown"], shown: "PgDn", slide: [0, 0, 1] },
  turnLeft: { word: "rotate", label: "Rotate anticlockwise", keys: ["q"], shown: "↺ Q", turn: [0, 0, -1] },
  turnRight: { word: "rotate", label: "Rotate clockwise", keys: ["e"], shown: "↻ E", turn: [0, 0, 1] },
  tiltAway: { word: "tilt", label: "Tilt the beam away from you", keys: ["w"], shown: "↑ W", turn: [1, 0, 0] },
  tiltNear: { word: "tilt", label: "Tilt the beam towards you", keys: ["s"], shown: "↓ S", turn: [-1, 0, 0] },
  rockLeft: { word: "rock", label: "Rock the beam to the left", keys: ["a"], shown: "← A", turn: [0, -1, 0] },
  rockRight: { word: "rock", label: "Rock the beam to the right", keys: ["d"], shown: "→ D", turn: [0, 1, 0] },
};

/** The pose after a move by so many mm or degrees. */
export function moved(pose, motion, amount) {
  const scaled = (vector) => (vector ?? [0, 0, 0]).map((value) => value * amount);
  return perturb(pose, { turn_deg: scaled(motion.turn), slide_mm: scaled(motion.slide) });
}

/** The motion of a key, or null. */
export function motionOfKey(key) {
  return Object.values(MOTIONS).find(({ keys }) => keys.includes(key.toLowerCase())) ?? null;
}
