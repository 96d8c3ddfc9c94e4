// The line of figures in the page's header.

import { byId, el, setData, setText } from "./dom.js";
import { fixed, NOTHING } from "./format.js";
import { isInTrouble, works } from "./node_state.js";

const FIGURES = [
  ["fresh", "Fresh"],
  ["rate", "Reports/s"],
  ["nodes", "Nodes"],
  ["leader", "Leader"],
];

export class Summary {
  #market;
  #values = {};

  constructor(market) {
    this.#market = market;
    for (const [name, label] of FIGURES) {
      this.#values[name] = el("dd", { "data-name": name }, "–");
      byId("summary").append(el("div", {}, el("dt", {}, label), this.#values[name]));
    }
  }

  update() {
    const { rows, nodes, leader, reportsPerSec: rate, heardAt, isCurrent } = this.#market;
    if (!heardAt) return; // the server has said nothing yet
    const statuses = [...rows.values()].map((row) => this.#market.status(row)).filter((status) => status !== "paused");
    const fresh = statuses.filter((status) => status === "ok").length;
    this.#show("fresh", `${fixed(fresh)} of ${fixed(statuses.length)}`, fresh < statuses.length);
    if (!isCurrent) {
      for (const name of ["rate", "nodes", "leader"]) this.#show(name, "not known", true);
      return;
    }
    this.#show("rate", rate === null ? NOTHING : fixed(rate, rate < 100 ? 1 : 0), false);
    if (this.#market.isSingle) {
      this.#show("nodes", "single mode", false);
      this.#show("leader", "none needed", false);
      return;
    }
    this.#show("nodes", `${nodes.filter(works).length} of ${nodes.length}`, nodes.some(isInTrouble));
    this.#show("leader", leader ? leader.name : "none", !leader);
  }

  #show(name, text, isBad) {
    setText(this.#values[name], text);
    setData(this.#values[name], "state", isBad ? "bad" : "good");
  }
}
