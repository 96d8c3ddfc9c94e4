// Paints spread over frames, so that no frame of a slow device takes long.

export class Frames {
  #waiting = new Map(); // name -> what paints it, the newest only
  #queued = null;

  /** Paints in one of the next frames, unless something newer of this name comes before. */
  paint(name, work) {
    this.#waiting.set(name, work);
    this.#queued ??= requestAnimationFrame(() => this.#next());
  }

  stop() {
    this.#waiting.clear();
    cancelAnimationFrame(this.#queued);
    this.#queued = null;
  }

  #next() {
    const [[name, work]] = this.#waiting;
    this.#waiting.delete(name);
    this.#queued = this.#waiting.size ? requestAnimationFrame(() => this.#next()) : null;
    work();
  }
}
