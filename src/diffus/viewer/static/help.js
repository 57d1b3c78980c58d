/** The page of help: keys are listed from the moves themselves. */

import { FINE_STEP, MOTIONS, STEP } from "./motions.js";

/** Fills the list of keys, and opens the dialog by its button or by "?". */
export function fillHelp(dialog, list, button) {
  for (const { shown, label } of Object.values(MOTIONS)) list.append(entry(shown, label.toLowerCase()));
  list.append(entry("Shift", `with any of these: ${FINE_STEP} instead of ${STEP} mm or degree`));
  list.append(entry("Ctrl+Z", "undo"), entry("Ctrl+Shift+Z", "redo"), entry("?", "this help"));
  button.addEventListener("click", () => dialog.showModal());
  dialog.querySelector("button").addEventListener("click", () => dialog.close());
  document.addEventListener("keydown", (event) => {
    if (event.key === "?" && !event.target.closest?.("input") && !dialog.open) dialog.showModal();
  });
}

function entry(term, meaning) {
  const row = document.createElement("div");
  const name = document.createElement("dt");
  const what = document.createElement("dd");
  name.textContent = term;
  what.textContent = meaning;
  row.append(name, what);
  return row;
}
