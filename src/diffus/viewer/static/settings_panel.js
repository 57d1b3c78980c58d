/** A slider or a list for each thing that can be turned. */

export class SettingsPanel {
  #rows = new Map();

  /**
   * @param {HTMLElement} place takes the controls.
   * @param {HTMLButtonElement} reset puts all back.
   * @param {import("./state.js").State} state
   * @param {import("./history.js").History} history
   */
  constructor(place, reset, state, history) {
    this.state = state;
    this.history = history;
    for (const [name, entry] of Object.entries(state.entries)) place.append(this.#row(name, entry));
    reset.addEventListener("click", () => this.reset());
    state.addEventListener("settings", () => this.#show());
    state.addEventListener("lock", () => this.#lock());
    this.#show();
  }

  reset() {
    const { state } = this;
    state.restore({ ...state.snapshot(), values: state.start.values });
    this.history.commit();
  }

  #row(name, entry) {
    const row = element("div", { className: "setting" });
    const id = `setting-${name}`;
    row.append(element("label", { htmlFor: id, textContent: entry.label }));
    const input = entry.choices ? choiceOf(entry) : sliderOf(entry);
    input.id = id;
    input.dataset.name = name;
    const read = () => (entry.choices ? input.value : Number(input.value));
    input.addEventListener("input", () => this.state.setValue(name, read()));
    input.addEventListener("change", () => this.history.commit());
    const output = entry.choices ? null : element("output", { htmlFor: id });
    if (output) row.append(output);
    row.append(input);
    this.#rows.set(name, { input, output, entry });
    return row;
  }

  #show() {
    for (const [name, { input, output, entry }] of this.#rows) {
      const value = this.state.values[name];
      input.value = value;
      if (!output) continue;
      output.textContent = `${shown(value, entry.step)} ${entry.unit}`;
      input.setAttribute("aria-valuetext", output.textContent);
      const share = (value - entry.min) / (entry.max - entry.min);
      input.style.setProperty("--share", `${100 * share}%`);
    }
  }

  #lock() {
    for (const { input } of this.#rows.values()) input.disabled = this.state.locked;
  }
}

/** A number with as many digits as its step has; with a true minus sign. */
export function shown(value, step) {
  const digits = step >= 1 ? 0 : Math.ceil(-Math.log10(step));
  return value.toFixed(digits).replace("-", "−");
}

function sliderOf({ min, max, step }) {
  return element("input", { type: "range", min, max, step });
}

function choiceOf({ choices }) {
  const list = element("select", {});
  for (const choice of choices) list.append(element("option", { value: choice, textContent: choice }));
  return list;
}

function element(tag, properties) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name === "htmlFor") made.setAttribute("for", value);
    else made[name] = value;
  }
  return made;
}
