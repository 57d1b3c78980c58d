/** Undo and redo of pose and settings. */

const LONGEST = 200;

/** Event "change" after each step, so that buttons can show what is possible. */
export class History extends EventTarget {
  /** @param {import("./state.js").State} state */
  constructor(state) {
    super();
    this.state = state;
    this.past = [];
    this.future = [];
    this.present = state.snapshot();
  }

  /** Remembers the state at the end of a gesture, if it changed, and not while a registration moves the probe. */
  commit() {
    if (this.state.locked) return;
    const now = this.state.snapshot();
    if (same(now, this.present)) return;
    this.past.push(this.present);
    if (this.past.length > LONGEST) this.past.shift();
    this.present = now;
    this.future = [];
    this.dispatchEvent(new Event("change"));
  }

  undo() {
    this.commit();
    this.#step(this.past, this.future);
  }

  redo() {
    this.commit();
    this.#step(this.future, this.past);
  }

  #step(from, to) {
    if (this.state.locked || from.length === 0) return;
    to.push(this.present);
    this.present = from.pop();
    this.state.restore(this.present);
    this.dispatchEvent(new Event("change"));
  }
}

function same(a, b) {
  return JSON.stringify(a) === JSON.stringify(b);
}
