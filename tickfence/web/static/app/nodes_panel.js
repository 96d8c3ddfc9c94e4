// The nodes: state, age of the heartbeat, number of symbols; and the leading beat.

import { byId, el, setData, setText } from "./dom.js";
import { eventAbout, headline } from "./events.js";
import { clock, fixed, NOTHING, span } from "./format.js";
import { stateLook, stateText, workingText } from "./node_state.js";
import { colourBy, ownerTag, showOwner } from "./owners.js";
import { addressOfNode } from "./route.js";

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
