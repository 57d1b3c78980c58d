/** Saving pose, frame and screenshot at the server, and taking up a saved pose. */

import { isPose } from "./pose.js";

export class Saving {
  /**
   * @param {HTMLElement} place of the panel: see index.html.
   * @param {import("./state.js").State} state
   * @param {import("./history.js").History} history
   * @param {import("./announcer.js").Announcer} announcer
   * @param {() => Promise<Blob>} screenshot draws one.
   */
  constructor(place, state, history, announcer, screenshot) {
    const find = (name) => place.querySelector(`[data-part="${name}"]`);
    Object.assign(this, { state, history, announcer, screenshot });
    this.name = find("name");
    this.list = find("list");
    this.format = find("format");
    for (const format of state.scene.frame_formats) this.format.add(new Option(format));
    const actions = {
      "save-pose": () => this.savePose(),
      "save-frame": () => this.saveFrame(),
      "save-screenshot": () => this.saveScreenshot(),
      load: () => this.load(this.list.value),
    };
    for (const [part, act] of Object.entries(actions)) {
      find(part).addEventListener("click", () => this.#attempt(act));
    }
    this.refresh().catch(() => {}); // an empty list says as much as a refusal would
  }

  async savePose() {
    const saved = await this.#post("/save/pose", JSON.stringify({ pose: this.state.pose, ...this.#named() }));
    await this.refresh();
    this.list.value = saved.name;
    return saved;
  }

  async saveFrame() {
    const body = { ...this.state.request(), format: this.format.value, ...this.#named() };
    return this.#post("/save/frame", JSON.stringify(body));
  }

  async saveScreenshot() {
    const { name } = this.#named();
    const query = name ? `?name=${encodeURIComponent(name)}` : "";
    return this.#post(`/save/screenshot${query}`, await this.screenshot(), "image/png");
  }

  /** Takes up the pose of a name. */
  async load(name) {
    if (!name) throw new Error("no pose is saved yet");
    if (this.state.locked) throw new Error("wait for the registration to end, or cancel it");
    const { matrix } = await answer(await fetch(`/saved/${encodeURIComponent(name)}.json`, { cache: "no-store" }));
    const pose = matrix.flat(2).slice(0, 16);
    if (!isPose(pose)) throw new Error(`${name} holds no pose`);
    this.state.setPose(pose);
    this.history.commit();
    this.announcer.say(`Pose ${name} taken up.`);
  }

  /** Reads the list of saved poses again. */
  async refresh() {
    const saved = await answer(await fetch("/saved", { cache: "no-store" }));
    const chosen = this.list.value;
    this.list.replaceChildren(...saved.map(({ name }) => new Option(name, name)));
    if (saved.some(({ name }) => name === chosen)) this.list.value = chosen;
    this.list.disabled = saved.length === 0;
  }

  #named() {
    const name = this.name.value.trim();
    return name ? { name } : {};
  }

  async #post(path, body, type = "application/json") {
    const saved = await answer(await fetch(path, { method: "POST", body, headers: { "Content-Type": type } }));
    this.announcer.say(`Saved ${saved.path}`);
    return saved;
  }

  async #attempt(act) {
    try {
      await act();
    } catch (error) {
      this.announcer.say(error instanceof TypeError ? "The server cannot be reached." : error.message, "error");
    }
  }
}

/** The JSON of an answer; a refusal becomes an error with the server's words. */
async function answer(response) {
  if (response.ok) return response.json();
  const { message } = await response.json().catch(() => ({ message: `the server answered ${response.status}` }));
  throw new Error(message);
}
