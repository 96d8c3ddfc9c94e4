// A table that has elements only for the visible rows, however many rows there are.
//
// It stays a real table for assistive technology: header cells, aria-rowcount, aria-rowindex, aria-sort. One row's link
// is in the tab order; arrows, Page Up/Down, Home and End move from row to row, Enter opens the link.

import { el } from "./dom.js";

const SPARE_ROWS = 6; // above and below the visible ones
const KEYS = ["ArrowDown", "ArrowUp", "PageDown", "PageUp", "Home", "End"];

export class VirtualTable {
  #scroller;
  #columns;
  #room;
  #table;
  #body;
  #heads = new Map();
  #views = [];
  #items = [];
  #active = null; // the symbol whose link is in the tab order
  #rowHeight = 32;
  #height = 0; // of the scroller; 0 while it is not shown
  #top = 0; // how far it is scrolled
  #isMeasured = false;
  #padding = "";
  #isQueued = false;
  #context;
  #dress;

  /**
   * scroller: the element that scrolls and that the table is put into.
   * context: what the columns get besides the row.
   * dress(element, row): brings what belongs to a whole row up to date.
   * onSort(key): a head was pressed.
   */
  constructor(scroller, columns, { caption, context, dress, onSort }) {
    this.#scroller = scroller;
    this.#columns = columns;
    this.#context = context;
    this.#dress = dress;
    this.#body = el("tbody");
    this.#table = el(
      "table",
      { class: "market-table" },
      el("caption", { class: "unseen" }, caption),
      el("colgroup", {}, ...columns.map(({ key }) => el("col", { class: `col-${key}` }))),
      el("thead", {}, el("tr", { "aria-rowindex": "1" }, ...columns.map((column) => this.#head(column, onSort)))),
      this.#body,
    );
    this.#room = el("div", { class: "room" }, this.#table);
    scroller.append(this.#room);
    scroller.addEventListener("scroll", () => this.#onScroll(), { passive: true });
    scroller.addEventListener("keydown", (event) => this.#onKey(event));
    this.#body.addEventListener("focusin", (event) => this.#onFocus(event));
    this.#body.addEventListener("click", (event) => this.#onClick(event));
    // Told, and not asked for at each paint: to ask makes the browser lay the whole page out again.
    new ResizeObserver(([{ contentRect }]) => this.#onResize(contentRect.height)).observe(scroller);
  }

  /** Shows these rows in this order at the next paint. */
  setItems(items) {
    this.#items = items;
    this.#table.setAttribute("aria-rowcount", String(items.length + 1));
    if (!items.some((row) => row.symbol === this.#active)) this.#active = items[0]?.symbol ?? null;
    this.queue();
  }

  showSort(key, direction) {
    for (const [name, head] of this.#heads) {
      if (name === key) head.setAttribute("aria-sort", direction > 0 ? "ascending" : "descending");
      else head.removeAttribute("aria-sort");
    }
  }

  /** Paints before the next frame; several calls paint once. */
  queue() {
    if (this.#isQueued) return;
    this.#isQueued = true;
    requestAnimationFrame(() => {
      this.#isQueued = false;
      this.#paint();
    });
  }

  /** Scrolls to a symbol's row and focuses it. */
  focus(symbol) {
    const index = this.#items.findIndex((row) => row.symbol === symbol);
    if (index < 0) return;
    this.#active = symbol;
    this.#reveal(index);
    this.#paint();
    this.#linkOf(symbol)?.focus({ preventScroll: true });
  }

  #head({ key, label, hint, kind }, onSort) {
    const button = el("button", { type: "button", title: hint }, label);
    button.addEventListener("click", () => onSort(key));
    const head = el("th", { scope: "col", class: `${kind} col-${key}` }, button);
    this.#heads.set(key, head);
    return head;
  }

  #paint() {
    if (!this.#height) return; // not shown
    const { first, last } = this.#inSight();
    const hadFocus = this.#focusedSymbol();
    this.#turn(first);
    while (this.#views.length < last - first) this.#addView();
    while (this.#views.length > last - first) this.#views.pop().element.remove();
    this.#views.forEach((view, place) => {
      const row = this.#items[first + place];
      view.show(row, first + place, this.#context);
      this.#dress(view.element, row);
      view.setReachable(row.symbol === this.#active);
    });
    this.#measure();
    this.#pad(first * this.#rowHeight, (this.#items.length - last) * this.#rowHeight);
    if (hadFocus && this.#focusedSymbol() !== hadFocus) this.#keepFocus(hadFocus);
  }

  #onScroll() {
    this.#top = this.#scroller.scrollTop;
    this.queue();
  }

  #onResize(height) {
    this.#height = height;
    this.#top = this.#scroller.scrollTop;
    this.#isMeasured = false; // a narrower page may have higher rows
    this.queue();
  }

  #measure() {
    if (this.#isMeasured || !this.#views.length) return;
    this.#rowHeight = this.#views[0].element.offsetHeight || this.#rowHeight;
    this.#isMeasured = true;
  }

  #inSight() {
    const height = Math.min(this.#height, innerHeight); // independent of the layout
    const first = Math.max(0, Math.floor(this.#top / this.#rowHeight) - SPARE_ROWS);
    const last = Math.ceil((this.#top + height) / this.#rowHeight) + SPARE_ROWS;
    const count = this.#items.length;
    return { first: Math.min(first, Math.max(0, count - 1)), last: Math.min(count, last) };
  }

  // Scrolled by a few rows: rows that left at one end are reused at the other, and those between stay.
  #turn(first) {
    const shift = first - (this.#views[0]?.index ?? first);
    if (Math.abs(shift) >= this.#views.length) return;
    for (let step = 0; step < shift; step += 1) {
      const view = this.#views.shift();
      this.#views.push(view);
      this.#body.append(view.element);
    }
    for (let step = 0; step > shift; step -= 1) {
      const view = this.#views.pop();
      this.#views.unshift(view);
      this.#body.prepend(view.element);
    }
  }

  #pad(top, bottom) {
    const padding = `${top}px 0px ${bottom}px`;
    if (padding !== this.#padding) this.#room.style.padding = padding;
    this.#padding = padding;
  }

  #addView() {
    const view = new RowView(this.#columns);
    this.#views.push(view);
    this.#body.append(view.element);
  }

  // Rows move, elements stay: the focus follows its symbol, or waits at the scroller while that is not visible.
  #keepFocus(symbol) {
    const target = this.#linkOf(symbol) ?? this.#scroller;
    if (target === this.#scroller) this.#scroller.tabIndex = -1;
    target.focus({ preventScroll: true });
  }

  #focusedSymbol() {
    return this.#body.contains(document.activeElement) ? document.activeElement.textContent : null;
  }

  #linkOf(symbol) {
    return this.#views.find((view) => view.symbol === symbol)?.link;
  }

  #onFocus(event) {
    if (event.target.matches("a")) this.#active = event.target.textContent;
    this.queue();
  }

  #onClick(event) {
    if (event.target.closest("a") || String(getSelection())) return;
    const row = event.target.closest("tr");
    if (row) row.querySelector("a").click();
  }

  #onKey(event) {
    if (!KEYS.includes(event.key) || event.altKey || event.ctrlKey || event.metaKey) return;
    if (!this.#body.contains(event.target) && event.target !== this.#scroller) return;
    const present = this.#items.findIndex((row) => row.symbol === this.#active);
    const page = Math.max(1, Math.floor(this.#scroller.clientHeight / this.#rowHeight) - 2);
    const end = this.#items.length - 1;
    const step = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page, Home: -end, End: end }[event.key];
    const next = this.#items[Math.min(end, Math.max(0, present + step))];
    if (!next) return;
    event.preventDefault();
    this.focus(next.symbol);
  }

  #reveal(index) {
    const head = this.#table.tHead.offsetHeight;
    const top = index * this.#rowHeight;
    const { scrollTop, clientHeight } = this.#scroller;
    if (top < scrollTop) this.#scroller.scrollTop = top;
    else if (top + this.#rowHeight + head > scrollTop + clientHeight) {
      this.#scroller.scrollTop = top + this.#rowHeight + head - clientHeight;
    }
    this.#top = this.#scroller.scrollTop;
  }
}

/** One `tr` and what it shows. */
class RowView {
  symbol = null;
  index = -1;
  #columns;
  #cells;

  constructor(columns) {
    this.#columns = columns;
    this.#cells = columns.map(({ key, kind, make }, place) => {
      const attributes = { class: `${kind} col-${key}`, scope: place === 0 ? "row" : null };
      return el(place === 0 ? "th" : "td", attributes, ...(make ? make() : [""]));
    });
    this.element = el("tr", {}, ...this.#cells);
    this.link = this.#cells[0].firstChild;
  }

  show(row, index, context) {
    this.symbol = row.symbol;
    if (this.index !== index) this.element.setAttribute("aria-rowindex", String(index + 2));
    this.index = index;
    this.#columns.forEach((column, place) => column.paint(this.#cells[place], row, context));
  }

  setReachable(isReachable) {
    const index = isReachable ? 0 : -1;
    if (this.link.tabIndex !== index) this.link.tabIndex = index;
  }
}
