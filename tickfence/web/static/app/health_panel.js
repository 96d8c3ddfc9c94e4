// The health score and its components.

import { el, setData, setText } from "./dom.js";
import { fixed } from "./format.js";

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
