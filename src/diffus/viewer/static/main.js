/** Puts the page together. */

import { Announcer } from "./announcer.js";
import { BModeView } from "./bmode.js";
import { bitmapOf } from "./bitmap.js";
import { Comparison } from "./comparison.js";
import { Connection } from "./connection.js";
import { fillHelp } from "./help.js";
import { History } from "./history.js";
import { LiveFrames } from "./live_frames.js";
import { ProbeControl } from "./probe_control.js";
import { ProbeKeys } from "./probe_keys.js";
import { Readout } from "./readout.js";
import { RegistrationPanel } from "./registration_panel.js";
import { Saving } from "./saving.js";
import { SceneControl } from "./scene_control.js";
import { SceneView } from "./scene_view.js";
import { screenshot } from "./screenshot.js";
import { SettingsPanel } from "./settings_panel.js";
import { State } from "./state.js";

const byId = (id) => document.getElementById(id);

const announcer = new Announcer(byId("notice"), byId("banner"));
try {
  await open();
} catch (error) {
  announcer.showBanner(error.message);
  console.error(error);
}

async function open() {
  const scene = await description();
  const state = new State(scene);
  const history = new History(state);
  const connection = new Connection(new URLSearchParams(location.search).get("token") ?? "");
  const live = new LiveFrames(connection, () => state.request());
  const bmode = new BModeView(byId("bmode-canvas"), state);
  const view = new SceneView(byId("mri-canvas"), byId("fan-canvas"), state);
  const sceneControl = new SceneControl(view, state, history);
  const registration = new RegistrationPanel(byId("registration"), connection, state, history, announcer);
  const saving = new Saving(byId("saving"), state, history, announcer, () => screenshot(view, bmode));
  new ProbeControl(byId("bmode-canvas"), bmode, state, history);
  new ProbeKeys(byId("pad"), state, history);
  new SettingsPanel(byId("settings"), byId("reset-settings"), state, history);
  new Readout(byId("readout"), state);
  new Comparison(byId("compare"), bmode, scene.ultrasound);
  fillHelp(byId("help"), byId("help-keys"), byId("show-help"));
  showSubject(scene);
  showImages(connection, live, bmode, view, state);
  showConnection(connection, scene);
  connectHistory(history, state);
  connectViewOptions(view);
  for (const event of ["pose", "settings"]) state.addEventListener(event, () => live.ask());
  // For tests and for the curious: what the page holds.
  window.diffus = { scene, state, history, connection, live, bmode, view, sceneControl, registration, saving };
  connection.open();
  await view.load("/volume/mri.nii.gz");
  byId("loading").hidden = true;
}

async function description() {
  const response = await fetch("/scene.json", { cache: "no-store" });
  if (response.ok) return response.json();
  const { message } = await response.json().catch(() => ({ message: `the server answered ${response.status}` }));
  throw new Error(message);
}

function showSubject(scene) {
  byId("subject").textContent = [scene.volume.name, ...scene.models, `${scene.probe.kind} probe`].join(" · ");
  document.title = `${scene.volume.name} – DiffUS viewer`;
}

function showImages(connection, live, bmode, view, state) {
  live.addEventListener("frame", ({ detail: frame }) => {
    if (frame.outline_mm) state.setOutline(frame.outline_mm);
    bmode.setFrame(frame);
    view.setImage(bitmapOf(frame));
  });
  connection.addEventListener("ultrasound", ({ detail }) => bmode.setReal(detail));
  live.addEventListener("refused", ({ detail }) => {
    bmode.refuse(detail);
    announcer.readOut(detail);
  });
  connection.addEventListener("refused", ({ detail: { id, message } }) => {
    if (id === null) announcer.say(message, "error");
  });
  live.addEventListener("speed", ({ detail: { rate, latency_ms } }) => {
    const latency = latency_ms === null ? "" : `${Math.round(latency_ms)} ms from move to image`;
    byId("speed").textContent = rate > 1 ? `${rate} images/s · ${latency}` : latency;
  });
}

function showConnection(connection, scene) {
  connection.addEventListener("open", async () => {
    announcer.hideBanner();
    const now = await description().catch(() => null);
    const isOther = now && JSON.stringify(now.volume) !== JSON.stringify(scene.volume);
    if (isOther) announcer.showBanner("The server now shows another volume: load this page again.");
  });
  connection.addEventListener("lost", ({ detail }) => {
    announcer.showBanner(`Connection lost. Trying again in ${detail} s; your pose and settings are kept.`);
  });
  connection.addEventListener("denied", () => {
    announcer.showBanner("The server has been started anew with another token: open the address that it printed.");
  });
}

function connectHistory(history, state) {
  const [undo, redo, toStart] = [byId("undo"), byId("redo"), byId("to-start")];
  undo.addEventListener("click", () => history.undo());
  redo.addEventListener("click", () => history.redo());
  const show = () => {
    undo.disabled = state.locked || history.past.length === 0;
    redo.disabled = state.locked || history.future.length === 0;
    toStart.disabled = state.locked;
  };
  history.addEventListener("change", show);
  state.addEventListener("lock", show);
  toStart.addEventListener("click", () => {
    state.setPose(state.start.pose);
    history.commit();
  });
  document.addEventListener("keydown", (event) => {
    if (!(event.ctrlKey || event.metaKey) || event.target.closest?.("input:not([type='range'])")) return;
    const key = event.key.toLowerCase();
    if (key !== "z" && key !== "y") return;
    event.preventDefault();
    if (key === "y" || event.shiftKey) history.redo();
    else history.undo();
  });
}

function connectViewOptions(view) {
  byId("follow").addEventListener("change", ({ target }) => view.setFollows(target.checked));
  byId("cut-open").addEventListener("change", ({ target }) => view.setCutsOpen(target.checked));
}
