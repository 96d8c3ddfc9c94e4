// Shows whether the data is live: a badge in the header, and a banner while it is not.

import { byId, setData, setText } from "./dom.js";
import { clock } from "./format.js";

const TEXT = { connecting: "Connecting", live: "Live", reconnecting: "Reconnecting", outage: "Outage", refused: "Locked" };
const BAD = ["reconnecting", "outage"];

export class Connection {
  #state = "connecting";
  #lastLive = null;
  #outage = null; // the server's text about an outage of Redis

  /** announce(text): announces it to assistive technology. */
  constructor(announce) {
    this.announce = announce;
  }

  /** The stream's state; `failures` in a row. */
  show(state, failures = 0) {
    this.#outage = null;
    this.#enter(state, failures);
    const isLasting = state === "outage" || (state === "reconnecting" && failures > 1);
    this.#explain(isLasting ? "No connection to the server; trying again by itself." : "");
  }

  /** The server answers, but Redis does not: shows `text`. */
  showOutage(text) {
    this.#outage = text;
    this.#enter("outage");
    this.#explain(`${text}.`);
  }

  /** Data has arrived: an outage of Redis is over. */
  heard() {
    if (this.#outage !== null) this.show("live");
  }

  #enter(state, failures = 0) {
    const before = this.#state;
    this.#state = state;
    if (before === "live" && state !== "live") this.#lastLive = Date.now();
    const sign = byId("connection");
    setData(sign, "state", state);
    setText(sign.lastElementChild, TEXT[state]);
    sign.title = failures ? `Tried ${failures} times; tries again by itself` : "";
    document.body.classList.toggle("out", BAD.includes(state));
    if (before !== state && state === "outage") this.announce("No live data.");
    if (BAD.includes(before) && state === "live") this.announce("Data is live again.");
  }

  #explain(text) {
    const since = this.#lastLive ? ` What you see is from ${clock(this.#lastLive)}.` : "";
    byId("banner").hidden = !text;
    setText(byId("banner"), text && text + since);
  }
}
