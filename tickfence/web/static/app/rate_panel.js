// Reports a second since the page was opened: what a node's death costs is seen here.

import { LineChart } from "./charts/line_chart.js";
import { byId, el } from "./dom.js";
import { fixed } from "./format.js";

const SPAN_MS = 5 * 60_000;

export class RatePanel {
  #times = [];
  #rates = [];
  #chart;

  constructor() {
    const host = el("div", { class: "chart rate-chart", role: "img", "aria-label": "Reports a second over five minutes" });
    byId("rate").append(el("h3", {}, "Reports/s, 5 min"), host);
    this.#chart = new LineChart(host, {
      columns: 1,
      colours: ["price"],
      label: (value) => fixed(value, 0),
      text: (rate) => `${fixed(rate, 1)} reports/s`,
      range: (low, high) => [0, Math.max(1, high * 1.15)],
      onPoint: (text) => (byId("rate").title = text),
    });
  }

  /** Takes the newest rate; null is a gap. */
  add(now, rate) {
    if (!this.#times.length || now > this.#times.at(-1)) {
      this.#times.push(now);
      this.#rates.push(rate);
    }
    const old = this.#times.findIndex((at) => at >= now - SPAN_MS);
    this.#times.splice(0, Math.max(0, old));
    this.#rates.splice(0, Math.max(0, old));
    if (byId("rate").offsetParent) this.#chart.show([this.#times, this.#rates], SPAN_MS, now);
  }

  redraw() {
    this.#chart.redraw();
  }
}
