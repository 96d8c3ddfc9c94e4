// Announces the most important changes to assistive technology, no more often than a listener can follow.

import { byId } from "./dom.js";

const PAUSE_MS = 3000;

export class Announcer {
  #next = null;
  #timer = null;

  /** Announces `text`; of several texts within three seconds, only the latest. */
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
