// The page's data: the current rows, nodes, leader and events, built from the stream's messages; and how old they are.

import { decimalsOf } from "./format.js";
import { Sparklines } from "./sparklines.js";

const MAX_EVENTS = 500;

/**
 * Emits "rows" (detail: the symbols that changed), "lines" (sparklines have come), "nodes", "event" (detail: the event),
 * "state" (all is new) and "outage" (detail: the message; the data stays).
 * A row is the server's, with what only this page knows:
 *   sentAt: the server's time when it was sent;
 *   decimals: maximum number of decimals of its price so far;
 *   tick, tickAt: +1 or -1, direction of the last price change, and when (performance.now());
 *   movedAt: when its owner changed.
 */
export class Market extends EventTarget {
  rows = new Map();
  nodes = [];
  leader = null;
  reportsPerSec = null; // of all writers
  events = [];
  periodMs = 250;
  lines = new Sparklines(() => this.#emit("lines"));
  heardAt = 0; // the server's time of its last message that was not an outage
  #serverAhead = 0;

  /** The server's time in ms, extrapolated between two messages. */
  now() {
    return performance.timeOrigin + performance.now() + this.#serverAhead;
  }

  /** Whether the server has told the present state of nodes and rates. */
  get isCurrent() {
    return this.heardAt > 0 && !isSilent(this.now(), this.heardAt);
  }

  /** Whether one node writes everything without coordination: reports are fresh, and there is neither a node nor a leader. */
  get isSingle() {
    if (this.leader || this.nodes.length) return false;
    return [...this.rows.values()].some((row) => row.owner && this.status(row) === "ok");
  }

  /** A row's status, now: see `status` below. */
  status(row) {
    return status(row, this.now(), this.heardAt);
  }

  /** Takes a message of `/stream`. Unknown ones are ignored: a newer server sends them. */
  apply(name, message) {
    if (message.now) {
      this.#serverAhead = message.now - performance.timeOrigin - performance.now();
      this.heardAt = message.now;
    }
    if (name === "outage") this.#emit("outage", message);
    else if (name === "state") this.#applyState(message);
    else if (name === "rows") this.#applyRows(message);
    else if (name === "nodes") this.#applyNodes(message);
    else if (name === "event") this.#applyEvent(message);
  }

  #applyState({ now, periodMs, symbols, nodes, leader, reportsPerSec, events }) {
    const before = this.rows;
    this.periodMs = periodMs ?? this.periodMs;
    this.rows = new Map(symbols.map((row) => [row.symbol, watched(row, now, before.get(row.symbol))]));
    this.nodes = nodes;
    this.leader = leader;
    this.reportsPerSec = reportsPerSec ?? null;
    this.events = events;
    this.#emit("state");
  }

  #applyRows({ now, rows }) {
    const symbols = [];
    for (const row of rows) {
      this.rows.set(row.symbol, watched(row, now, this.rows.get(row.symbol)));
      symbols.push(row.symbol);
    }
    this.#emit("rows", symbols);
  }

  #applyNodes({ nodes, leader, reportsPerSec }) {
    this.nodes = nodes;
    this.leader = leader ?? null;
    this.reportsPerSec = reportsPerSec ?? null;
    this.#emit("nodes");
  }

  #applyEvent(event) {
    if (this.events.some((known) => known.id === event.id)) return;
    this.events = [...this.events, event].slice(-MAX_EVENTS);
    this.#emit("event", event);
  }

  #emit(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}

// A symbol keeps its object, so every holder of it sees new values.
function watched(fresh, now, known) {
  const { price, owner } = known ?? {};
  const row = known ?? { decimals: 0, tick: 0, tickAt: -Infinity, movedAt: -Infinity };
  Object.assign(row, fresh, { sentAt: now });
  row.decimals = Math.max(row.decimals, decimalsOf(row.price));
  if (price != null && row.price != null && row.price !== price) {
    row.tick = row.price > price ? 1 : -1;
    row.tickAt = performance.now();
  }
  if (owner && row.owner !== owner) row.movedAt = performance.now();
  return row;
}

// The server judges the age of each report and sends a change of its judgement. While the server sends nothing, only the
// local clock shows the age.

const SILENCE_MS = 2000; // the nodes' state comes twice a second

/** Age in ms of the market data behind a row, now; null if none was received. */
export function dataAge(row, now) {
  return row.ageMs == null ? null : Math.max(0, row.ageMs + now - row.sentAt);
}

/** Whether the server has said nothing for so long that what it said is outdated. */
export const isSilent = (now, heardAt) => now - heardAt > SILENCE_MS;

/** Whether a status says that nobody is to write the symbol's report. */
export const isIdle = (status) => status === "paused" || status === "set aside";

/** As the server judges: "ok", "degraded", "down", "paused" or "set aside". "down" if it is silent; "none" without a report. */
export function status(row, now, heardAt) {
  if (isIdle(row.status)) return row.status;
  if (row.updatedAt == null) return "none";
  return isSilent(now, heardAt) ? "down" : row.status;
}

/** The page's word for a status. */
export const STATUS_TEXT = {
  ok: "ok",
  degraded: "degraded",
  down: "down",
  none: "no report",
  paused: "paused",
  "set aside": "set aside",
};
