// Says to assistive technology what matters most, and not more often than it can be listened to.

import { byId } from "./dom.js";

const PAUSE_MS = 3000;

export class Announcer {
  #next = null;
  #timer = null;

  /** Announces `text`; of several within three seconds, the newest. */
  say(text) {
    this.#next = text;
    if (this.#timer) return;
    this.#flush();
  }

  #flush() {
    if (this.#next !== null) {
      byId("announcement").textContent = this.#next;
      this.#next = null;
      this.#timer = setTimeout(() => {
        this.#timer = null;
        this.#flush();
      }, PAUSE_MS);
    }
  }
}
