// The header of a symbol's view: name, price, writer and fencing token, and figures of the book.

import { el, setData, setText } from "./dom.js";
import { fixed, NOTHING, quantity, signed, signedQuantity, span, uncovered } from "./format.js";
import { STATUS_TEXT } from "./market.js";
import { colourBy, ownerTag, showOwner } from "./nodes.js";
import { addressOfNode, addressOfOverview } from "./route.js";

const FIGURES = [
  ["bid", "Best bid"],
  ["ask", "Best ask"],
  ["spread", "Spread"],
  ["micro", "Micro price"],
  ["range", "24 h low to high"],
  ["volume", "24 h volume"],
  ["trades", "Trades/s"],
  ["flow", "Net flow 30 s"],
];

export class SymbolHead {
  title;
  #price = el("p", { class: "price" }, NOTHING);
  #change = el("p", { class: "change" });
  #owner = ownerTag(null);
  #node = el("a", {}, this.#owner);
  #token = el("span", { class: "token", title: "Fencing token of the writer: never falls" });
  #status = el("span", { class: "status" });
  #age = el("span", { class: "age" });
  #figures = {};

  constructor(symbol) {
    this.title = el("h1", { tabindex: "-1" }, symbol);
    const figures = FIGURES.map(([name, label]) => {
      this.#figures[name] = el("dd", { "data-name": name }, NOTHING);
      return el("div", {}, el("dt", {}, label), this.#figures[name]);
    });
    this.element = el(
      "header",
      { class: "symbol-head" },
      el("nav", { "aria-label": "Back" }, el("a", { href: addressOfOverview(), class: "back" }, "← All symbols"), el("kbd", {}, "Esc")),
      el("div", { class: "title" }, this.title, this.#price, this.#change),
      el("p", { class: "writer" }, this.#node, this.#token, this.#status, this.#age),
      el("dl", { class: "figures" }, ...figures),
    );
  }

  show(report, decimals) {
    const price = (value) => fixed(value, decimals);
    const { window_sec: known, orders_per_sec: rate, net_flow: net } = report.flow;
    this.showPrice(report.last_price, decimals);
    setText(this.#change, report.change_24h_pct == null ? "" : `${signed(report.change_24h_pct)} % in 24 h`);
    setData(this.#change, "sign", report.change_24h_pct > 0 ? "up" : report.change_24h_pct < 0 ? "down" : "");
    const values = {
      bid: level(report.best_bid, price),
      ask: level(report.best_ask, price),
      spread: report.spread_bps == null ? NOTHING : `${fixed(report.spread_bps, 2)} bps`,
      micro: fixed(report.micro_price, decimals + 2),
      range: report.low_24h == null ? NOTHING : `${price(report.low_24h)} to ${price(report.high_24h)}`,
      volume: quantity(report.volume_24h),
      trades: rate == null ? uncovered(known, 10) : fixed(rate, 1),
      flow: net == null ? uncovered(known, 30) : signedQuantity(net),
    };
    this.#explain("trades", rate == null, known, 10);
    this.#explain("flow", net == null, known, 30);
    setText(this.#token, `token ${report.writer.writerToken}`);
    for (const [name, text] of Object.entries(values)) setText(this.#figures[name], text);
  }

  #explain(name, isUncovered, known, needed) {
    setData(this.#figures[name], "uncovered", isUncovered ? "yes" : "");
    this.#figures[name].title = isUncovered ? `Left out: the trades of ${known} s are known, it needs ${needed} s` : "";
  }

  /** Owner, status ("ok", "degraded", "down", "none") and age of the data in ms: they change between reports. */
  showState(owner, status, age) {
    showOwner(this.#owner, owner);
    if (owner) this.#node.href = addressOfNode(owner);
    else this.#node.removeAttribute("href");
    colourBy(this.element, owner);
    setData(this.#status, "status", status);
    setText(this.#status, STATUS_TEXT[status]);
    setText(this.#age, age === null ? "" : `data ${span(age)} old`);
  }

  refuse() {
    for (const part of this.element.querySelectorAll(".figures, .writer, .price")) part.hidden = true;
  }

  #before = null;

  showPrice(price, decimals) {
    setText(this.#price, fixed(price, decimals));
    if (this.#before !== null && price !== this.#before) setData(this.#price, "tick", price > this.#before ? "up" : "down");
    this.#before = price ?? null;
  }
}

function level(found, price) {
  return found ? `${price(found.price)} × ${quantity(found.qty)}` : NOTHING;
}
