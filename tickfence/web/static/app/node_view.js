// One node: its state and why, its symbols, what went wrong, and its last events.

import { el, panel, setData, setText } from "./dom.js";
import { eventAbout, eventItem, weight } from "./events.js";
import { count, fixed, NOTHING, span } from "./format.js";
import { dataAge, STATUS_TEXT } from "./market.js";
import { colourBy, stateLook, stateText, whyText } from "./nodes.js";
import { addressOf, addressOfOverview } from "./route.js";

const SHOWN = 200; // the table of all symbols, filtered by the node, has the others
const FIGURES = ["Symbols", "Reports/s", "Heartbeat", "Weight", "Host", "Process", "Incarnation"];
const HEADS = [["Symbol", "text"], ["Status", "text"], ["Health", "number"], ["Trades/s", "number"], ["Data age", "number"]];

export class NodeView {
  #root;
  #market;
  #title;
  #state = el("span", { class: "status" });
  #why = el("span", { class: "why" });
  #figures = {};
  #banner = el("p", { class: "banner", "data-tone": "calm", hidden: true });
  #count = el("span", { class: "count" });
  #rows = new Map();
  #body = el("tbody");
  #more = el("p", { class: "empty" });
  #troubles = el("ol", { class: "events" });
  #noTrouble = el("p", { class: "empty" }, "No conflict, no death and no stuck work is known of it. Errors of single calculations are in its log and metrics.");
  #events = el("ol", { class: "events" });
  #noEvents = el("p", { class: "empty" }, "Nothing has happened to this node yet.");
  #cards;
  #head;

  constructor(root, node, market) {
    this.#root = root;
    this.node = node;
    this.#market = market;
    this.#build();
    this.showEvents();
    this.tick();
    document.title = `${node} · tickfence`;
    this.#title.focus({ preventScroll: true });
  }

  close() {
    this.#root.replaceChildren();
  }

  /** Brings everything but the events up to date. */
  tick() {
    const node = this.#market.nodes.find(({ node: name }) => name === this.node);
    const rows = [...this.#market.rows.values()].filter(({ owner }) => owner === this.node);
    const isKnown = Boolean(node) || rows.length > 0;
    this.#banner.hidden = isKnown;
    this.#cards.hidden = !isKnown && this.#events.children.length === 0;
    setText(this.#banner, this.#market.heardAt ? `No node ${this.node} is registered now.` : "No data yet. It comes by itself.");
    setData(this.#state, "status", node ? stateLook(node) : "none");
    setText(this.#state, node ? stateText(node) : rows.length ? "writes, in single mode" : "unknown");
    setText(this.#why, node ? whyText(node) : "");
    const rate = this.#market.isCurrent ? node?.reportsPerSec : null;
    this.#show("Symbols", fixed(node?.symbols ?? rows.length));
    this.#show("Reports/s", this.#market.isCurrent ? fixed(rate, 1) : "not known");
    this.#show("Heartbeat", node ? `${span(node.heartbeatAgeMs)} ago` : NOTHING);
    this.#show("Weight", fixed(node?.weight, 1));
    this.#show("Host", node?.host || NOTHING);
    this.#show("Process", node?.pid ? String(node.pid) : NOTHING);
    this.#show("Incarnation", node?.incarnation || NOTHING);
    this.#showSymbols(rows.sort((a, b) => (a.symbol < b.symbol ? -1 : 1)));
  }

  redraw() {
    this.showEvents();
  }

  takeChoices() {}

  retry() {}

  showEvents() {
    this.#events.replaceChildren();
    this.#troubles.replaceChildren();
    for (const event of this.#market.events) this.addEvent(event);
    this.#noEvents.hidden = this.#events.children.length > 0;
    this.#noTrouble.hidden = this.#troubles.children.length > 0;
  }

  addEvent(event) {
    if (!eventAbout(event, this.node)) return;
    const item = () => eventItem(event, (symbol, from, to) => from === this.node || to === this.node);
    this.#events.prepend(item());
    this.#noEvents.hidden = true;
    if (weight(event) === "plain") return;
    this.#troubles.prepend(item());
    this.#noTrouble.hidden = true;
  }

  #showSymbols(rows) {
    setText(this.#count, count(rows.length, "symbol"));
    const shown = rows.slice(0, SHOWN);
    this.#more.hidden = rows.length > 0 && rows.length <= SHOWN;
    setText(this.#more, rows.length ? `${fixed(rows.length - SHOWN)} more: filter all symbols by ${this.node}.` : "It writes no symbol now.");
    const names = shown.map(({ symbol }) => symbol);
    if (names.join() !== [...this.#rows.keys()].join()) {
      this.#rows = new Map(names.map((name) => [name, this.#rows.get(name) ?? row(name)]));
      this.#body.replaceChildren(...[...this.#rows.values()].map(({ element }) => element));
    }
    for (const one of shown) {
      const { status, health, trades, age } = this.#rows.get(one.symbol);
      const present = this.#market.status(one);
      setData(status, "status", present);
      setText(status, STATUS_TEXT[present]);
      setText(health, fixed(one.health, 0));
      setText(trades, fixed(one.ordersPerSec, 1));
      setText(age, span(dataAge(one, this.#market.now())));
    }
  }

  #show(name, text) {
    setText(this.#figures[name], text);
    this.#figures[name].title = text;
  }

  #build() {
    this.#title = el("h1", { tabindex: "-1" }, this.node);
    const figures = FIGURES.map((name) => {
      this.#figures[name] = el("dd", { "data-name": name }, NOTHING);
      return el("div", {}, el("dt", {}, name), this.#figures[name]);
    });
    const back = el("a", { href: addressOfOverview(), class: "back" }, "← All symbols");
    this.#head = el(
      "header",
      { class: "symbol-head" },
      el("nav", { "aria-label": "Back" }, back, el("kbd", {}, "Esc")),
      el("div", { class: "title" }, this.#title, this.#state),
      el("p", { class: "writer" }, this.#why),
      el("dl", { class: "figures" }, ...figures),
    );
    colourBy(this.#head, this.node);
    const heads = HEADS.map(([label, kind]) => el("th", { scope: "col", class: kind }, label));
    const caption = el("caption", { class: "unseen" }, "Symbols of the node");
    const table = el("table", {}, caption, el("thead", {}, el("tr", {}, ...heads)), this.#body);
    const scroller = (label, ...parts) =>
      el("div", { class: "scroller list", tabindex: "0", role: "group", "aria-label": label }, ...parts);
    this.#cards = el(
      "div",
      { class: "cards" },
      panel("symbols", "Its symbols", [this.#count], scroller("Symbols of the node", table, this.#more)),
      panel("troubles", "What went wrong", [], scroller("What went wrong", this.#troubles, this.#noTrouble)),
      panel("events", "Last events", [], scroller("Last events", this.#events, this.#noEvents)),
    );
    this.#root.replaceChildren(this.#head, this.#banner, this.#cards);
  }
}

function row(symbol) {
  const status = el("span", { class: "status" });
  const [health, trades, age] = HEADS.slice(2).map(([, kind]) => el("td", { class: kind }));
  const name = el("th", { scope: "row", class: "text" }, el("a", { href: addressOf(symbol) }, symbol));
  return { element: el("tr", {}, name, el("td", { class: "text" }, status), health, trades, age), status, health, trades, age };
}
