/** "Register from here": the descent as it comes, the verdict in words, and whether to keep the result. */

export class RegistrationPanel {
  #id = null;
  #before = null;

  /**
   * @param {HTMLElement} place of the panel: see index.html.
   * @param {import("./connection.js").Connection} connection
   * @param {import("./state.js").State} state
   * @param {import("./history.js").History} history
   * @param {import("./announcer.js").Announcer} announcer
   */
  constructor(place, connection, state, history, announcer) {
    const find = (name) => place.querySelector(`[data-part="${name}"]`);
    this.parts = Object.fromEntries(
      ["start", "cancel", "progress", "stage", "result", "verdict", "sentence", "numbers", "keep", "undo"].map(
        (name) => [name, find(name)],
      ),
    );
    Object.assign(this, { place, connection, state, history, announcer });
    this.parts.start.addEventListener("click", () => this.start());
    this.parts.cancel.addEventListener("click", () => this.cancel());
    this.parts.keep.addEventListener("click", () => this.#keep());
    this.parts.undo.addEventListener("click", () => this.#undo());
    const mine = (act) => ({ detail }) => detail.id === this.#id && act(detail);
    connection.addEventListener("descent", mine((message) => this.#descend(message)));
    connection.addEventListener("registered", mine((message) => this.#finish(message)));
    connection.addEventListener("cancelled", mine(() => this.#giveUp("Registration cancelled")));
    const refuse = ({ message }) => this.#giveUp(`Registration refused: ${message}`, "error");
    connection.addEventListener("refused", mine(refuse));
    connection.addEventListener("lost", () => this.#lose());
    place.hidden = !state.scene.can_register;
  }

  get isRunning() {
    return this.#id !== null;
  }

  start() {
    if (this.isRunning || this.state.locked) return;
    this.history.commit();
    const id = this.connection.nextId();
    if (!this.connection.send({ type: "register", id, ...this.state.request() })) {
      this.announcer.say("There is no connection to the server.", "error");
      return;
    }
    this.#id = id;
    this.#before = this.state.snapshot();
    this.state.lock(true);
    this.parts.result.hidden = true;
    this.#show("starting", 0, 1, null);
    this.#setRunning(true);
    this.parts.cancel.focus();
    this.place.scrollIntoView({ block: "nearest" });
    this.announcer.say("Registration started.");
  }

  cancel() {
    if (!this.isRunning) return;
    this.parts.cancel.disabled = true;
    this.parts.stage.textContent = "cancelling …";
    this.connection.send({ type: "cancel", id: this.#id });
  }

  #descend({ stage, step, of, pose, score }) {
    if (pose) this.state.setPose(pose);
    if (!this.parts.cancel.disabled) this.#show(stage, step, of, score);
  }

  #finish({ pose, verdict, sentence, score, std_mm, std_deg, mri_from_ultrasound }) {
    this.#end();
    const isVolume = this.state.scene.ultrasound?.kind === "volume";
    if (isVolume) this.state.mri_from_ultrasound = mri_from_ultrasound; // the volume's slice comes along
    this.state.setPose(pose);
    this.parts.result.hidden = false;
    this.parts.result.dataset.verdict = verdict;
    const words = verdict.replaceAll("_", " ");
    this.parts.verdict.textContent = `${words}:`;
    this.parts.sentence.textContent = sentence;
    this.parts.numbers.textContent = numbers(score, std_mm, std_deg);
    this.parts.keep.focus();
    this.place.scrollIntoView({ block: "nearest" });
    this.announcer.say(`Registration finished: ${words}. ${sentence}`);
  }

  #keep() {
    this.history.commit();
    this.parts.result.hidden = true;
    this.parts.start.focus();
    this.announcer.say("Result kept.");
  }

  #undo() {
    this.state.restore(this.#before);
    this.history.commit();
    this.parts.result.hidden = true;
    this.parts.start.focus();
    this.announcer.say("Result undone; the probe is back where it was.");
  }

  #giveUp(why, kind = "info") {
    this.#end();
    this.state.restore(this.#before);
    this.parts.start.focus();
    this.announcer.say(`${why}; the probe is back where it was.`, kind);
  }

  /** The server cancels the registration of a page that has gone. */
  #lose() {
    if (this.isRunning) this.#giveUp("The connection was lost during the registration", "error");
  }

  #end() {
    this.#id = null;
    this.state.lock(false);
    this.#setRunning(false);
  }

  #setRunning(running) {
    this.parts.start.hidden = running;
    this.parts.cancel.hidden = !running;
    this.parts.cancel.disabled = false;
    this.parts.progress.hidden = !running;
    this.parts.stage.hidden = !running;
  }

  #show(stage, step, of, score) {
    this.parts.progress.max = of;
    this.parts.progress.value = step;
    const words = score === null || score === undefined ? "" : `, correlation ${score.toFixed(3)}`;
    this.parts.stage.textContent = `${stage}${words}`;
  }
}

function numbers(score, std_mm, std_deg) {
  const listed = (values, digits) => values.map((v) => (v === null ? "?" : v.toFixed(digits))).join(", ");
  const words = score === null ? "" : `correlation ${score.toFixed(3)}; `;
  return `${words}standard deviations ${listed(std_mm, 2)} mm and ${listed(std_deg, 2)}° (lateral, elevation, beam)`;
}
