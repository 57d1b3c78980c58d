/** The MRI in three planes and in 3D (NiiVue), with the probe's sector drawn over it. */

import { Niivue, NVImage } from "./vendor/niivue.js";
import { drawFan, facing } from "./fan_overlay.js";
import { axis, dot, entry, norm, scale, subtract, toWorld } from "./pose.js";
import { RenderTile, tilesOf } from "./projection.js";
import { drawTileLabels } from "./tile_labels.js";

const LAYOUT = [
  { sliceType: 0, position: [0, 0, 0.498, 0.498] },
  { sliceType: 1, position: [0.502, 0, 0.498, 0.498] },
  { sliceType: 2, position: [0, 0.502, 0.498, 0.498] },
  { sliceType: 4, position: [0.502, 0.502, 0.498, 0.498] },
];
const MARGIN = 0.92; // share of a slice's tile that the volume takes: the probe stands outside of the head
const ZOOM_3D = 1.1;
const SLOW_MS = 120; // where drawing the MRI takes longer, it follows the probe when that rests
const REST_MS = 200;
const POLL_MS = 8;
const RADIANS = Math.PI / 180;
const LEAST_KEPT = 0.1; // of the volume's size: less is no view of the head
const NO_CLIP = [2, 0, 0];

export class SceneView {
  #drawing_ms = 0;
  #isDrawing = false;
  #isDue = false;
  #isOverlayDue = false;
  #rest = null;

  /**
   * @param {HTMLCanvasElement} canvas NiiVue's. @param {HTMLCanvasElement} overlay above it, for the sector.
   * @param {import("./state.js").State} state
   */
  constructor(canvas, overlay, state) {
    this.canvas = canvas;
    this.overlay = overlay;
    this.state = state;
    this.image = null;
    this.isReady = false;
    this.reach_mm = state.depth_mm / 2;
    this.follows = true;
    this.cutsOpen = true;
    this.point = toWorld(state.pose, [0, 0, this.reach_mm]);
    this.nv = new Niivue({
      isSliceMM: true,
      interactive: false,
      dragAndDropEnabled: false,
      isRadiologicalConvention: true,
      sagittalNoseLeft: true,
      crosshairWidth: 0,
      fontColor: [0.62, 0.68, 0.72, 1],
      fontMinPx: 12,
      backColor: [0, 0, 0, 1],
      clipPlaneColor: [0, 0, 0, 0],
      loadingText: "",
      logLevel: "error",
    });
    const draw = this.nv.drawScene.bind(this.nv);
    this.nv.drawScene = () => {
      if (!this.isReady) return; // each step of loading would draw all
      draw();
      this.#drawOverlay();
    };
  }

  /** Whether the MRI is drawn as the state says. */
  get isSettled() {
    return !this.#isDrawing && !this.#isDue && this.#rest === null;
  }

  /** Loads the MRI and shows it where the probe stands. */
  async load(url) {
    await this.nv.attachToCanvas(this.canvas);
    const response = await fetch(url);
    if (!response.ok) throw new Error(`the MRI could not be loaded: the server answered ${response.status}`);
    const file = await response.arrayBuffer();
    this.nv.addVolume(await NVImage.loadFromUrl({ url: file, name: "mri.nii.gz", colormap: "gray" }));
    this.#leaveRoomForTheProbe();
    [this.nv.scene.renderAzimuth, this.nv.scene.renderElevation] = this.#viewOfTheImagePlane();
    this.nv.setCustomLayout(LAYOUT);
    this.isReady = true;
    for (const event of ["pose", "limits"]) this.state.addEventListener(event, () => this.poseChanged());
    this.followNow();
    while (!this.isSettled) await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    if (this.#drawing_ms <= SLOW_MS) await this.light();
  }

  /** Lights the surface in 3D; on a machine without a graphics card that takes many seconds. */
  async light() {
    await this.nv.setVolumeRenderIllumination(0.5);
    this.#requestDrawing();
  }

  /** Tiles as drawn last. */
  get tiles() {
    return tilesOf(this.nv);
  }

  /** A frame to show in its place in 3D; see `bmode.js`. */
  setImage(image) {
    this.image = image;
    this.#requestOverlay();
  }

  /** Turns the 3D view by degrees. */
  orbit(azimuth, elevation) {
    const scene = this.nv.scene;
    scene.renderAzimuth = (scene.renderAzimuth + azimuth + 360) % 360;
    scene.renderElevation = Math.max(-90, Math.min(90, scene.renderElevation + elevation));
    this.#requestDrawing();
  }

  zoom(factor) {
    const { scene } = this.nv;
    scene.sceneData.volScaleMultiplier = Math.max(0.4, Math.min(4, scene.volScaleMultiplier * factor));
    this.#requestDrawing();
  }

  /** Shows the slices through a point; the probe stays. */
  lookAt(point) {
    this.point = point;
    this.#requestDrawing();
  }

  setFollows(follows) {
    this.follows = follows;
    if (follows) this.followNow();
  }

  setCutsOpen(cutsOpen) {
    this.cutsOpen = cutsOpen;
    this.#requestDrawing();
  }

  /** Looks through the point of the beam at a depth from now on: where the user has aimed. */
  setReach(depth_mm) {
    this.reach_mm = depth_mm;
  }

  followNow() {
    this.lookAt(toWorld(this.state.pose, [0, 0, this.reach_mm]));
  }

  poseChanged() {
    this.#requestOverlay();
    if (!this.follows) return;
    if (this.#drawing_ms <= SLOW_MS) {
      this.followNow();
      return;
    }
    clearTimeout(this.#rest);
    this.#rest = setTimeout(() => {
      this.#rest = null;
      this.followNow();
    }, REST_MS);
  }

