/** The probe by mouse and touch on the B-mode image. */

import { perturb } from "./pose.js";

const DEGREES_PER_PX = 0.3;
const WHEEL_MM = 1;
const WHEEL_DEG = 2;
const REST_MS = 400;

/**
 * Drag: slide; shift-drag: rotate and press; alt- or ctrl-drag: rock and tilt; wheel: press; shift-wheel: rotate.
 * One finger slides; two fingers rotate by their turn, rock and tilt by their way.
 */
export class ProbeControl {
  #pointers = new Map();
  #timer = null;

  /**
   * @param {HTMLCanvasElement} canvas the B-mode image.
   * @param {import("./bmode.js").BModeView} bmode gives the scale.
   * @param {import("./state.js").State} state
   * @param {import("./history.js").History} history
   */
  constructor(canvas, bmode, state, history) {
    this.canvas = canvas;
    this.bmode = bmode;
    this.state = state;
    this.history = history;
    canvas.addEventListener("pointerdown", (event) => this.#start(event));
    canvas.addEventListener("pointermove", (event) => this.#move(event));
    canvas.addEventListener("pointerup", (event) => this.#end(event));
    canvas.addEventListener("pointercancel", (event) => this.#end(event));
    canvas.addEventListener("wheel", (event) => this.#wheel(event), { passive: false });
  }

  #start(event) {
    if (event.button !== 0 || this.state.locked) return;
    this.canvas.setPointerCapture(event.pointerId);
    this.#pointers.set(event.pointerId, [event.clientX, event.clientY]);
    this.canvas.classList.add("grabbed");
  }

  #move(event) {
    const before = this.#pointers.get(event.pointerId);
    if (!before || this.state.locked) return;
    const now = [event.clientX, event.clientY];
    const other = [...this.#pointers].find(([id]) => id !== event.pointerId)?.[1];
    const [dx, dy] = [now[0] - before[0], now[1] - before[1]];
    this.#pointers.set(event.pointerId, now);
    if (other) this.#twoFingers(before, now, other);
    else if (event.shiftKey) this.#step([0, 0, dx * DEGREES_PER_PX], [0, 0, dy / this.bmode.pixelsPerMm]);
    else if (event.altKey || event.ctrlKey) this.#step([-dy * DEGREES_PER_PX, dx * DEGREES_PER_PX, 0], [0, 0, 0]);
    else this.#step([0, 0, 0], [dx / this.bmode.pixelsPerMm, dy / this.bmode.pixelsPerMm, 0]);
  }

  /** Each finger moves by itself; half of its way is that of both. */
  #twoFingers(before, now, other) {
    const angle = ([x, y]) => Math.atan2(y - other[1], x - other[0]);
    let twist = ((angle(now) - angle(before)) * 180) / Math.PI;
    if (twist > 180) twist -= 360;
    if (twist < -180) twist += 360;
    const [dx, dy] = [(now[0] - before[0]) / 2, (now[1] - before[1]) / 2];
    this.#step([-dy * DEGREES_PER_PX, dx * DEGREES_PER_PX, twist], [0, 0, 0]);
  }

  #end(event) {
    if (!this.#pointers.delete(event.pointerId)) return;
    if (this.#pointers.size > 0) return;
    this.canvas.classList.remove("grabbed");
    this.history.commit();
  }

  #wheel(event) {
    event.preventDefault();
    if (this.state.locked) return;
    const notches = Math.sign(event.deltaY || event.deltaX); // with shift, browsers scroll sideways
    if (event.shiftKey) this.#step([0, 0, notches * WHEEL_DEG], [0, 0, 0]);
    else this.#step([0, 0, 0], [0, 0, notches * WHEEL_MM]);
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.history.commit(), REST_MS);
  }

  #step(turn_deg, slide_mm) {
    this.state.setPose(perturb(this.state.pose, { turn_deg, slide_mm }));
  }
}
