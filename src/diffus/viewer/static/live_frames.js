/** Asks for frames as fast as the server gives them, and no faster: only the newest pose waits. */

const OUTSTANDING = 2; // one that is rendered, and one that waits for it at the server
const RATE_OVER_MS = 1000;

/**
 * Events: "frame" (detail: the frame) for each frame that comes; "refused" (detail: why) where there is none;
 * "speed" (detail: {rate, latency_ms}) after each frame, and with rate 0 at rest.
 */
export class LiveFrames extends EventTarget {
  #sent = new Map();
  #isWaiting = false;
  #arrivals = [];
  #rest = null;

  /**
   * @param {import("./connection.js").Connection} connection
   * @param {() => object} request what to ask for now: pose, probe and settings.
   */
  constructor(connection, request) {
    super();
    this.connection = connection;
    this.request = request;
    this.latest = null;
    connection.addEventListener("frame", ({ detail }) => this.#received(detail));
    connection.addEventListener("refused", ({ detail }) => this.#refused(detail));
    connection.addEventListener("open", () => {
      this.#sent.clear();
      this.ask();
    });
  }

  /** Whether every change so far is on the screen. */
  get isSettled() {
    return !this.#isWaiting && this.#sent.size === 0;
  }

  /** Ask for a frame of the state as it is when there is room for the request. */
  ask() {
    this.#isWaiting = true;
    this.#send();
  }

  #send() {
    if (!this.#isWaiting || this.#sent.size >= OUTSTANDING) return;
    const id = this.connection.nextId();
    if (!this.connection.send({ type: "render", id, ...this.request() })) return;
    this.#sent.set(id, performance.now());
    this.#isWaiting = false;
  }

  #received(frame) {
    const now = performance.now();
    const latency_ms = this.#sent.has(frame.id) ? now - this.#sent.get(frame.id) : null;
    this.#arrivals = [...this.#arrivals.filter((time) => now - time < RATE_OVER_MS), now];
    this.latest = frame;
    this.dispatchEvent(new CustomEvent("frame", { detail: frame }));
    this.#tellSpeed(this.#arrivals.length, latency_ms);
    this.#settle(frame.id);
  }

  #refused(refusal) {
    if (!this.#sent.has(refusal.id)) return;
    this.dispatchEvent(new CustomEvent("refused", { detail: refusal.message }));
    this.#settle(refusal.id);
  }

  /** The rate while images come; at rest only how long the last one took. */
  #tellSpeed(rate, latency_ms) {
    this.dispatchEvent(new CustomEvent("speed", { detail: { rate, latency_ms } }));
    clearTimeout(this.#rest);
    if (rate > 0) this.#rest = setTimeout(() => this.#tellSpeed(0, latency_ms), RATE_OVER_MS);
  }

  /** Forgets this request and the older ones, which the server has dropped. */
  #settle(id) {
    for (const sent of [...this.#sent.keys()]) if (sent <= id) this.#sent.delete(sent);
    this.#send();
  }
}
