// The columns of the market table: how each one is named, sorted and painted.

import { el, setData, setText, svg } from "./dom.js";
import { fixed, NOTHING, signed, signedQuantity, span, uncovered } from "./format.js";
import { dataAge, isIdle, STATUS_TEXT } from "./market.js";
import { ownerTag, showOwner } from "./nodes.js";
import { addressOf } from "./route.js";
import { HEIGHT, WIDTH } from "./sparklines.js";

const TICK_SHOWN_MS = 700;
const LONG_NAME = 14;
const TAIL = 7; // of a long name: what tells okx:BTC-USD-260327 from its neighbours
const STATUS_ORDER = { ok: 0, paused: 1, degraded: 2, down: 3, none: 4, "set aside": 5 };

/**
 * A column:
 *   key, label, hint: its name in code, its heading, and its tooltip;
 *   kind: "text" (sorts upwards first) or "number" (downwards first);
 *   value(row, market): what it sorts by; null sorts last;
 *   make(): what its cells hold; paint(cell, row, market): updates a cell.
 */
export const COLUMNS = [
  {
    key: "symbol",
    label: "Symbol",
    kind: "text",
    value: (row) => row.symbol,
    make: () => [el("a", { tabindex: "-1" })],
    paint: (cell, row) => {
      const link = cell.firstChild;
      if (link.textContent === row.symbol) return;
      link.title = row.symbol;
      link.setAttribute("aria-label", row.symbol);
      link.replaceChildren(...halves(row.symbol).map((half) => el("span", {}, half)));
      link.href = addressOf(row.symbol);
    },
  },
  {
    key: "owner",
    label: "Owner",
    hint: "The node that writes the symbol's report",
    kind: "text",
    value: (row) => row.owner,
    make: () => [ownerTag(null)],
    paint: (cell, row) => showOwner(cell.firstChild, row.owner),
  },
  {
    key: "price",
    label: "Price",
    kind: "number",
    value: (row) => row.price,
    paint: (cell, row) => {
      setText(cell, fixed(row.price, row.decimals));
      const isNew = performance.now() - row.tickAt < TICK_SHOWN_MS;
      setData(cell, "tick", isNew ? (row.tick > 0 ? "up" : "down") : "");
    },
  },
  {
    key: "line",
    label: "15 min",
    hint: "The price over the last 15 minutes; sorted by its change",
    kind: "number",
    value: (row, market) => market.lines.of(row, market.now()).change,
    make: () => [
      svg(
        "svg",
        { viewBox: `-1 -1 ${WIDTH + 2} ${HEIGHT + 2}`, width: WIDTH + 2, height: HEIGHT + 2, "aria-hidden": "true" },
        svg("polyline"),
      ),
      el("span", { class: "unseen" }),
    ],
    paint: (cell, row, market) => {
      const { path, change } = market.lines.of(row, market.now());
      const line = cell.firstChild.firstChild;
      if (line.getAttribute("points") === path) return;
      line.setAttribute("points", path);
      setText(cell.lastChild, change === null ? "" : `${signed(change, 2)} %`);
      setData(cell, "sign", signOf(change));
    },
  },
  {
    key: "changePct",
    label: "24 h",
    hint: "Change over 24 hours, percent",
    kind: "number",
    value: (row) => row.changePct,
    paint: (cell, row) => {
      setText(cell, row.changePct == null ? NOTHING : `${signed(row.changePct, 2)} %`);
      setData(cell, "sign", signOf(row.changePct));
    },
  },
  {
    key: "spreadBps",
    label: "Spread",
    hint: "Spread in basis points of the mid price",
    kind: "number",
    value: (row) => row.spreadBps,
    paint: (cell, row) => setText(cell, fixed(row.spreadBps, 2)),
  },
  {
    key: "imbalance",
    label: "Imbalance",
    hint: "Depth imbalance of the 20 best levels: above 0 more is bid than asked",
    kind: "number",
    value: (row) => row.imbalance,
    make: () => [el("span", { class: "balance", "aria-hidden": "true" }, el("i")), el("span")],
    paint: (cell, row) => {
      setText(cell.lastChild, signed(row.imbalance, 2));
      bar(cell.firstChild.firstChild, row.imbalance ?? 0);
      setData(cell, "sign", signOf(row.imbalance));
    },
  },
  {
    key: "netFlow",
    label: "Net flow",
    hint: "Bought minus sold aggressively over 30 s, in base currency; or how many of these 30 s are known",
    kind: "number",
    value: (row) => row.netFlow,
    paint: (cell, row) => {
      setText(cell, row.netFlow == null ? uncovered(row.flowWindowSec, 30) : signedQuantity(row.netFlow));
      setData(cell, "sign", signOf(row.netFlow));
    },
  },
  {
    key: "ordersPerSec",
    label: "Trades/s",
    hint: "Trades a second over the last 10 s",
    kind: "number",
    value: (row) => row.ordersPerSec,
    paint: (cell, row) => setText(cell, fixed(row.ordersPerSec, 1)),
  },
  {
    key: "health",
    label: "Health",
    hint: "0 to 100: freshness, spread, depth balance, anomalies",
    kind: "number",
    value: (row) => row.health,
    make: () => [el("span", { class: "gauge", "aria-hidden": "true" }, el("i")), el("span")],
    paint: (cell, row) => {
      setText(cell.lastChild, fixed(row.health, 0));
      bar(cell.firstChild.firstChild, (row.health ?? 0) / 100);
      setData(cell, "level", row.health == null ? "" : row.health >= 75 ? "good" : row.health >= 50 ? "fair" : "poor");
    },
  },
  {
    key: "age",
    label: "Data age",
    hint: "Time since market data was received for the symbol",
    kind: "number",
    value: (row, market) => dataAge(row, market.now()),
    paint: (cell, row, market) => setText(cell, span(dataAge(row, market.now()))),
  },
  {
    key: "status",
    label: "Status",
    hint: "ok under 1 s of data age, degraded under 2 s, else down; halted or delisted by the exchange; paused by an operator; set aside because two nodes got stuck on it",
    kind: "text",
    value: (row, market) => STATUS_ORDER[market.status(row)],
    make: () => [el("span", { class: "status" })],
    paint: (cell, row, market) => {
      const present = market.status(row);
      setData(cell.firstChild, "status", present);
      const isTold = present !== "none" && !isIdle(present) && (row.trading === "halted" || row.trading === "delisted");
      setText(cell.firstChild, isTold ? row.trading : STATUS_TEXT[present]);
    },
  },
];

function signOf(value) {
  return value > 0 ? "up" : value < 0 ? "down" : "";
}

function bar(element, share) {
  const scale = `scaleX(${share.toFixed(2)})`;
  if (element.style.transform !== scale) element.style.transform = scale;
}

/** A long name in two parts, of which only the first is shortened where there is no room. */
function halves(name) {
  return name.length < LONG_NAME ? [name] : [name.slice(0, -TAIL), name.slice(-TAIL)];
}
