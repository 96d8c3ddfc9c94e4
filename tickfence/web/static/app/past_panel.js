// Spread, imbalance and depth over time, and their export.

import { LineChart } from "./charts/time_chart.js";
import { el, save, setText } from "./dom.js";
import { clock, fixed, quantity, signed } from "./format.js";

const EVERY_MS = 1000; // the price chart follows each report; here nobody could
const DESCRIBE_MS = 5000;
const UNSAFE = /[^\p{L}\p{N}]+/gu; // in the name of a file
const NOT_KEPT = "No history is kept: the symbol is new, or history is switched off. The lines begin now.";
const ROOM = 0.1; // of a chart's height, above and below its lines

/** A figure: its columns of `past.js`, and the options of its chart. */
const FIGURES = [
  {
    title: "Spread, bps",
    columns: ["spread_bps"],
    colours: ["price"],
    label: (value) => fixed(value, 2),
    text: (spread) => `${fixed(spread, 2)} bps`,
    range: (low, high) => [Math.max(0, low - room(low, high)), high + room(low, high)],
  },
  {
    title: "Imbalance",
    columns: ["imbalance"],
    colours: ["profile"],
    label: (value) => signed(value, 1),
    text: (value) => signed(value, 2),
    range: () => [-1, 1],
    zero: true,
  },
  {
    title: "Bid and ask of 20 levels",
    columns: ["bid_qty", "ask_qty"],
    colours: ["bid", "ask"],
    label: quantity,
    text: (bid, ask) => `bid ${quantity(bid)}, ask ${quantity(ask)}`,
    range: (low, high) => [0, high + room(0, high)],
  },
];

// How much a value axis is longer than its lines.
const room = (low, high) => (high - low) * ROOM || Math.abs(high) * ROOM || 1;

export class PastPanel {
  element = el("div", { class: "past" });
  begins = el("span", { class: "count" });
  exporting = el("div", { class: "exporting" });
  #figures = FIGURES.map((figure) => ({
    ...figure,
    host: el("div", { class: "chart line-chart", role: "img", "aria-label": figure.title }),
    value: el("span", { class: "count", "aria-hidden": "true" }),
    latest: "",
    pointed: "", // what is under the pointer
  }));
  #frames;
  #past;
  #symbol;
  #isKept = true;
  #shownAt = -Infinity;
  #describedAt = -Infinity;

  /** frames: paints its charts. */
  constructor(past, symbol, frames) {
    this.#frames = frames;
    this.#past = past;
    this.#symbol = symbol;
    for (const { title, host, value } of this.#figures) {
      this.element.append(el("figure", {}, el("figcaption", {}, el("h3", {}, ...keyed(title)), value), host));
    }
    for (const form of ["csv", "json"]) {
      const button = el("button", { class: "quiet", type: "button" }, `Export ${form.toUpperCase()}`);
      button.addEventListener("click", () => this.#export(form));
      this.exporting.append(button);
    }
  }

  /** Call it when the element is in the document: the charts take their size from it. */
  open() {
    for (const figure of this.#figures) {
      const onPoint = (text) => {
        figure.pointed = text;
        setText(figure.value, text || figure.latest);
      };
      figure.chart = new LineChart(figure.host, { ...figure, key: "past", onPoint });
    }
  }

  close() {
    for (const { chart } of this.#figures) chart?.close();
  }

  redraw() {
    for (const { chart } of this.#figures) chart?.redraw();
  }

  /** Whether the server keeps a history of the symbol. */
  setKept(isKept) {
    this.#isKept = isKept;
    for (const button of this.exporting.children) button.disabled = !isKept;
    this.#shownAt = this.#describedAt = -Infinity;
  }

  /** columns: of `past.js`, by name. */
  show(columns, now) {
    if (performance.now() - this.#shownAt < EVERY_MS) return;
    this.#shownAt = performance.now();
    const { ms, name } = this.#past.span;
    const isDescribed = performance.now() - this.#describedAt >= DESCRIBE_MS;
    if (isDescribed) this.#describedAt = performance.now();
    for (const figure of this.#figures) {
      const wanted = figure.columns.map((column) => columns[column]);
      this.#frames.paint(figure.title, () => figure.chart.show([columns.time_ms, ...wanted], ms, now));
      const latest = wanted.map((column) => column.findLast((value) => value != null));
      figure.latest = latest.includes(undefined) ? "" : figure.text(...latest);
      setText(figure.value, figure.pointed || figure.latest);
      if (isDescribed) figure.host.setAttribute("aria-label", `${figure.title} over ${name}: ${figure.latest || "nothing yet"}`);
    }
    const first = columns.time_ms[0];
    const isPart = first > now - ms + 2 * this.#past.span.step + EVERY_MS;
    setText(this.begins, this.#isKept ? (isPart ? `since ${clock(first)}` : "") : NOT_KEPT);
    this.begins.title = this.#isKept ? "" : NOT_KEPT; // a narrow page cuts it
  }

  async #export(form) {
    try {
      const name = `${this.#symbol.replace(UNSAFE, "-")}-${this.#past.span.name.replace(" ", "")}.${form}`;
      save(await this.#past.file(form), name);
    } catch (error) {
      setText(this.begins, `Not exported: ${error.message}`);
    }
  }
}

// A title with the words "bid" and "ask" in the colours of their lines.
function keyed(title) {
  return title.split(/\b(bid|ask)\b/i).map((word) => {
    const side = word.toLowerCase();
    return side === "bid" || side === "ask" ? el("span", { class: "side", "data-side": side }, word) : word;
  });
}
