/** The WebSocket to the server: takes its messages apart, and comes back by itself after a loss. */

const FIRST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 10_000;
const HEADER_LENGTH_BYTES = 4;

/**
 * Events: "open"; "lost" (detail: seconds until the next try); "denied" when the server refuses the token;
 * and one named after the type of each message of the server, with the message as detail. Images come as
 * `frame` and `ultrasound`, with the grey values in `pixels`.
 */
export class Connection extends EventTarget {
  #socket = null;
  #wait = FIRST_WAIT_MS;
  #timer = null;
  #id = 0;

  /** @param {string} token from the address of the page; empty where a cookie carries it. */
  constructor(token) {
    super();
    this.token = token;
  }

  get isOpen() {
    return this.#socket?.readyState === WebSocket.OPEN;
  }

  open() {
    clearTimeout(this.#timer);
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    const query = this.token ? `?token=${encodeURIComponent(this.token)}` : "";
    const socket = new WebSocket(`${scheme}://${location.host}/live${query}`);
    socket.binaryType = "arraybuffer";
    socket.addEventListener("open", () => {
      this.#wait = FIRST_WAIT_MS;
      this.dispatchEvent(new Event("open"));
    });
    socket.addEventListener("message", ({ data }) => this.#receive(data));
    socket.addEventListener("close", () => this.#comeBack());
    this.#socket = socket;
  }

  /** A number for a message that is answered: each only once. */
  nextId() {
    this.#id += 1;
    return this.#id;
  }

  /** Sends a message; false where there is no connection to send it over. */
  send(message) {
    if (!this.isOpen) return false;
    this.#socket.send(JSON.stringify(message));
    return true;
  }

  #receive(data) {
    const message = typeof data === "string" ? JSON.parse(data) : readImage(data);
    this.dispatchEvent(new CustomEvent(message.type, { detail: message }));
  }

  async #comeBack() {
    const wait = this.#wait;
    this.#wait = Math.min(2 * wait, LONGEST_WAIT_MS);
    this.dispatchEvent(new CustomEvent("lost", { detail: wait / 1000 }));
    if (await isDenied()) {
      this.dispatchEvent(new Event("denied"));
      this.#wait = LONGEST_WAIT_MS;
    }
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.open(), this.#wait === LONGEST_WAIT_MS ? LONGEST_WAIT_MS : wait);
  }
}

/** An image message: length of the header (uint32, little-endian), JSON header, grey values. */
export function readImage(buffer) {
  const length = new DataView(buffer).getUint32(0, true);
  const header = new TextDecoder().decode(new Uint8Array(buffer, HEADER_LENGTH_BYTES, length));
  const message = JSON.parse(header);
  message.pixels = new Uint8Array(buffer, HEADER_LENGTH_BYTES + length);
  if (message.pixels.length !== message.width * message.height) {
    throw new Error(`an image of ${message.width} x ${message.height} came with ${message.pixels.length} values`);
  }
  return message;
}

async function isDenied() {
  try {
    return (await fetch("/scene.json", { cache: "no-store" })).status === 403;
  } catch {
    return false;
  }
}
