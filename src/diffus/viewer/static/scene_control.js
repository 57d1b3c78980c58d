/** Mouse and touch on the MRI: aim the probe, drag it in a slice, look around, turn the 3D view. */

import { distanceToProbe } from "./fan_overlay.js";
import { aimAt, entry, subtract, translate } from "./pose.js";
import { tileAt } from "./projection.js";

const CLICK_PX = 4;
const GRAB_PX = 14;
const DEGREES_PER_PX = 0.5;

export class SceneControl {
  #gesture = null;

  /**
   * @param {import("./scene_view.js").SceneView} view
   * @param {import("./state.js").State} state
   * @param {import("./history.js").History} history
   */
  constructor(view, state, history) {
    this.view = view;
    this.state = state;
    this.history = history;
    const surface = view.overlay;
    surface.addEventListener("pointerdown", (event) => this.#start(event));
    surface.addEventListener("pointermove", (event) => this.#move(event));
    surface.addEventListener("pointerup", (event) => this.#end(event));
    surface.addEventListener("pointercancel", () => this.#cancel());
    surface.addEventListener("wheel", (event) => this.#wheel(event), { passive: false });
  }

  /** Turns the beam to a point of the world; the face stays where it is. */
  aim(point) {
    if (this.state.locked) return;
    this.view.setReach(Math.hypot(...subtract(point, entry(this.state.pose))));
    this.state.setPose(aimAt(this.state.pose, point));
    this.history.commit();
  }

  /** Puts the middle of the face at a point of the world; the orientation stays. */
  place(point) {
    if (this.state.locked) return;
    this.state.setPose(translate(this.state.pose, subtract(point, entry(this.state.pose))));
    this.history.commit();
  }

  #start(event) {
    if (event.button !== 0 || !event.isPrimary) return;
    const at = this.#pixel(event);
    const tile = tileAt(this.view.tiles, ...at);
    if (!tile) return;
    this.view.overlay.setPointerCapture(event.pointerId);
    this.#gesture = { tile, start: at, last: at, moved: false, does: this.#gestureAt(tile, at) };
  }

  #gestureAt(tile, at) {
    if (tile.kind === "render") return "orbit";
    const { pose, outline_mm, locked } = this.state;
    const near = distanceToProbe(tile, pose, outline_mm, at) < GRAB_PX * this.#ratio;
    return near && !locked ? "drag" : "look";
  }

  #move(event) {
    const at = this.#pixel(event);
    if (!this.#gesture) {
      this.#showCursor(at);
      return;
    }
    const { tile, start, last, does } = this.#gesture;
    if (Math.hypot(at[0] - start[0], at[1] - start[1]) > CLICK_PX * this.#ratio) this.#gesture.moved = true;
    if (!this.#gesture.moved) return;
    const [dx, dy] = [at[0] - last[0], at[1] - last[1]];
    this.#gesture.last = at;
    if (does === "orbit") {
      this.view.orbit((dx / this.#ratio) * DEGREES_PER_PX, (dy / this.#ratio) * DEGREES_PER_PX);
    } else if (does === "drag") {
      const shift = subtract(tile.toWorld(...at), tile.toWorld(...last));
      this.state.setPose(translate(this.state.pose, shift));
    } else {
      this.view.lookAt(tile.toWorld(...at));
    }
  }

  #end(event) {
    if (!this.#gesture) return;
    const { tile, moved, does } = this.#gesture;
    this.#gesture = null;
    if (moved) {
      if (does === "drag") this.history.commit();
    } else if (tile.kind !== "render") {
      const point = tile.toWorld(...this.#pixel(event));
      if (event.shiftKey) this.place(point);
      else this.aim(point);
    }
  }

  #cancel() {
    if (this.#gesture?.does === "drag") this.history.commit();
    this.#gesture = null;
  }

  #wheel(event) {
    const tile = tileAt(this.view.tiles, ...this.#pixel(event));
    if (!tile) return;
    event.preventDefault();
    const notches = -Math.sign(event.deltaY);
    if (tile.kind === "render") {
      this.view.zoom(1.1 ** notches);
    } else {
      const point = this.view.point.slice();
      point[tile.axes[2]] += notches;
      this.view.lookAt(point);
    }
  }

  #showCursor(at) {
    const tile = tileAt(this.view.tiles, ...at);
    const does = tile ? this.#gestureAt(tile, at) : "look";
    this.view.overlay.style.cursor = { orbit: "move", drag: "grab", look: "crosshair" }[does];
  }

  #pixel(event) {
    const box = this.view.overlay.getBoundingClientRect();
    return [(event.clientX - box.left) * this.#ratio, (event.clientY - box.top) * this.#ratio];
  }

  get #ratio() {
    return this.view.overlay.width / Math.max(1, this.view.overlay.clientWidth);
  }
}