  /** Draws the MRI, one drawing at a time: what is asked for meanwhile is drawn after it, once. */
  #requestDrawing() {
    if (this.#isDue || !this.isReady) return;
    this.#isDue = true;
    if (!this.#isDrawing) requestAnimationFrame(() => this.#draw());
  }

  #draw() {
    this.#isDue = false;
    this.#isDrawing = true;
    this.nv.scene.crosshairPos = this.nv.mm2frac(this.point);
    this.nv.scene.clipPlaneDepthAziElevs = [this.cutsOpen ? this.#clipPlane() : NO_CLIP];
    const start = performance.now();
    this.nv.drawScene();
    const { gl } = this.nv;
    const fence = gl.fenceSync(gl.SYNC_GPU_COMMANDS_COMPLETE, 0);
    gl.flush();
    const wait = () => {
      if (gl.getSyncParameter(fence, gl.SYNC_STATUS) !== gl.SIGNALED && !gl.isContextLost()) {
        setTimeout(wait, POLL_MS);
        return;
      }
      gl.deleteSync(fence);
      this.#drawing_ms = performance.now() - start;
      this.#isDrawing = false;
      if (this.#isDue) this.#draw();
    };
    setTimeout(wait, 0);
  }

  #requestOverlay() {
    if (this.#isOverlayDue) return;
    this.#isOverlayDue = true;
    requestAnimationFrame(() => this.#drawOverlay());
  }

  #drawOverlay() {
    this.#isOverlayDue = false;
    if (!this.isReady) return;
    const { overlay, canvas } = this;
    if (overlay.width !== canvas.width || overlay.height !== canvas.height) {
      overlay.width = canvas.width;
      overlay.height = canvas.height;
    }
    const ratio = canvas.width / Math.max(1, canvas.clientWidth);
    const { pose, outline_mm } = this.state;
    const context = overlay.getContext("2d");
    drawFan(context, this.tiles, { pose, outline_mm, image: this.image, ratio });
    drawTileLabels(context, LAYOUT, this.point, ratio);
  }

  #leaveRoomForTheProbe() {
    const [low, high] = this.nv.sceneExtentsMinMax();
    const centre = [0, 1, 2].map((i) => (low[i] + high[i]) / 2);
    this.nv.scene.pan2Dxyzmm = [...scale(centre, 1 - MARGIN), MARGIN];
    this.nv.scene.sceneData.volScaleMultiplier = ZOOM_3D;
  }

  /** Azimuth and elevation from which the image plane is seen well, and the probe is in front. */
  #viewOfTheImagePlane() {
    const [low, high] = this.nv.sceneExtentsMinMax();
    const outwards = subtract(entry(this.state.pose), [0, 1, 2].map((i) => (low[i] + high[i]) / 2));
    let best = [-Infinity, 0, 0];
    for (let azimuth = 0; azimuth < 360; azimuth += 15) {
      for (const elevation of [10, 25, 40, 55]) {
        const view = new RenderTile(this.nv, [0, 0, 1, 1], azimuth, elevation);
        const near = dot(outwards, view.towardsViewer) / (norm(outwards) + 1);
        const score = Math.min(0.85, Math.abs(facing(view, this.state.pose))) + 0.4 * near;
        if (score > best[0]) best = [score, azimuth, elevation];
      }
    }
    return best.slice(1);
  }

  /**
   * Where the head is cut open in 3D: along the image plane, on the viewer's side.
   *
   * In NiiVue's texture coordinates, 0 to 1, it keeps n (p - 1/2) + a > 0. It takes a, and n as two angles:
   * n = (cos el cos(az + 90), cos el sin(az + 90), -sin el).
   */
  #clipPlane() {
    const { renderAzimuth, renderElevation } = this.nv.scene;
    const view = new RenderTile(this.nv, [0, 0, 1, 1], renderAzimuth, renderElevation);
    const normal = scale(axis(this.state.pose, 1), facing(view, this.state.pose) > 0 ? -1 : 1);
    const corner = this.#fracToWorld([0, 0, 0]);
    const edges = [[1, 0, 0], [0, 1, 0], [0, 0, 1]].map((f) => subtract(this.#fracToWorld(f), corner));
    const inTexture = edges.map((edge) => dot(normal, edge));
    const length = norm(inTexture);
    const unit = scale(inTexture, 1 / length);
    const offset = dot(normal, subtract(corner, entry(this.state.pose))) / length + (unit[0] + unit[1] + unit[2]) / 2;
    const azimuth = Math.atan2(unit[1], unit[0]) / RADIANS - 90;
    const kept = offset + (Math.abs(unit[0]) + Math.abs(unit[1]) + Math.abs(unit[2])) / 2; // at the farthest corner
    return Math.abs(offset) > 1 || kept < LEAST_KEPT ? NO_CLIP : [offset, azimuth, -Math.asin(unit[2]) / RADIANS];
  }

  #fracToWorld(frac) {
    return [...this.nv.frac2mm(frac)].slice(0, 3);
  }
}
