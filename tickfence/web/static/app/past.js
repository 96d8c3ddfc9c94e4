// What a symbol's reports have said over time: rows of the server's history, and of the reports since then.

import { request } from "./session.js";

const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const GAP_MS = 5 * SECOND; // a longer time without a row is drawn as a gap
const GAP_STEPS = 3;

/** How far back the charts reach, and how far apart their points are: about 800 points each. */
export const SPANS = [
  { key: "15m", name: "15 min", ms: 15 * MINUTE, step: SECOND },
  { key: "1h", name: "1 h", ms: HOUR, step: 5 * SECOND },
  { key: "6h", name: "6 h", ms: 6 * HOUR, step: 30 * SECOND },
  { key: "24h", name: "24 h", ms: 24 * HOUR, step: 2 * MINUTE },
];
/** The columns after the time. */
export const FIELDS = ["last_price", "spread_bps", "imbalance", "bid_qty", "ask_qty"];

export class Past {
  span = SPANS[0];
  #name;
  #rows = new Map(); // by step, rising: [ms, …FIELDS]
  #loading = new AbortController();

  constructor(symbol) {
    this.#name = encodeURIComponent(symbol);
  }

  /** Takes another span. Its rows come with the next `load`. */
  choose(span) {
    this.span = span;
    const known = [...this.#rows.values()];
    this.#rows = new Map();
    for (const row of known) this.#put(row);
  }

  /** Takes a report as the newest row. */
  add({ updatedAt, last_price: price, spread_bps: spread, depth }) {
    const last = [...this.#rows.values()].at(-1);
    if (last && updatedAt <= last[0]) return;
    this.#put([updatedAt, price, spread, depth.imbalance, depth.total_bid_qty, depth.total_ask_qty]);
    for (const [step, [ms]] of this.#rows) {
      if (ms >= updatedAt - this.span.ms - MINUTE) break;
      this.#rows.delete(step);
    }
  }

  /** Puts the server's rows in between; where it keeps no history, the prices of trades. Returns whether it keeps one. */
  async load() {
    this.stop();
    this.#loading = new AbortController();
    const { signal } = this.#loading;
    const { columns } = await this.#json(`reports/${this.#name}/history?${this.#query()}&fields=${FIELDS}&limit=2000`, signal);
    const times = columns.time_ms;
    if (times.length) this.merge(times.map((ms, place) => [ms, ...FIELDS.map((name) => columns[name][place])]));
    else this.merge((await this.#json(`prices/${this.#name}`, signal)).points);
    return times.length > 0;
  }

  /** Puts rows in between; those of reports that the page has seen stay. */
  merge(rows) {
    const watched = this.#rows;
    this.#rows = new Map();
    const all = [...rows.filter(([ms]) => !watched.has(this.#step(ms))), ...watched.values()];
    for (const row of all.sort(([a], [b]) => a - b)) this.#put(row);
  }

  /** The span as a file, with every field; form: "csv" or "json". */
  async file(form) {
    const answer = await this.#get(`reports/${this.#name}/history?${this.#query()}&format=${form}&limit=10000`, null);
    return answer.blob();
  }

  stop() {
    this.#loading.abort();
  }

  /** The span's rows until now as columns: `time_ms` and FIELDS. A gap is a row of nulls. */
  columns(now) {
    const columns = [[], ...FIELDS.map(() => [])];
    const gap = Math.max(GAP_MS, GAP_STEPS * this.span.step);
    let before = Infinity;
    for (const row of this.#rows.values()) {
      const [ms] = row;
      if (ms < now - this.span.ms) continue;
      if (ms - before > gap) columns.forEach((column, place) => column.push(place ? null : before + 1));
      columns.forEach((column, place) => column.push(row[place] ?? null));
      before = ms;
    }
    return Object.fromEntries(["time_ms", ...FIELDS].map((name, place) => [name, columns[place]]));
  }

  async #json(address, signal) {
    return (await this.#get(address, signal)).json();
  }

  async #get(address, signal) {
    const answer = await request(`v1/${address}`, { signal });
    if (!answer.ok) throw new Error(`status ${answer.status}`);
    return answer;
  }

  #query() {
    return `since=-${this.span.ms}ms&step=${this.span.step}ms`;
  }

  #put(row) {
    this.#rows.set(this.#step(row[0]), row);
  }

  #step(ms) {
    return Math.floor(ms / this.span.step);
  }
}
