// The volume profile: how much was traded at each price, with the value area and its fullest price marked.

import { axis, Chart, colour, drawBand, drawLine, priceLabels, uPlot } from "./chart.js";
import { fixed, quantity } from "../format.js";

const PLACES = { VAL: { dash: [3, 3], side: "before" }, VAH: { dash: [3, 3], side: "after" }, POC: { dash: [], row: 1 } };
const BARS = 90; // more bars would be too thin to see

export class ProfileChart extends Chart {
  #profile = null;
  #price = null;
  #decimals = 2;

  /** onPoint(text): what is under the pointer, or "". */
  constructor(host, onPoint) {
    let self = null;
    super(host, {
      cursor: { y: false, drag: { x: false, y: false }, points: { show: false } },
      scales: {
        x: { time: false, range: (plot, low, high) => self?.priceRange(low, high) ?? [0, 1] },
        y: { range: (plot, low, high) => [0, (high || 1) * 1.4] },
      },
      axes: [
        axis({ size: 28, space: 90, values: priceLabels(() => self.#decimals) }),
        axis({ side: 1, size: 52, space: 36, values: (plot, splits) => splits.map(quantity) }),
      ],
      series: [
        {},
        {
          stroke: () => colour("profile", 0.5),
          fill: () => colour("profile", 0.5),
          width: 0,
          paths: uPlot.paths.bars({ size: [0.85, 40] }),
          points: { show: false },
        },
      ],
      hooks: {
        drawClear: [(plot) => self?.drawUnder(plot)],
        draw: [(plot) => self?.drawOver(plot)],
        setCursor: [(plot) => self && onPoint(self.readOut(plot.cursor.idx))],
      },
    });
    self = this;
  }

  /** bins: of `/profiles/{symbol}`; the bars they are shown as: [[middle, volume], …]. */
  setBins(bins, width) {
    const bars = grouped(bins, width);
    this.paint([bars.map(([price]) => price), bars.map(([, volume]) => volume)]);
    return bars;
  }

  /** The report's three prices, and the newest price. */
  setMarks(profile, price, decimals) {
    this.#profile = profile;
    this.#price = price;
    this.#decimals = decimals;
    this.paintMarks();
  }

  priceRange(low, high) {
    if (low == null) return [0, 1];
    const room = (high - low) * 0.04 || low * 1e-4;
    return [low - room, high + room];
  }

  drawUnder(plot) {
    if (this.#profile && plot.data[0].length) {
      drawBand(plot, "x", this.#profile.VAL, this.#profile.VAH, colour("profile", 0.1));
    }
  }

  drawOver(plot) {
    if (!plot.data[0].length) return;
    for (const [name, place] of this.#profile ? Object.entries(PLACES) : []) {
      drawLine(plot, "x", this.#profile[name], { stroke: colour("profile"), label: name, ...place });
    }
    if (this.#price != null) drawLine(plot, "x", this.#price, { stroke: colour("price"), dash: [] });
  }

  readOut(index) {
    const [prices, volumes] = this.plot.data;
    return index == null || volumes[index] == null ? "" : `${fixed(prices[index], this.#decimals)}: ${quantity(volumes[index])}`;
  }
}

/** [[middle, volume], …]: bins by rising price; neighbours are merged when there are too many. */
export function grouped(bins, width) {
  if (!bins.length) return [];
  const first = bins[0][0];
  const count = Math.round((bins.at(-1)[0] - first) / width) + 1;
  const together = Math.ceil(count / BARS);
  const volumes = new Array(Math.ceil(count / together)).fill(0);
  for (const [low, volume] of bins) volumes[Math.floor(Math.round((low - first) / width) / together)] += volume;
  return volumes.map((volume, place) => [first + (place + 0.5) * together * width, volume]);
}
