// Parses server-sent events from text that arrives in pieces.
// https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation

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
