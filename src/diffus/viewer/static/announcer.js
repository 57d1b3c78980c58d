/** Messages to the user: a short notice that is also read out, and a banner that stays. */

const SHOWN_MS = 6000;

export class Announcer {
  #timer = null;

  /** @param {HTMLElement} notice live region for notices. @param {HTMLElement} banner for what must be mended. */
  constructor(notice, banner) {
    this.notice = notice;
    this.banner = banner;
  }

  /** For those who listen only: what others see elsewhere. */
  readOut(text) {
    if (this.notice.textContent !== text) this.notice.textContent = text; // the same is not read out again
  }

  say(text, kind = "info") {
    clearTimeout(this.#timer);
    this.readOut(text);
    this.notice.dataset.kind = kind;
    this.notice.classList.add("shown");
    this.#timer = setTimeout(() => this.notice.classList.remove("shown"), SHOWN_MS);
  }

  showBanner(text) {
    if (this.banner.textContent !== text) this.banner.textContent = text;
    this.banner.hidden = false;
  }

  hideBanner() {
    this.banner.hidden = true;
    this.banner.textContent = "";
  }
}
