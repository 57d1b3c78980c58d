/** The probe by keyboard and by buttons. */

import { FINE_STEP, MOTIONS, motionOfKey, moved, STEP } from "./motions.js";

const REST_MS = 400;
const REPEAT_AFTER_MS = 350;
const REPEAT_EVERY_MS = 60;
const TYPING = "input, select, textarea, dialog *";

export class ProbeKeys {
  #commit = null;
  #repeat = null;

  /**
   * @param {HTMLElement} pad takes the buttons.
   * @param {import("./state.js").State} state
   * @param {import("./history.js").History} history
   */
  constructor(pad, state, history) {
    this.state = state;
    this.history = history;
    document.addEventListener("keydown", (event) => this.#key(event));
    for (const [name, motion] of Object.entries(MOTIONS)) pad.append(this.#button(name, motion));
    state.addEventListener("lock", () => {
      for (const button of pad.children) button.disabled = state.locked;
    });
  }

  move(motion, fine) {
    if (this.state.locked) return;
    this.state.setPose(moved(this.state.pose, motion, fine ? FINE_STEP : STEP));
    clearTimeout(this.#commit);
    this.#commit = setTimeout(() => this.history.commit(), REST_MS);
  }

  #key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest?.(TYPING)) return;
    const motion = motionOfKey(event.key);
    if (!motion) return;
    event.preventDefault();
    this.move(motion, event.shiftKey);
  }

  #button(name, motion) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = `move ${name}`;
    const key = document.createElement("small");
    key.textContent = motion.shown;
    button.append(motion.word, key);
    button.title = `${motion.label} (fine with Shift)`;
    button.setAttribute("aria-label", motion.label);
    button.addEventListener("pointerdown", (event) => this.#hold(motion, event));
    for (const end of ["pointerup", "pointerleave", "pointercancel"]) {
      button.addEventListener(end, () => clearTimeout(this.#repeat));
    }
    button.addEventListener("click", (event) => {
      if (event.detail === 0) this.move(motion, event.shiftKey); // by Enter or Space: a hand has moved already
    });
    return button;
  }

  #hold(motion, event) {
    if (event.button !== 0) return;
    this.move(motion, event.shiftKey);
    clearTimeout(this.#repeat);
    const again = () => {
      this.move(motion, event.shiftKey);
      this.#repeat = setTimeout(again, REPEAT_EVERY_MS);
    };
    this.#repeat = setTimeout(again, REPEAT_AFTER_MS);
  }
}
