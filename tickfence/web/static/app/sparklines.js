// The price of the last minutes as a small line in each row of the table.
//
// The server is asked once for all rows that have come into sight; from then on the rows' own prices continue the lines.

import { request } from "./session.js";

const ASK_MS = 150; // rows that come into sight together are asked for together
const AT_ONCE = 100;
const AGAIN_MS = 60_000; // a row that was out of sight for so long has missed points
const DRAW_MS = 1000; // prices come four times a second, but a line of 15 minutes moves slowly
const NONE = { path: "", change: null };

export const [WIDTH, HEIGHT] = [84, 18];

export class Sparklines {
  #stepMs = 30_000;
  #spanMs = 15 * 60_000;
  #lines = new Map(); // symbol → { points: [[ms, price], …], at: when it was last drawn, path, change }
  #wanted = new Set();
  #timer = null;
  #onNew;

  /** onNew(): lines have come. */
  constructor(onNew) {
    this.#onNew = onNew;
  }

  /** A row's line: its path, and by how much percent the price has changed over it. Asks for it if it is not there. */
  of({ symbol, price }, now) {
    const line = this.#lines.get(symbol);
    const at = performance.now();
    if (!line || at - line.at > AGAIN_MS) this.#want(symbol);
    else if (at - line.at >= DRAW_MS) {
      line.at = at;
      if (price != null) line.points = continued(line.points, [now, price], this.#stepMs, this.#spanMs);
      line.path = polyline(line.points, this.#spanMs, WIDTH, HEIGHT);
      line.change = changeOver(line.points);
    }
    return line ?? NONE;
  }

  #want(symbol) {
    this.#wanted.add(symbol);
    this.#timer ??= setTimeout(() => this.#ask(), ASK_MS);
  }

  async #ask() {
    const symbols = [...this.#wanted].slice(0, AT_ONCE);
    for (const symbol of symbols) this.#wanted.delete(symbol);
    let lines = {};
    try {
      const answer = await request(`v1/sparklines?symbols=${symbols.map(encodeURIComponent).join(",")}`);
      if (answer.ok) ({ lines, stepMs: this.#stepMs } = await answer.json());
    } catch (error) {
      console.info(`No lines: ${error.message}`);
    }
    // Without an answer the lines begin now; the next question comes when rows have been out of sight.
    const at = performance.now() - DRAW_MS;
    for (const symbol of symbols) {
      this.#lines.set(symbol, { ...NONE, points: lines[symbol] ?? [], at });
      this.#wanted.delete(symbol); // drawn while the answer was on its way
    }
    this.#timer = this.#wanted.size ? setTimeout(() => this.#ask(), ASK_MS) : null;
    this.#onNew();
  }
}

/** The points with the newest one, which takes the place of another one of its step, and without those that are too old. */
export function continued(points, [now, price], stepMs, spanMs) {
  const step = (ms) => Math.floor(ms / stepMs);
  const before = points.filter(([ms]) => ms > now - spanMs && step(ms) < step(now));
  return [...before, [now, price]];
}

/** How much the price has changed over the points, percent; null if there are fewer than two. */
export function changeOver(points) {
  return points.length < 2 ? null : (points.at(-1)[1] / points[0][1] - 1) * 100;
}

/** The points of an SVG polyline in a box of `width` × `height`. The latest point is at its right edge. */
export function polyline(points, spanMs, width, height) {
  if (points.length < 2) return "";
  const prices = points.map(([, price]) => price);
  const [low, high] = [Math.min(...prices), Math.max(...prices)];
  const end = points.at(-1)[0];
  const x = (ms) => width * (1 - (end - ms) / spanMs);
  const y = (price) => (high === low ? height / 2 : height * (1 - (price - low) / (high - low)));
  return points.map(([ms, price]) => `${x(ms).toFixed(1)},${y(price).toFixed(1)}`).join(" ");
}
