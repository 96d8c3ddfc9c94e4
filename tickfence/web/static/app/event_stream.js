// One server-sent stream that reconnects and reports its state.
// It uses fetch(), because EventSource cannot send the Authorization header.

import { request } from "./session.js";

const FIRST_DELAY_MS = 250;
const LONGEST_DELAY_MS = 8000;
const FIRST_MESSAGE_MS = 6000; // it comes within a second
const OUTAGE_MS = 10_000;
const SETTLED_MS = 5000; // a connection that ends sooner counts as one more failure

/** How long to wait before attempt `failures`, in ms: exponential backoff, half of it random. */
export function backoff(failures, random = Math.random()) {
  const full = Math.min(LONGEST_DELAY_MS, FIRST_DELAY_MS * 2 ** (failures - 1));
  return full * (0.5 + random / 2);
}

class Refused extends Error {
  constructor(status) {
    super(`refused with status ${status}`);
    this.status = status;
  }
}

export class EventStream {
  #path;
  #silenceMs;
  #refusals;
  #handlers;
  #abort = null;
  #wake = null;
  #lostAt = null;

  /**
   * silenceMs: after its first message, a server that lives is never silent for this long; then the connection is dropped.
   * handlers:
   *   onMessage(event, data): an event's name and its parsed JSON.
   *   onState(state, failures): "connecting", "live", "reconnecting", or "outage" after 10 s without.
   *   onRefused(status): the server refuses with one of the statuses `refusals`; the stream ends until start() is called.
   */
  constructor(path, { silenceMs, refusals, ...handlers }) {
    this.#path = path;
    this.#silenceMs = silenceMs;
    this.#refusals = refusals;
    this.#handlers = handlers;
  }

  start() {
    if (this.#abort) return;
    this.#abort = new AbortController();
    this.#lostAt = performance.now();
    this.#keepUp(this.#abort);
  }

  stop() {
    this.#abort?.abort();
    this.#abort = null;
    this.#wake?.();
  }

  /** Tries at once instead of waiting: the network is back, or the tab is visible again. */
  hurry() {
    this.#wake?.();
  }

  async #keepUp(abort) {
    this.#handlers.onState("connecting", 0);
    for (let failures = 0; !abort.signal.aborted; ) {
      let liveAt = null;
      try {
        await this.#read(abort, () => {
          liveAt = performance.now();
          this.#lostAt = null;
          this.#handlers.onState("live", 0);
        });
      } catch (error) {
        if (abort.signal.aborted) return;
        if (error instanceof Refused) {
          this.#abort = null;
          this.#handlers.onRefused(error.status);
          return;
        }
        console.info(`${this.#path}: ${error.message}`);
      }
      if (abort.signal.aborted) return;
      const wasSettled = liveAt !== null && performance.now() - liveAt >= SETTLED_MS;
      failures = wasSettled ? 1 : failures + 1;
      this.#lostAt ??= performance.now();
      const isLong = performance.now() - this.#lostAt > OUTAGE_MS;
      this.#handlers.onState(isLong ? "outage" : "reconnecting", failures);
      await this.#pause(backoff(failures));
    }
  }

  /** One connection from start to end; throws when it breaks or is silent for too long. */
  async #read(abort, onLive) {
    const once = new AbortController();
    const end = () => once.abort();
    abort.signal.addEventListener("abort", end);
    let silence = setTimeout(end, FIRST_MESSAGE_MS);
    try {
      const answer = await request(this.#path, { signal: once.signal, headers: { Accept: "text/event-stream" } });
      if (this.#refusals.includes(answer.status)) throw new Refused(answer.status);
      if (!answer.ok) throw new Error(`answered with status ${answer.status}`);
      const parser = new SseParser();
      const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
      onLive();
      for (;;) {
        const { done, value } = await reader.read();
        if (done) throw new Error("the server ended the stream");
        clearTimeout(silence);
        silence = setTimeout(end, this.#silenceMs);
        for (const { event, data } of parser.push(value)) this.#tell(event, JSON.parse(data));
      }
    } finally {
      clearTimeout(silence);
      abort.signal.removeEventListener("abort", end);
      once.abort();
    }
  }

  #tell(event, message) {
    try {
      this.#handlers.onMessage(event, message);
    } catch (error) {
      reportError(error); // an error of the page is no reason to reconnect
    }
  }

  #pause(ms) {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, ms);
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
}

/** `push(text)` returns the complete events: `{ event, data }`. */
export class SseParser {
  #rest = "";
  #event = "";
  #data = [];

  push(text) {
    const complete = [];
    // A piece may end between the two characters of a line end: keep that one for the next piece.
    const lines = (this.#rest + text).split(/\r\n|\n|\r(?!$)/);
    this.#rest = lines.pop();
    for (const line of lines) {
      if (line === "") {
        if (this.#data.length) complete.push({ event: this.#event || "message", data: this.#data.join("\n") });
        this.#event = "";
        this.#data = [];
      } else {
        this.#field(line);
      }
    }
    return complete;
  }

  #field(line) {
    const colon = line.indexOf(":");
    if (colon === 0) return; // a comment: the server's ping
    const name = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
    if (name === "event") this.#event = value;
    else if (name === "data") this.#data.push(value);
  }
}
