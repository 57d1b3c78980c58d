/** Where the probe stands, in mm and degrees. */

import { angles, axis, between, distance, entry } from "./pose.js";

const LETTERS = [["L", "R"], ["P", "A"], ["I", "S"]];

export class Readout {
  /**
   * @param {HTMLElement} place of the read-out: see index.html.
   * @param {import("./state.js").State} state
   */
  constructor(place, state) {
    this.state = state;
    this.parts = Object.fromEntries(
      [...place.querySelectorAll("[data-part]")].map((part) => [part.dataset.part, part]),
    );
    state.addEventListener("pose", () => this.#show());
    this.#show();
  }

  #show() {
    const { pose, start } = this.state;
    const { parts } = this;
    const place = entry(pose).map((value, i) => `${LETTERS[i][value < 0 ? 0 : 1]} ${Math.abs(value).toFixed(1)}`);
    parts.position.textContent = `${place.join("  ")} mm`;
    parts.beam.textContent = heading(axis(pose, 2));
    parts.lateral.textContent = heading(axis(pose, 0));
    parts.turned.textContent = angles(between(start.pose, pose)).map((value) => `${decimal(value)}°`).join("  ");
    parts.moved.textContent = `${distance(start.pose, pose).mm.toFixed(1)} mm`;
  }
}

function decimal(value) {
  const words = value.toFixed(1);
  return words === "-0.0" ? "0.0" : words.replace("-", "−");
}

/** A unit vector by its parts, the largest first: "L 0.80  S 0.60". */
function heading(direction) {
  return direction
    .map((value, i) => [Math.abs(value), `${LETTERS[i][value < 0 ? 0 : 1]} ${Math.abs(value).toFixed(2)}`])
    .filter(([size]) => size >= 0.005)
    .sort(([a], [b]) => b - a)
    .map(([, words]) => words)
    .join("  ");
}
