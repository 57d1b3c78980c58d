/** What the page shows: pose and settings, told to whoever listens. */

import { isPose } from "./pose.js";

/**
 * Events: "pose" and "settings" after each change, "lock" when the probe is taken out of the user's hands,
 * "limits" when the probe's sector changed.
 */
export class State extends EventTarget {
  /** @param {object} scene scene.json of the server. */
  constructor(scene) {
    super();
    this.scene = scene;
    this.entries = scene.settings;
    this.pose = scene.pose.slice();
    this.values = startValues(scene.settings);
    this.mri_from_ultrasound = null;
    this.start = this.snapshot();
    this.outline_mm = scene.outline_mm;
    this.locked = false;
  }

  setPose(pose) {
    if (!isPose(pose)) throw new Error("a pose is 16 finite numbers");
    this.pose = pose.slice();
    this.dispatchEvent(new Event("pose"));
  }

  setValue(name, value) {
    if (!(name in this.values)) throw new Error(`there is no setting ${name}`);
    this.values[name] = value;
    this.dispatchEvent(new Event("settings"));
  }

  setOutline(outline_mm) {
    if (JSON.stringify(outline_mm) === JSON.stringify(this.outline_mm)) return;
    this.outline_mm = outline_mm;
    this.dispatchEvent(new Event("limits"));
  }

  lock(locked) {
    if (locked === this.locked) return;
    this.locked = locked;
    this.dispatchEvent(new Event("lock"));
  }

  snapshot() {
    const { pose, values, mri_from_ultrasound } = this;
    return { pose: pose.slice(), values: { ...values }, mri_from_ultrasound };
  }

  restore({ pose, values, mri_from_ultrasound }) {
    this.values = { ...values };
    this.mri_from_ultrasound = mri_from_ultrasound;
    this.setPose(pose);
    this.dispatchEvent(new Event("settings"));
  }

  /** The part of a message to the server that says how to render: probe, settings and pose. */
  request() {
    const parts = { probe: {}, settings: {} };
    for (const [name, entry] of Object.entries(this.entries)) parts[entry.of][name] = this.values[name];
    if (this.mri_from_ultrasound) parts.mri_from_ultrasound = this.mri_from_ultrasound;
    return { pose: this.pose, ...parts };
  }

  /** Depth of the imaged field in mm. */
  get depth_mm() {
    return Math.max(...this.outline_mm.map(([, z]) => z));
  }
}

function startValues(entries) {
  return Object.fromEntries(Object.entries(entries).map(([name, entry]) => [name, entry.value]));
}
