// The same pair on every venue that is followed: best prices side by side, and the best of all.

import { el, setData, setText } from "./dom.js";
import { decimalsOf, fixed, NOTHING, quantity, span } from "./format.js";
import { addressOf } from "./route.js";
import { request } from "./session.js";

const EVERY_MS = 1000;
const ALONE_MS = 15_000; // operators may add another venue
const HEADS = [
  ["Symbol", "text"],
  ["Bid", "number"],
  ["Ask", "number"],
  ["Spread, bps", "number"],
  ["Data age", "number"],
  ["Counts for the best", "text"],
];

export class AcrossPanel {
  pair = el("span", { class: "count" });
  best = el("span", { class: "count read-out" });
  element;
  #symbol;
  #onShown;
  #body = el("tbody");
  #rows = new Map(); // symbol -> cells
  #name = null;
  #timer = null;
  #gone = new AbortController();

  /** onShown(isShown): whether there is a second venue. */
  constructor(symbol, onShown) {
    this.#symbol = symbol;
    this.#onShown = onShown;
    const heads = HEADS.map(([label, kind]) => el("th", { scope: "col", class: kind }, label));
    const caption = el("caption", { class: "unseen" }, "The same pair on each venue");
    const table = el("table", {}, caption, el("thead", {}, el("tr", {}, ...heads)), this.#body);
    const scroller = { class: "scroller list", tabindex: "0", role: "group", "aria-label": "The same pair on each venue" };
    this.element = el("div", scroller, table);
  }

  /** Takes a report: it tells the pair. */
  follow({ base, quote }) {
    const name = base && quote ? `${base}-${quote}` : null;
    if (name === this.#name) return;
    this.#name = name;
    clearTimeout(this.#timer);
    if (name) this.#read();
    else this.#onShown(false);
  }

  close() {
    this.#gone.abort();
    clearTimeout(this.#timer);
  }

  async #read() {
    const name = this.#name;
    let wait = ALONE_MS;
    try {
      if (document.hidden) {
        wait = EVERY_MS;
      } else {
        const answer = await request(`v1/pairs/${encodeURIComponent(name)}`, { signal: this.#gone.signal });
        if (answer.ok && name === this.#name) wait = this.#show(await answer.json());
      }
    } catch (error) {
      if (error.name === "AbortError") return;
      console.info(`No prices of ${name} on other venues: ${error.message}`);
    }
    if (this.#gone.signal.aborted || name !== this.#name) return;
    this.#timer = setTimeout(() => this.#read(), wait);
  }

  #show({ pair, venues, bestBid, bestAsk, spreadBps }) {
    this.#onShown(venues.length > 1);
    if (venues.length < 2) return ALONE_MS;
    const decimals = Math.max(...venues.flatMap(({ bid, ask }) => [bid?.price, ask?.price].map(decimalsOf)));
    const at = (best) => (best ? `${fixed(best.price, decimals)} at ${best.venue}` : "none is fresh");
    const apart = spreadBps == null ? "" : `, ${fixed(spreadBps, 2)} bps apart`;
    setText(this.pair, pair);
    setText(this.best, `Best bid ${at(bestBid)}, best ask ${at(bestAsk)}${apart}`);
    this.#keepRows(venues.map(({ symbol }) => symbol));
    for (const venue of venues) this.#paint(this.#rows.get(venue.symbol), venue, bestBid, bestAsk, decimals);
    return EVERY_MS;
  }

  // A row keeps its elements: a link that has the focus keeps it.
  #keepRows(symbols) {
    if (symbols.join() === [...this.#rows.keys()].join()) return;
    this.#rows = new Map(symbols.map((symbol) => [symbol, this.#rows.get(symbol) ?? this.#row(symbol)]));
    this.#body.replaceChildren(...[...this.#rows.values()].map((cells) => cells[0].parentNode));
  }

  #row(symbol) {
    const isOwn = symbol === this.#symbol;
    const name = isOwn ? el("strong", { "aria-current": "page" }, symbol) : el("a", { href: addressOf(symbol) }, symbol);
    const cells = HEADS.map(([, kind], place) => el("td", { class: kind }, ...(place ? [] : [name])));
    el("tr", {}, ...cells);
    return cells;
  }

  #paint(cells, venue, bestBid, bestAsk, decimals) {
    const { symbol, bid, ask, spreadBps, ageMs, fresh, reason } = venue;
    const level = (found) => (found ? `${fixed(found.price, decimals)} × ${quantity(found.qty)}` : NOTHING);
    const texts = [level(bid), level(ask), fixed(spreadBps, 2), span(ageMs), fresh ? "yes" : `no: ${reason}`];
    texts.forEach((text, place) => setText(cells[place + 1], text));
    setData(cells[1], "best", bestBid?.symbol === symbol ? "bid" : "");
    setData(cells[2], "best", bestAsk?.symbol === symbol ? "ask" : "");
    cells[0].parentNode.classList.toggle("stale", !fresh);
  }
}
