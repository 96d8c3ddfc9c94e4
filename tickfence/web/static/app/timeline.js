// Moves, deaths, leader changes and conflicts: newest first.

import { byId, el, setText } from "./dom.js";
import { eventItem } from "./event_item.js";
import { KINDS, movesOf } from "./events.js";
import { count } from "./format.js";

const SHOWN = 200;
const RECENT_MS = 15 * 60_000;

export class Timeline {
  #market;
  #chosen = "all";
  #list = el("ol", { class: "events" });
  #empty = el("p", { class: "empty" });

  constructor(market) {
    this.#market = market;
    byId("timeline").append(this.#list, this.#empty);
    const buttons = KINDS.map(({ name, label }) => {
      const button = el("button", { type: "button", "aria-pressed": String(name === this.#chosen) }, label);
      button.addEventListener("click", () => {
        this.#chosen = name;
        for (const other of buttons) other.setAttribute("aria-pressed", String(other === button));
        this.showAll();
      });
      return button;
    });
    byId("timeline-choice").append(...buttons);
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
