// The volume profile: point of control and value area, and where the price is to them.

import { el, setText } from "./dom.js";
import { count, fixed, NOTHING, signed } from "./format.js";

const ROWS = [
  ["VAH", "Value area high"],
  ["POC", "Point of control"],
  ["VAL", "Value area low"],
];

export class ProfilePanel {
  count = el("span", { class: "count" });
  element = el("div", { class: "profile" });
  #values = {};
  #ladder = el("div", { class: "ladder", "aria-hidden": "true" });
  #marks = { area: el("i", { class: "area" }), POC: el("i", { class: "poc" }), last: el("i", { class: "last" }) };
  #where = el("p", { class: "where" });
  #empty = el("p", { class: "empty" }, "Fewer than 10 trades in 30 minutes: there is no profile.");
  #list = el("dl", {});

  constructor() {
    for (const [name, label] of ROWS) {
      this.#values[name] = el("dd", { "data-name": name }, NOTHING);
      this.#list.append(el("div", {}, el("dt", {}, el("abbr", { title: label }, name)), this.#values[name]));
    }
    this.#ladder.append(...Object.values(this.#marks));
    this.element.append(this.#ladder, this.#list, this.#where, this.#empty);
  }

  show(profile, report, decimals) {
    this.#empty.hidden = profile != null;
    this.#list.hidden = this.#ladder.hidden = this.#where.hidden = profile == null;
    if (!profile) return setText(this.count, "");
    const { POC, VAL, VAH, window_sec: seconds, trade_count: trades } = profile;
    const price = report.last_price;
    setText(this.count, `${count(trades, "trade")} in ${fixed(seconds / 60, 0)} min`);
    for (const [name] of ROWS) {
      const away = price ? `  ${signed((profile[name] / price - 1) * 1e4, 1)} bps` : "";
      setText(this.#values[name], fixed(profile[name], decimals) + away);
    }
    const place = price > VAH ? "above" : price < VAL ? "below" : "inside";
    setText(this.#where, price == null ? "" : `The price is ${place} the value area, which holds 70 % of the volume.`);
    this.#draw(POC, VAL, VAH, price ?? POC);
    return undefined;
  }

  #draw(poc, low, high, price) {
    const from = Math.min(low, price);
    const to = Math.max(high, price);
    const room = (to - from) * 0.12 || 1;
    const at = (value) => ((value - from + room) / (to - from + 2 * room)) * 100;
    this.#marks.area.style.bottom = `${at(low)}%`;
    this.#marks.area.style.height = `${at(high) - at(low)}%`;
    this.#marks.POC.style.bottom = `${at(poc)}%`;
    this.#marks.last.style.bottom = `${at(price)}%`;
  }
}
