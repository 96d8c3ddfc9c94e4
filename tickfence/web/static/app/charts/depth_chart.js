// The book: how much is bid and asked up to each price, with walls, vacuums and the volume profile's prices marked.

import { axis, Chart, colour, drawBand, drawLine, priceLabels, uPlot } from "./chart.js";
import { fixed, quantity, signed } from "../format.js";

const PROFILE_PLACES = { VAL: { row: 1, side: "before" }, VAH: { row: 1, side: "after" }, POC: { row: 2 } }; // below walls
const SLACK = 0.12; // the scales follow the book when it has outgrown them by this share

export class DepthChart extends Chart {
  #report = null;
  #half = 0;
  #top = 0;
  #decimals = 2;

  /** onPoint(text): what is under the pointer, or "" . */
  constructor(host, onPoint) {
    const side = (name, align) => ({
      stroke: () => colour(name),
      fill: () => colour(name, 0.16),
      width: 1.5,
      paths: uPlot.paths.stepped({ align }),
      points: { show: false },
    });
    let self = null;
    super(host, {
      cursor: { y: false, drag: { x: false, y: false }, points: { size: 6 } },
      scales: {
        x: { time: false, range: () => self?.priceRange() ?? [0, 1] },
        y: { range: () => [0, self?.quantityRange() ?? 1] },
      },
      axes: [
        axis({ size: 28, space: 90, values: priceLabels(() => self.#decimals) }),
        axis({ side: 1, size: 52, space: 36, values: (plot, splits) => splits.map(quantity) }),
      ],
      // Bids hold from a level down to the next, asks from a level up to the next.
      series: [{}, side("bid", -1), side("ask", 1)],
      hooks: {
        drawClear: [(plot) => self?.drawUnder(plot)],
        draw: [(plot) => self?.drawOver(plot)],
        setCursor: [(plot) => self && onPoint(self.readOut(plot.cursor.idx))],
      },
    });
    self = this;
  }

  show(report, decimals) {
    this.#report = report;
    this.#decimals = decimals;
    const bids = extended(cumulative(report.depth.bids)).reverse();
    const asks = extended(cumulative(report.depth.asks));
    const none = (levels) => levels.map(() => null);
    this.paint([
      [...bids, ...asks].map(([price]) => price),
      [...bids.map(([, sum]) => sum), ...none(asks)],
      [...none(bids), ...asks.map(([, sum]) => sum)],
    ]);
  }

  /** Symmetric around the middle of the book. */
  priceRange() {
    const { bids, asks } = this.#report?.depth ?? {};
    const prices = [...(bids ?? []), ...(asks ?? [])].map((level) => level.price);
    if (!prices.length) return [0, 1];
    const middle = this.middle() ?? prices[0];
    const half = Math.max(...prices.map((price) => Math.abs(price - middle))) || middle * 1e-4;
    if (half > this.#half || half < this.#half * (1 - 2 * SLACK)) this.#half = half * (1 + SLACK / 2);
    return [middle - this.#half, middle + this.#half];
  }

  quantityRange() {
    const { bids = [], asks = [] } = this.#report?.depth ?? {};
    const most = Math.max(cumulative(bids).at(-1)?.[1] ?? 0, cumulative(asks).at(-1)?.[1] ?? 0) || 1;
    if (most * 1.05 > this.#top || most < this.#top * (1 - 3 * SLACK)) this.#top = most * (1.1 + SLACK);
    return this.#top;
  }

  middle() {
    return this.#report?.mid_price ?? this.#report?.last_price ?? null;
  }

  drawUnder(plot) {
    for (const { from, to } of this.#report?.liquidity?.vacuums ?? []) drawBand(plot, "x", from, to, colour("vacuum", 0.16));
  }

  drawOver(plot) {
    const { walls = [], volume_profile: profile } = this.#report?.liquidity ?? {};
    for (const [name, place] of Object.entries(PROFILE_PLACES)) {
      const value = profile?.[name];
      if (value != null) drawLine(plot, "x", value, { stroke: colour("profile"), label: name, dash: [2, 3], ...place });
    }
    for (const { side, price, qty, severity } of walls) {
      const label = severity === "low" ? "" : `wall ${quantity(qty)}`;
      drawLine(plot, "x", price, { stroke: colour(side), label, dash: [5, 3] });
    }
    const middle = this.middle();
    if (middle !== null) drawLine(plot, "x", middle, { stroke: colour("ink-3"), dash: [] });
  }

  readOut(index) {
    if (index == null || !this.plot.data[0].length) return "";
    const [prices, bids, asks] = this.plot.data;
    const price = prices[index];
    const middle = this.middle();
    const away = middle ? `, ${signed((price / middle - 1) * 1e4, 1)} bps from mid` : "";
    const side = bids[index] != null ? "bid" : "ask";
    return `${fixed(price, this.#decimals)}: ${quantity(bids[index] ?? asks[index])} ${side} up to here${away}`;
  }
}

// One more level's width, so that the last step is visible.
function extended(steps) {
  if (steps.length < 2) return steps;
  const [[first], [last, sum]] = [steps[0], steps.at(-1)];
  return [...steps, [last + (last - first) / (steps.length - 1), sum]];
}

function cumulative(levels) {
  let sum = 0;
  return levels.map(({ price, qty }) => [price, (sum += qty)]);
}
