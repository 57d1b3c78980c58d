/** How the real ultrasound is shown: alone, beside, blended, as a checkerboard. */

export class Comparison {
  /**
   * @param {HTMLElement} place of the choice: see index.html.
   * @param {import("./bmode.js").BModeView} bmode
   * @param {object|null} ultrasound of scene.json.
   */
  constructor(place, bmode, ultrasound) {
    this.bmode = bmode;
    this.blend = place.querySelector("#blend");
    place.hidden = ultrasound === null;
    place.addEventListener("change", ({ target }) => {
      if (target.name === "mode") this.#show(target.value);
    });
    this.blend.addEventListener("input", () => this.#show("blend"));
  }

  #show(mode) {
    this.blend.hidden = mode !== "blend";
    this.blend.style.setProperty("--share", `${100 * this.blend.value}%`);
    this.bmode.setMode(mode, Number(this.blend.value));
  }
}
