// Shows whether the data is live: a badge in the header, and a banner while it is not; and what to do without any data.

import { announce, byId, el, setData, setText } from "./dom.js";
import { clock, span } from "./format.js";

const TEXT = { connecting: "Connecting", live: "Live", reconnecting: "Reconnecting", outage: "Outage", refused: "Locked" };
const BAD = ["reconnecting", "outage"];

export class Connection {
  #state = "connecting";
  #seenAt = null; // when data last came
  #isRedisAway = false;

  /** The stream's state; `failures` in a row. It is live only when data comes: see `heard`. */
  show(state, failures = 0) {
    if (state === "live") return;
    this.#isRedisAway = false;
    this.#enter(state, failures ? `Tried ${failures} times; tries again by itself` : "");
    const isLasting = state === "outage" || (state === "reconnecting" && failures > 1);
    this.#explain(isLasting ? "No connection to the server; trying again by itself." : "", "");
  }

  /** The server answers, but Redis has not for `awayForMs`; `text` says what the server was told. */
  showOutage(text, awayForMs) {
    this.#isRedisAway = true;
    this.#enter("outage", text);
    const [what] = text.split(": "); // the badge's tooltip has the whole text, for operators
    const since = awayForMs < 1000 ? "" : ` (for ${span(awayForMs)} so far)`;
    this.#explain(`${what}${since}.`, "This page goes on by itself when Redis answers.");
  }

  /** Data has arrived. */
  heard() {
    this.#seenAt = Date.now();
    if (this.#state === "live") return;
    this.#isRedisAway = false;
    this.#enter("live", "");
    this.#explain("", "");
  }

  /** Why there is no data: "redis", "server", or "" while there is, or it is too early to tell. */
  get trouble() {
    if (!BAD.includes(this.#state)) return "";
    return this.#isRedisAway ? "redis" : "server";
  }

  #enter(state, hint) {
    const before = this.#state;
    this.#state = state;
    const sign = byId("connection");
    setData(sign, "state", state);
    setText(sign.lastElementChild, TEXT[state]);
    sign.title = hint;
    document.body.classList.toggle("out", BAD.includes(state) && this.#seenAt !== null);
    if (before !== state && state === "outage") announce("No live data.");
    if (BAD.includes(before) && state === "live") announce("Data is live again.");
  }

  #explain(what, then) {
    const seen = this.#seenAt === null ? "" : `What you see is from ${clock(this.#seenAt)}.`;
    byId("banner").hidden = !what;
    setData(byId("banner"), "tone", this.#seenAt === null ? "calm" : "");
    setText(byId("banner"), what && [what, seen, then].filter(Boolean).join(" "));
  }
}

const TROUBLE = {
  "": ["Waiting for the first data.", []],
  redis: [
    "No data yet: the server has no answer from Redis",
    [
      "You need not reload: the page fills itself as soon as Redis answers.",
      "If you run this deployment: see whether Redis runs, and whether REDIS_URL of the web server names it.",
      "The health check /readyz and the web server's log say what is wrong.",
    ],
  ],
  server: [
    "No data yet: the server does not answer",
    [
      "You need not reload: the page tries again by itself.",
      "If you run this deployment: see whether tickfence web runs, and whether a proxy in front of it lets streams through.",
    ],
  ],
};

/** Shows in `element` why there is no data; `trouble` is that of `Connection`. */
export function explainNoData(element, trouble) {
  if (element.dataset.trouble === trouble) return;
  element.dataset.trouble = trouble;
  const [title, hints] = TROUBLE[trouble];
  element.replaceChildren(
    hints.length ? el("strong", {}, title) : title,
    ...(hints.length ? [el("ul", {}, ...hints.map((hint) => el("li", {}, hint)))] : []),
  );
}
