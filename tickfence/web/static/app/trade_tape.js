// The newest trades, the newest on top.

import { el, setText } from "./dom.js";
import { clock, count, decimalsOf, fixed, quantity, thousandths } from "./format.js";
import { request } from "./session.js";

const EVERY_MS = 1000;
const RETRY_MS = 5000;
const SHOWN = 60;
const HEADS = [["Time", "text"], ["Side", "text"], ["Price", "number"], ["Quantity", "number"]];

export class TradeTape {
  element;
  count = el("span", { class: "count" });
  #symbol;
  #body = el("tbody");
  #table;
  #empty = el("p", { class: "empty" }, "Waiting for the trades.");
  #newest = "";
  #decimals = 0;
  #timer = null;
  #gone = new AbortController();

  constructor(symbol) {
    this.#symbol = symbol;
    const heads = HEADS.map(([label, kind]) => el("th", { scope: "col", class: kind }, label));
    const caption = el("caption", { class: "unseen" }, "Newest trades");
    this.#table = el("table", { hidden: true }, caption, el("thead", {}, el("tr", {}, ...heads)), this.#body);
    const scroller = { class: "scroller list", tabindex: "0", role: "group", "aria-label": "Newest trades" };
    this.element = el("div", scroller, this.#table, this.#empty);
  }

  open() {
    this.#read();
  }

  close() {
    this.#gone.abort();
    clearTimeout(this.#timer);
  }

  /** Times are shown in another zone. */
  redraw() {
    this.#newest = "";
  }

  async #read() {
    let wait = EVERY_MS;
    try {
      if (!document.hidden) {
        const address = `v1/trades/${encodeURIComponent(this.#symbol)}?limit=${SHOWN}`;
        const answer = await request(address, { signal: this.#gone.signal });
        if (answer.status === 404) return; // the symbol's stream says so
        if (!answer.ok) throw new Error(`status ${answer.status}`);
        this.#show((await answer.json()).trades);
      }
    } catch (error) {
      if (error.name === "AbortError") return;
      console.info(`No trades of ${this.#symbol}: ${error.message}`);
      setText(this.count, "no answer, these are old");
      wait = RETRY_MS;
    }
    if (!this.#gone.signal.aborted) this.#timer = setTimeout(() => this.#read(), wait);
  }

  #show(trades) {
    setText(this.#empty, "No trade of the last half hour is known.");
    this.#empty.hidden = trades.length > 0;
    this.#table.hidden = trades.length === 0;
    const newest = trades[0];
    setText(this.count, newest ? `newest ${count(trades.length, "trade")}` : "");
    const state = newest ? `${newest.time_ms}-${newest.id}` : "";
    if (!newest || state === this.#newest) return;
    this.#newest = state;
    this.#decimals = Math.max(this.#decimals, ...trades.map(({ price }) => decimalsOf(price)));
    this.#body.replaceChildren(...trades.map((trade) => this.#row(trade)));
  }

  #row({ time_ms: at, side, price, qty }) {
    const time = el("time", { datetime: new Date(at).toISOString() }, clock(at), el("span", { class: "fine" }, thousandths(at)));
    const name = el("span", { class: "side", "data-side": side === "buy" ? "bid" : "ask" }, side);
    const cells = [time, name, fixed(price, this.#decimals), quantity(qty)];
    return el("tr", {}, ...cells.map((cell, place) => el("td", { class: HEADS[place][1] }, cell)));
  }
}
