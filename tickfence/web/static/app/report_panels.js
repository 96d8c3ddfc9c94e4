// What a report finds: walls, vacuums and anomalies; and the components of the health score.

import { el, setData, setText } from "./dom.js";
import { fixed, NOTHING, quantity, signed } from "./format.js";

const SHOWN = 50;

const away = (price, { middle }) => (middle ? `${signed((price / middle - 1) * 1e4, 1)} bps` : NOTHING);
const severity = ({ severity: level }) => el("span", { class: "severity", "data-severity": level }, level);
const side = ({ side: name }) => el("span", { class: "side", "data-side": name }, name);
const words = (type) => `${type[0].toUpperCase()}${type.slice(1).replaceAll("_", " ")}`;

/** heads: [label, kind]; cells(item, place): one text or element for each head. place: { middle, decimals }. */
export const WALLS = {
  caption: "Walls: unusually large levels",
  empty: "No level is unusually large.",
  heads: [["Side", "text"], ["Price", "number"], ["Quantity", "number"], ["From mid", "number"], ["Severity", "text"]],
  order: (item, { middle }) => Math.abs(item.price - middle),
  cells: (wall, place) => [
    side(wall),
    fixed(wall.price, place.decimals),
    quantity(wall.qty),
    away(wall.price, place),
    severity(wall),
  ],
};

export const VACUUMS = {
  caption: "Vacuums: stretches of thin levels",
  empty: "No thin stretch.",
  heads: [["From", "number"], ["To", "number"], ["Levels", "number"], ["From mid", "number"], ["Severity", "text"]],
  order: (item, { middle }) => Math.min(Math.abs(item.from - middle), Math.abs(item.to - middle)),
  cells: (vacuum, place) => [
    fixed(vacuum.from, place.decimals),
    fixed(vacuum.to, place.decimals),
    fixed(vacuum.levels),
    away(Math.abs(vacuum.from - place.middle) < Math.abs(vacuum.to - place.middle) ? vacuum.from : vacuum.to, place),
    severity(vacuum),
  ],
};

export const ANOMALIES = {
  caption: "Anomalies",
  empty: "Nothing unusual.",
  heads: [["What", "text"], ["Where", "number"], ["Severity", "text"]],
  order: ({ severity: level }) => ["high", "medium", "low"].indexOf(level),
  cells: (anomaly, place) => [
    el("span", {}, words(anomaly.type), el("small", {}, anomaly.note ?? "")),
    anomaly.price == null ? NOTHING : el("span", {}, side(anomaly), " ", fixed(anomaly.price, place.decimals)),
    severity(anomaly),
  ],
};

export class ReportList {
  count = el("span", { class: "count" });
  element;
  #what;
  #body = el("tbody");
  #table;
  #empty = el("p", { class: "empty" });
  #shown = "";

  constructor(what) {
    this.#what = what;
    const heads = what.heads.map(([label, kind]) => el("th", { scope: "col", class: kind }, label));
    this.#table = el(
      "table",
      {},
      el("caption", { class: "unseen" }, what.caption),
      el("thead", {}, el("tr", {}, ...heads)),
      this.#body,
    );
    const scroller = { class: "scroller list", tabindex: "0", role: "group", "aria-label": what.caption };
    this.element = el("div", scroller, this.#table, this.#empty);
  }

  /** items: undefined when the report leaves them out. */
  show(items, place) {
    this.#table.hidden = !items?.length;
    this.#empty.hidden = Boolean(items?.length);
    setText(this.#empty, items ? this.#what.empty : "Not enough data yet.");
    setText(this.count, items?.length ? String(items.length) : "");
    if (!items?.length) return;
    const order = (item) => this.#what.order(item, place);
    const rows = [...items].sort((a, b) => order(a) - order(b)).slice(0, SHOWN);
    const state = JSON.stringify([rows, place.decimals]);
    if (state === this.#shown) return; // eight reports in a row repeat the sections of one slow cycle
    this.#shown = state;
    this.#body.replaceChildren(...rows.map((item) => this.#row(item, place)));
  }

  #row(item, place) {
    const cells = this.#what.cells(item, place);
    return el("tr", {}, ...cells.map((cell, index) => el("td", { class: this.#what.heads[index][1] }, cell)));
  }
}

const PARTS = {
  freshness: ["Freshness", 40],
  spread: ["Spread", 30],
  depth_balance: ["Depth balance", 20],
  anomalies: ["Anomalies", 10],
};

export class HealthPanel {
  element = el("ul", { class: "parts" });
  score = el("span", { class: "score" });
  #views = new Map();

  show({ score, components }) {
    setText(this.score, `${fixed(score, 1)} of 100`);
    setData(this.score, "level", score >= 75 ? "good" : score >= 50 ? "fair" : "poor");
    for (const { metric, score: part } of components) {
      const [label, full] = PARTS[metric] ?? [metric, 100];
      const view = this.#views.get(metric) ?? this.#add(metric, label);
      setText(view.value, `${fixed(part, 1)} of ${full}`);
      view.bar.style.transform = `scaleX(${Math.min(1, part / full)})`;
      setData(view.item, "level", part >= full * 0.75 ? "good" : part >= full * 0.5 ? "fair" : "poor");
    }
  }

  #add(metric, label) {
    const bar = el("i");
    const value = el("span", { class: "value" });
    const item = el("li", {}, el("span", {}, label), value, el("span", { class: "gauge", "aria-hidden": "true" }, bar));
    this.element.append(item);
    this.#views.set(metric, { item, bar, value });
    return this.#views.get(metric);
  }
}
