// The market table's state: its rows, their order, the filter, and the export.

import { explainNoData } from "./connection.js";
import { byId, save, setData, setText } from "./dom.js";
import { fixed } from "./format.js";
import { isIdle, STATUS_TEXT } from "./market.js";
import { COLUMNS } from "./market_columns.js";
import { colourBy } from "./nodes.js";
import { choice, choose } from "./route.js";
import { VirtualTable } from "./virtual_table.js";

const REORDER_MS = 1000; // nobody can read rows that jump four times a second
const MOVED_SHOWN_MS = 2500;
const USUAL_SORT = "symbol";

export class Overview {
  #market;
  #table;
  #filter = byId("filter");
  #count = byId("market-count");
  #empty = byId("market-empty");
  #sortKey = USUAL_SORT;
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
    this.takeChoices();
    this.#filter.addEventListener("input", () => this.#onFilter());
    this.#filter.addEventListener("keydown", (event) => this.#onFilterKey(event));
    for (const button of byId("export").querySelectorAll("button")) {
      button.addEventListener("click", () => {
        exportRows(this.#found(), button.value, market);
        byId("export").open = false;
      });
    }
  }

  /** Takes filter and order from the address. */
  takeChoices() {
    this.#filter.value = choice("filter") ?? "";
    const key = COLUMNS.find((column) => column.key === choice("sort"))?.key ?? USUAL_SORT;
    this.#sortKey = key;
    this.#direction = { up: 1, down: -1 }[choice("order")] ?? usualDirection(key);
    this.#table.showSort(key, this.#direction);
    this.order();
  }

  /** Says why there is no data yet: see `Connection.trouble`. */
  explain(trouble) {
    if (!this.#market.heardAt) explainNoData(this.#empty, trouble);
  }

  /** Paints new values, and reorders the rows if that is due. */
  update() {
    if (byId("overview").hidden) return; // `takeChoices` brings it up to date
    if (performance.now() - this.#orderedAt >= REORDER_MS) this.order();
    else this.#table.queue();
  }

  /** Filters and sorts the rows. */
  order() {
    this.#orderedAt = performance.now();
    if (!this.#market.heardAt) return;
    const found = this.#found();
    this.#table.setItems(found);
    const all = this.#market.rows.size;
    setText(this.#count, this.#filter.value.trim() ? `${fixed(found.length)} of ${fixed(all)}` : fixed(all));
    this.#showEmpty(found.length, all);
  }

  #found() {
    const words = this.#filter.value.toUpperCase().split(/\s+/).filter(Boolean);
    const found = [...this.#market.rows.values()].filter((row) => this.#matches(row, words));
    return found.sort(comparison(this.#sortKey, this.#direction, this.#market));
  }

  #onFilter() {
    choose({ filter: this.#filter.value.trim() || null }, false);
    this.order();
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
    const usual = usualDirection(key);
    const direction = key === this.#sortKey ? -this.#direction : usual;
    const order = direction === usual ? null : direction > 0 ? "up" : "down";
    choose({ sort: key === USUAL_SORT ? null : key, order }, true);
    this.takeChoices();
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
    delete this.#empty.dataset.trouble;
    if (found) return;
    const nothing = "No symbols yet: the first reports come within seconds of the nodes' start.";
    setText(this.#empty, all ? `No symbol, pair, venue, owner or status matches “${this.#filter.value.trim()}”.` : nothing);
  }

  #onFilterKey(event) {
    if (event.key === "Escape" && this.#filter.value) {
      this.#filter.value = "";
      this.#onFilter();
      event.stopPropagation();
    } else if (event.key === "ArrowDown" || event.key === "Enter") {
      const first = byId("market").querySelector('a[tabindex="0"]');
      if (!first) return;
      event.preventDefault();
      first.focus();
    }
  }
}

function usualDirection(key) {
  return COLUMNS.find((column) => column.key === key).kind === "text" ? 1 : -1;
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

const FIELDS = [
  "symbol", "venue", "pair", "owner", "token", "status", "trading", "updatedAt", "ageMs", "price", "changePct", "spreadBps",
  "imbalance", "netFlow", "ordersPerSec", "health",
]; // prettier-ignore

/** Saves rows of the market; form: "csv" or "json". */
export function exportRows(rows, form, market) {
  const records = rows.map((row) => ({ ...pick(row), status: market.status(row) }));
  const at = new Date(market.now()).toISOString();
  const text = form === "csv" ? csv(records) : JSON.stringify({ at, symbols: records }, null, 1);
  const type = form === "csv" ? "text/csv" : "application/json";
  save(new Blob([text], { type }), `tickfence-${at.slice(0, 19).replace(/\D/g, "")}.${form}`);
}

/** Records with the same fields as CSV (RFC 4180). */
export function csv(records) {
  const lines = [FIELDS, ...records.map((record) => FIELDS.map((field) => record[field]))];
  return lines.map((line) => `${line.map(cell).join(",")}\r\n`).join("");
}

function pick(row) {
  return Object.fromEntries(FIELDS.map((field) => [field, row[field] ?? null]));
}

function cell(value) {
  const text = String(value ?? "");
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
