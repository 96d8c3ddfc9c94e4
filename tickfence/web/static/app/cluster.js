// The cluster: the line of figures in the page's header, the nodes with the leading beat, and reports a second.

import { byId, el, setData, setText } from "./dom.js";
import { eventAbout, headline } from "./events.js";
import { clock, fixed, NOTHING, span } from "./format.js";
import { colourBy, isInTrouble, ownerTag, showOwner, stateLook, stateText, workingText, works } from "./nodes.js";
import { addressOfNode } from "./route.js";

const FIGURES = [
  ["fresh", "Fresh"],
  ["rate", "Reports/s"],
  ["nodes", "Nodes"],
  ["leader", "Leader"],
];

/** The line of figures in the page's header. */
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

const HEADS = [
  ["Node", "text"],
  ["State", "text"],
  ["Heartbeat", "number"],
  ["Symbols", "number"],
  ["Reports/s", "number"],
  ["Last event", "text last-event"],
];

const NO_NODE = "No node has registered yet: celery -A tasks worker -Q node-001 starts one.";
const SINGLE = "Single mode: one node writes all reports. It needs no coordination, so no beat leads and no node is listed.";

/** The nodes: state, age of the heartbeat, number of symbols; and the leading beat. */
export class NodesPanel {
  #market;
  #views = new Map();
  #body = el("tbody");
  #table;
  #leader = el("p", { class: "leader" });
  #empty = el("p", { class: "empty" });

  constructor(market) {
    this.#market = market;
    const heads = HEADS.map(([label, kind]) => el("th", { scope: "col", class: kind }, label));
    this.#table = el(
      "table",
      { class: "nodes-table" },
      el("caption", { class: "unseen" }, "Nodes"),
      el("thead", {}, el("tr", {}, ...heads)),
      this.#body,
    );
    byId("nodes").append(this.#leader, this.#table, this.#empty);
  }

  update() {
    const { nodes, leader, isSingle } = this.#market;
    const present = new Set(nodes.map((node) => node.node));
    for (const [name, view] of this.#views) if (!present.has(name)) this.#remove(name, view);
    for (const node of [...nodes].sort((a, b) => (a.node < b.node ? -1 : 1))) this.#show(node);
    this.#empty.hidden = nodes.length > 0;
    this.#table.hidden = nodes.length === 0;
    setText(this.#empty, isSingle ? SINGLE : NO_NODE);
    setText(byId("nodes-count"), workingText(nodes));
    this.#leader.hidden = isSingle;
    setText(this.#leader, leader ? `${leader.name} leads, term ${leader.term}` : "No beat leads: nothing is dispatched.");
    setData(this.#leader, "state", leader ? "led" : "none");
  }

  #show(node) {
    const view = this.#views.get(node.node) ?? this.#add(node.node);
    showOwner(view.name, node.node);
    setText(view.state, stateText(node));
    setData(view.state, "status", stateLook(node));
    setText(view.heartbeat, span(node.heartbeatAgeMs));
    setText(view.symbols.lastChild, fixed(node.symbols));
    colourBy(view.row, node.node);
    const share = this.#market.rows.size ? Math.min(1, node.symbols / this.#market.rows.size) : 0;
    view.bar.style.transform = `scaleX(${share.toFixed(3)})`;
    const event = this.#market.events.findLast((one) => eventAbout(one, node.node));
    setText(view.event, event ? `${clock(event.at)} ${headline(event)}` : NOTHING);
    view.event.title = event ? headline(event) : "";
    setText(view.rate, node.alive ? fixed(node.reportsPerSec, 1) : NOTHING);
    const process = [node.host, node.pid && `process ${node.pid}`, node.incarnation];
    view.row.title = [node.state, ...process, node.weight !== 1 && `weight ${node.weight}`].filter(Boolean).join(", ");
    view.row.classList.toggle("stale", !node.alive);
  }

  #add(name) {
    const view = { name: ownerTag(name), state: el("span", { class: "status" }) };
    for (const key of ["heartbeat", "symbols", "rate"]) view[key] = el("td", { class: "number" });
    view.bar = el("i");
    view.symbols.append(el("span", { class: "gauge share", "aria-hidden": "true" }, view.bar), el("span"));
    view.event = el("td", { class: "text last-event" });
    const head = el("th", { scope: "row", class: "text" }, el("a", { href: addressOfNode(name) }, view.name));
    const state = el("td", { class: "text" }, view.state);
    view.row = el("tr", {}, head, state, view.heartbeat, view.symbols, view.rate, view.event);
    const next = [...this.#views.keys()].filter((other) => other > name).sort()[0];
    this.#body.insertBefore(view.row, next ? this.#views.get(next).row : null);
    this.#views.set(name, view);
    return view;
  }

  #remove(name, view) {
    view.row.remove();
    this.#views.delete(name);
  }
}

const SPAN_MS = 5 * 60_000;

/** Reports a second since the page was opened: what a node's death costs is seen here. */
export class RatePanel {
  #times = [];
  #rates = [];
  #host = el("div", { class: "chart rate-chart", role: "img", "aria-label": "Reports a second over five minutes" });
  #chart = null;

  constructor() {
    byId("rate").append(el("h3", {}, "Reports/s, 5 min"), this.#host);
  }

  /** Loads the chart, for which the rest of the page does not wait. */
  async open() {
    const { LineChart } = await import("./charts/time_chart.js");
    this.#chart = new LineChart(this.#host, {
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
    if (byId("rate").offsetParent) this.#chart?.show([this.#times, this.#rates], SPAN_MS, now);
  }

  redraw() {
    this.#chart?.redraw();
  }
}
