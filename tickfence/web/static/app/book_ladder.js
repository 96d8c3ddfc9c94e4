// The best levels of the order book, bids beside asks: price, quantity, and the sum up to there.

import { el, setData, setText } from "./dom.js";
import { fixed, quantity } from "./format.js";

const LEVELS = 20;
const HEADS = [
  ["Sum", "number sum"],
  ["Bid qty", "number"],
  ["Bid", "number side"],
  ["Ask", "text side"],
  ["Ask qty", "text"],
  ["Sum", "text sum"],
];

export class BookLadder {
  element;
  count = el("span", { class: "count" });
  #rows = [];
  #body = el("tbody");
  #table;
  #empty = el("p", { class: "empty" }, "The report has no order book now.");

  constructor() {
    const heads = HEADS.map(([label, kind]) => el("th", { scope: "col", class: kind }, label));
    const caption = el("caption", { class: "unseen" }, "Order book, best levels first");
    this.#table = el("table", { class: "ladder" }, caption, el("thead", {}, el("tr", {}, ...heads)), this.#body);
    const scroller = { class: "scroller list", tabindex: "0", role: "group", "aria-label": "Order book" };
    this.element = el("div", scroller, this.#table, this.#empty);
  }

  /** depth: of the report, best levels first. */
  show({ bids, asks }, decimals) {
    const number = Math.min(LEVELS, Math.max(bids.length, asks.length));
    this.#table.hidden = number === 0;
    this.#empty.hidden = number > 0;
    setText(this.count, number ? `${number} levels` : "");
    while (this.#rows.length < number) this.#add();
    while (this.#rows.length > number) this.#rows.pop().line.remove();
    const [bidSums, askSums] = [sums(bids), sums(asks)];
    const most = Math.max(bidSums.at(-1) ?? 0, askSums.at(-1) ?? 0);
    this.#rows.forEach((row, place) => {
      paint(row.bid, bids[place], bidSums[place], most, decimals);
      paint(row.ask, asks[place], askSums[place], most, decimals);
    });
  }

  #add() {
    const cells = HEADS.map(([, kind]) => el("td", { class: kind }));
    const [bidSum, bidQty, bid, ask, askQty, askSum] = cells;
    setData(bid, "side", "bid");
    setData(ask, "side", "ask");
    const bars = [bidQty, askQty].map((cell) => {
      const [bar, text] = [el("i", { "aria-hidden": "true" }), el("span")];
      cell.append(bar, text);
      return { bar, text };
    });
    bidQty.classList.add("bid");
    askQty.classList.add("ask");
    const line = el("tr", {}, ...cells);
    this.#rows.push({
      line,
      bid: { price: bid, sum: bidSum, ...bars[0] },
      ask: { price: ask, sum: askSum, ...bars[1] },
    });
    this.#body.append(line);
  }
}

function sums(levels) {
  let sum = 0;
  return levels.map(({ qty }) => (sum += qty));
}

function paint({ price, text, bar, sum }, level, total, most, decimals) {
  setText(price, level ? fixed(level.price, decimals) : "");
  setText(text, level ? quantity(level.qty) : "");
  setText(sum, level ? quantity(total) : "");
  const scale = `scaleX(${level && most ? (total / most).toFixed(3) : 0})`;
  if (bar.style.transform !== scale) bar.style.transform = scale;
}
