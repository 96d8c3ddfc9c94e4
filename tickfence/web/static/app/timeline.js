// Moves, deaths, leader changes and conflicts: newest first.

import { byId, el, setText } from "./dom.js";
import { eventItem, KINDS, movesOf } from "./events.js";
import { count } from "./format.js";
import { choice, choose } from "./route.js";

const SHOWN = 200;
const RECENT_MS = 15 * 60_000;

export class Timeline {
  #market;
  #chosen = "all";
  #buttons;
  #list = el("ol", { class: "events" });
  #empty = el("p", { class: "empty" });

  constructor(market) {
    this.#market = market;
    byId("timeline").append(this.#list, this.#empty);
    this.#buttons = KINDS.map(({ name, label }) => {
      const button = el("button", { type: "button", value: name }, label);
      button.addEventListener("click", () => {
        choose({ events: name === "all" ? null : name }, true);
        this.takeChoices();
      });
      return button;
    });
    byId("timeline-choice").append(...this.#buttons);
    this.takeChoices();
  }

  /** Takes the kind of events from the address. */
  takeChoices() {
    const wanted = choice("events");
    this.#chosen = KINDS.some(({ name }) => name === wanted) ? wanted : "all";
    for (const button of this.#buttons) button.setAttribute("aria-pressed", String(button.value === this.#chosen));
    this.showAll();
  }

  /** Rebuilds the list. */
  showAll() {
    const chosen = this.#market.events.filter((event) => this.#isChosen(event));
    this.#list.replaceChildren(...chosen.slice(-SHOWN).reverse().map((event) => eventItem(event)));
    this.#showCounts();
  }

  /** Puts one new event on top. */
  add(event) {
    if (this.#isChosen(event)) {
      const item = eventItem(event);
      item.classList.add("new");
      this.#list.prepend(item);
      while (this.#list.children.length > SHOWN) this.#list.lastChild.remove();
    }
    this.#showCounts();
  }

  #isChosen(event) {
    return this.#chosen === "all" || event.kind === this.#chosen;
  }

  #showCounts() {
    const since = this.#market.now() - RECENT_MS;
    const moved = this.#market.events
      .filter((event) => event.kind === "moved" && event.at >= since)
      .reduce((sum, event) => sum + movesOf(event).length, 0);
    setText(byId("timeline-count"), moved ? `${count(moved, "symbol")} moved in 15 min` : "");
    this.#empty.hidden = this.#list.children.length > 0;
    const label = KINDS.find(({ name }) => name === this.#chosen).label.toLowerCase();
    setText(this.#empty, this.#chosen === "all" ? "Nothing has happened yet." : `No ${label} so far.`);
  }
}
