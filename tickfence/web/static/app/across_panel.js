// The same pair on every venue that is followed: best prices side by side, and the best of all.

import { el, setData, setText } from "./dom.js";
import { decimalsOf, fixed, quantity, span } from "./format.js";
import { addressOf } from "./route.js";
import { request } from "./session.js";

const EVERY_MS = 1000;
const ALONE_MS = 15_000; // operators may add another venue
const RETRY_MS = 3000;
const WHAT = "The same pair on each venue";
const HEADS = [
  ["Symbol", "text"],
  ["Bid qty", "number qty"],
  ["Bid", "number"],
  ["Ask", "number"],
  ["Ask qty", "number qty"],
  ["Spread, bps", "number wide"],
  ["Data age", "number wide"],
  ["Status", "text wide"],
];

export class AcrossPanel {
  pair = el("span", { class: "count" });
  counted = el("span", { class: "count" });
  element;
  #symbol;
  #onShown;
  #best;
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
    this.#best = row(el("span", {}, "Best"));
    const best = el("tfoot", {}, this.#best[0].parentNode);
    const caption = el("caption", { class: "unseen" }, WHAT);
    const table = el("table", {}, caption, el("thead", {}, el("tr", {}, ...heads)), this.#body, best);
    const scroller = { class: "scroller list", tabindex: "0", role: "group", "aria-label": WHAT };
    this.element = el("div", scroller, table);
  }

  /** Names the symbols that are known to be of the pair, before their prices come. */
  expect(symbols) {
    if (symbols.length < 2) return;
    this.#keepRows(symbols);
    this.#onShown(true);
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
    let wait = EVERY_MS;
    try {
      if (!document.hidden) {
        const answer = await request(`v1/pairs/${encodeURIComponent(name)}`, { signal: this.#gone.signal });
        const found = answer.ok ? await answer.json() : null;
        if (name !== this.#name) return;
        wait = found ? this.#show(found) : this.#fail(answer.status);
      }
    } catch (error) {
      if (error.name === "AbortError") return;
      console.info(`No prices of ${name} on other venues: ${error.message}`);
      if (name === this.#name) wait = this.#fail();
    }
    if (this.#gone.signal.aborted || name !== this.#name) return;
    this.#timer = setTimeout(() => this.#read(), wait);
  }

  #show({ pair, venues, bestBid, bestAsk, spreadBps }) {
    this.#onShown(venues.length > 1);
    if (venues.length < 2) return ALONE_MS;
    const decimals = Math.max(...venues.flatMap(({ bid, ask }) => [bid?.price, ask?.price].map(decimalsOf)));
    this.element.classList.remove("old");
    setText(this.pair, pair);
    setText(this.counted, `${venues.filter(({ fresh }) => fresh).length} of ${venues.length} are fresh`);
    this.#keepRows(venues.map(({ symbol }) => symbol));
    for (const venue of venues) this.#paint(this.#rows.get(venue.symbol), venue, bestBid, bestAsk, decimals);
    const where = whereBest(bestBid, bestAsk, spreadBps);
    paint(this.#best, { bid: bestBid, ask: bestAsk, spreadBps }, decimals, "", where, where);
    return EVERY_MS;
  }

  /** What is shown is from before; of an unknown pair nothing is. */
  #fail(status) {
    if (status === 404) this.#onShown(false);
    this.element.classList.add("old");
    setText(this.counted, "no answer, these are old");
    return status === 404 ? ALONE_MS : RETRY_MS;
  }

  // A row keeps its elements: a link that has the focus keeps it.
  #keepRows(symbols) {
    if (symbols.join() === [...this.#rows.keys()].join()) return;
    this.#rows = new Map(symbols.map((symbol) => [symbol, this.#rows.get(symbol) ?? this.#row(symbol)]));
    this.#body.replaceChildren(...[...this.#rows.values()].map((cells) => cells[0].parentNode));
  }

  #row(symbol) {
    const isOwn = symbol === this.#symbol;
    return row(isOwn ? el("strong", { "aria-current": "page" }, symbol) : el("a", { href: addressOf(symbol) }, symbol));
  }

  #paint(cells, venue, bestBid, bestAsk, decimals) {
    const { symbol, fresh, reason, ageMs } = venue;
    paint(cells, venue, decimals, span(ageMs), fresh ? "fresh" : `not counted: ${reason}`, fresh ? "" : reason);
    setData(cells[2], "best", bestBid?.symbol === symbol ? "bid" : "");
    setData(cells[3], "best", bestAsk?.symbol === symbol ? "ask" : "");
    cells[0].parentNode.classList.toggle("stale", !fresh);
  }
}

/** The cells of a new row. The first has a note, for screens without room for the status. */
function row(name) {
  const cells = HEADS.map(([, kind], place) =>
    place ? el("td", { class: kind }) : el("th", { class: kind, scope: "row" }, name, el("small")),
  );
  el("tr", {}, ...cells);
  return cells;
}

function paint(cells, { bid, ask, spreadBps }, decimals, age, status, note) {
  const texts = [quantity(bid?.qty), fixed(bid?.price, decimals), fixed(ask?.price, decimals), quantity(ask?.qty)];
  [...texts, fixed(spreadBps, 2), age, status].forEach((text, place) => setText(cells[place + 1], text));
  setText(cells[0].lastChild, note);
}

function whereBest(bid, ask, spreadBps) {
  if (!bid && !ask) return "no venue is fresh";
  if (spreadBps != null && spreadBps < 0) return `crossed: ${bid.symbol} bids more than ${ask.symbol} asks`;
  return [bid && `bid: ${bid.symbol}`, ask && `ask: ${ask.symbol}`].filter(Boolean).join(", ");
}
