// The volume profile: its histogram, point of control and value area, and the price relative to them.

import { ProfileChart } from "./charts/profile_chart.js";
import { el, setText } from "./dom.js";
import { count, decimalsOf, fixed, NOTHING, signed, span } from "./format.js";
import { request } from "./session.js";

const PRICES = [
  ["VAL", "Value area low"],
  ["POC", "Point of control"],
  ["VAH", "Value area high"],
];
const EVERY_MS = 10_000; // the window is half an hour

export class ProfilePanel {
  count = el("span", { class: "count" });
  element = el("div", { class: "profile" });
  bars = []; // [[middle, volume], …] as last read, for the price chart
  #symbol;
  #values = {};
  #host = el("div", { class: "chart profile-chart", role: "img", "aria-label": "Volume by price" });
  #chart = null;
  #where = el("p", { class: "where" });
  #empty = el("p", { class: "empty", hidden: true }, "There is no profile: fewer than 10 trades of the last 30 minutes are known, or the tick size is not.");
  #list = el("dl", {});
  #timer = null;
  #gone = new AbortController();

  constructor(symbol) {
    this.#symbol = symbol;
    for (const [name, label] of PRICES) {
      this.#values[name] = el("dd", { "data-name": name }, NOTHING);
      this.#list.append(el("div", {}, el("dt", {}, el("abbr", { title: label }, name)), this.#values[name]));
    }
    this.element.append(this.#host, this.#list, this.#where, this.#empty);
  }

  /** Call it when the element is in the document: the chart takes its size from it. */
  open(onPoint) {
    this.#chart = new ProfileChart(this.#host, onPoint);
    this.#read();
  }

  close() {
    this.#gone.abort();
    clearTimeout(this.#timer);
    this.#chart?.close();
  }

  redraw() {
    this.#chart?.redraw();
  }

  /** Shows the report's volume profile. */
  show(profile, price, decimals) {
    this.#empty.hidden = profile != null;
    this.#list.hidden = this.#where.hidden = this.#host.hidden = profile == null;
    this.#chart?.setMarks(profile ?? null, price ?? null, decimals);
    setText(this.count, profile ? `${count(profile.trade_count, "trade")} in ${span(profile.window_sec * 1000)}` : "");
    if (!profile) return;
    for (const [name] of PRICES) {
      const away = price ? `\n${signed((profile[name] / price - 1) * 1e4, 1)} bps` : "";
      // The point of control may lie on half a tick.
      setText(this.#values[name], fixed(profile[name], Math.max(decimals, decimalsOf(profile[name]))) + away);
    }
    const place = price > profile.VAH ? "above" : price < profile.VAL ? "below" : "inside";
    setText(this.#where, price == null ? "" : `The price is ${place} the value area, which holds 70 % of the volume.`);
  }

  async #read() {
    try {
      const answer = await request(`v1/profiles/${encodeURIComponent(this.#symbol)}`, { signal: this.#gone.signal });
      if (answer.status === 404) return; // the symbol's stream says so
      if (!answer.ok) throw new Error(`status ${answer.status}`);
      const { bins, binWidth } = await answer.json();
      this.bars = this.#chart.setBins(bins, binWidth);
    } catch (error) {
      if (error.name === "AbortError") return;
      console.info(`No volume profile of ${this.#symbol}: ${error.message}`);
    }
    if (!this.#gone.signal.aborted) this.#timer = setTimeout(() => this.#read(), EVERY_MS);
  }
}
