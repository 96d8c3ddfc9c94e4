// The market table's state: its rows, their order, and the filter.

import { byId, setData, setText } from "./dom.js";
import { fixed } from "./format.js";
import { isIdle, STATUS_TEXT } from "./freshness.js";
import { COLUMNS } from "./market_columns.js";
import { colourBy } from "./owners.js";
import { VirtualTable } from "./virtual_table.js";

const REORDER_MS = 1000; // nobody can read rows that jump four times a second
const MOVED_SHOWN_MS = 2500;

export class Overview {
  #market;
  #table;
  #filter = byId("filter");
  #count = byId("market-count");
  #empty = byId("market-empty");
  #sortKey = "symbol";
  #direction = 1;
  #orderedAt = -Infinity;

  constructor(market) {
    this.#market = market;
    this.#table = new VirtualTable(byId("market"), COLUMNS, {
      caption: "All symbols. Arrow keys go from row to row, Enter opens a symbol.",
      context: market,
      dress: (element, row) => this.#dress(element, row),
      onSort: (key) => this.#sortBy(key),
    });
    this.#table.showSort(this.#sortKey, this.#direction);
    this.#filter.addEventListener("input", () => this.order());
    this.#filter.addEventListener("keydown", (event) => this.#onFilterKey(event));
  }

  /** Paints new values, and reorders the rows if that is due. */
  update() {
    if (performance.now() - this.#orderedAt >= REORDER_MS) this.order();
    else this.#table.queue();
  }

  /** Filters and sorts the rows. */
  order() {
    this.#orderedAt = performance.now();
    const words = this.#filter.value.toUpperCase().split(/\s+/).filter(Boolean);
    const found = [...this.#market.rows.values()].filter((row) => this.#matches(row, words));
    found.sort(comparison(this.#sortKey, this.#direction, this.#market));
    this.#table.setItems(found);
    const all = this.#market.rows.size;
    setText(this.#count, words.length ? `${fixed(found.length)} of ${fixed(all)}` : fixed(all));
    this.#showEmpty(found.length, all);
  }

  focusFilter() {
    this.#filter.focus();
    this.#filter.select();
  }

  focusSymbol(symbol) {
    this.order();
    this.#table.focus(symbol);
  }

  #sortBy(key) {
    const { kind } = COLUMNS.find((column) => column.key === key);
    const usual = kind === "text" ? 1 : -1;
    this.#direction = key === this.#sortKey ? -this.#direction : usual;
    this.#sortKey = key;
    this.#table.showSort(key, this.#direction);
    this.order();
  }

  #dress(element, row) {
    colourBy(element, row.owner);
    element.classList.toggle("moved", performance.now() - row.movedAt < MOVED_SHOWN_MS);
    const status = this.#market.status(row);
    element.classList.toggle("stale", ["down", "none"].includes(status));
    setData(element, "idle", isIdle(status) ? status : "");
  }

  #matches(row, words) {
    const status = STATUS_TEXT[this.#market.status(row)];
    const text = `${row.symbol} ${row.pair ?? ""} ${row.venue ?? ""} ${row.owner ?? "nobody"} ${status}`.toUpperCase();
    return words.every((word) => text.includes(word));
  }

  #showEmpty(found, all) {
    this.#empty.hidden = found > 0;
    if (found) return;
    const nothing = "No symbols yet: the first reports come within seconds of the nodes' start.";
    setText(this.#empty, all ? `No symbol, pair, venue, owner or status matches “${this.#filter.value.trim()}”.` : nothing);
  }

  #onFilterKey(event) {
    if (event.key === "Escape" && this.#filter.value) {
      this.#filter.value = "";
      this.order();
      event.stopPropagation();
    } else if (event.key === "ArrowDown" || event.key === "Enter") {
      const first = byId("market").querySelector('a[tabindex="0"]');
      if (!first) return;
      event.preventDefault();
      first.focus();
    }
  }
}

function comparison(key, direction, market) {
  const { value } = COLUMNS.find((column) => column.key === key);
  return (a, b) => {
    const [left, right] = [value(a, market) ?? null, value(b, market) ?? null];
    if (left === null || right === null) return left === right ? byName(a, b) : left === null ? 1 : -1;
    if (left === right) return byName(a, b);
    return left < right ? -direction : direction;
  };
}

function byName(a, b) {
  return a.symbol < b.symbol ? -1 : 1;
}
