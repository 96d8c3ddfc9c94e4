// The price over the last minutes, with the volume profile's value area behind it.

import { clock, fixed } from "../format.js";
import { axis, Chart, drawBand, drawLine } from "./chart.js";
import { colour } from "./palette.js";

const LONGEST_MS = 30 * 60_000;
const SHORTEST_MS = 60_000;
const BARS_SHARE = 0.2; // of the plot's width, for the fullest price
const GAP_MS = 5000; // a longer time without a price is drawn as a gap

// With seconds when two labels would show the same minute.
function times(plot, splits, index, space, step) {
  return splits.map((ms) => (step < 60_000 ? clock(ms) : clock(ms).slice(0, 5)));
}

export class PriceChart extends Chart {
  minutes = 15;
  #points = []; // [ms, price], rising
  #profile = null;
  #walls = [];
  #bars = [];
  #decimals = 2;
  #now = Date.now();

  constructor(host, onPoint) {
    let self = null;
    super(host, {
      cursor: { drag: { x: false, y: false }, points: { size: 6 } },
      ms: 1,
      scales: {
        x: { range: () => self?.timeRange() ?? [0, 1] },
        y: { range: (plot, low, high) => self?.priceRange(low, high) ?? [0, 1] },
      },
      axes: [
        axis({ size: 28, space: 70, values: times }),
        axis({
          side: 1,
          space: 34,
          size: (plot, values) => 22 + 6.4 * Math.max(4, ...[...(values ?? []), self?.tag() ?? ""].map((text) => text.length)),
          values: (plot, splits) => splits.map((value) => (self.#isUnderTag(value) ? "" : fixed(value, self.#decimals))),
        }),
      ],
      series: [{}, { stroke: () => colour("price"), width: 1.5, points: { show: false } }],
      hooks: {
        drawClear: [(plot) => self?.drawUnder(plot)],
        draw: [(plot) => self?.drawOver(plot)],
        setCursor: [(plot) => self && onPoint(self.readOut(plot.cursor.idx))],
      },
    });
    self = this;
  }

  /** Adds the prices of seconds that the page has missed: [[ms, price], …]. */
  setHistory(points) {
    const second = ([ms]) => Math.floor(ms / 1000);
    const watched = new Set(this.#points.map(second));
    this.#points = [...this.#points, ...points.filter((point) => !watched.has(second(point)))].sort(([a], [b]) => a - b);
  }

  /** A report's price. */
  add(ms, price, decimals) {
    this.#decimals = decimals;
    const last = this.#points.at(-1);
    if (price == null || (last && ms <= last[0])) return;
    this.#points.push([ms, price]);
    if (this.#points[0][0] < ms - LONGEST_MS - 60_000) {
      this.#points = this.#points.filter(([at]) => at >= ms - LONGEST_MS);
    }
  }

  /** bars: [[middle, volume], …] of the volume profile, drawn from the left. */
  setMarks(profile, walls, bars) {
    this.#profile = profile ?? null;
    this.#walls = walls ?? [];
    this.#bars = bars;
  }

  show(now) {
    this.#now = now;
    const from = now - this.minutes * 60_000;
    const times = [];
    const prices = [];
    for (const [ms, price] of this.#points) {
      if (ms < from) continue;
      if (times.length && ms - times.at(-1) > GAP_MS) {
        times.push(times.at(-1) + 1);
        prices.push(null);
      }
      times.push(ms);
      prices.push(price);
    }
    this.plot.setData([times, prices]);
  }

  /** The chosen minutes, or those that have data. */
  timeRange() {
    const first = this.plot.data[0][0] ?? this.#now;
    const from = Math.max(this.#now - this.minutes * 60_000, Math.min(first, this.#now - SHORTEST_MS));
    return [from, this.#now + (this.#now - from) * 0.005];
  }

  /** The prices with a margin, and the value area if that does not flatten the line. */
  priceRange(low, high) {
    if (low == null) return [0, 1];
    const span = Math.max(high - low, high * 2e-5);
    const marks = [this.#profile?.VAL, this.#profile?.VAH].filter((price) => price != null);
    const near = marks.filter((price) => price > low - span * 0.6 && price < high + span * 0.6);
    const [from, to] = [Math.min(low, ...near), Math.max(high, ...near)];
    return [from - span * 0.08, to + span * 0.12];
  }

  drawUnder(plot) {
    if (!this.#profile || !plot.data[0].length) return;
    drawBand(plot, "y", this.#profile.VAL, this.#profile.VAH, colour("profile", 0.1));
    this.#drawBars(plot);
  }

  #drawBars(plot) {
    if (this.#bars.length < 2) return;
    const { ctx, bbox } = plot;
    const most = Math.max(...this.#bars.map(([, volume]) => volume));
    const step = this.#bars[1][0] - this.#bars[0][0];
    const height = Math.max(1, Math.abs(plot.valToPos(step, "y", true) - plot.valToPos(0, "y", true)) - devicePixelRatio);
    ctx.save();
    ctx.beginPath();
    ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
    ctx.clip();
    ctx.fillStyle = colour("profile", 0.2);
    for (const [price, volume] of this.#bars) {
      const middle = plot.valToPos(price, "y", true);
      ctx.fillRect(bbox.left, middle - height / 2, (bbox.width * BARS_SHARE * volume) / most, height);
    }
    ctx.restore();
  }

  drawOver(plot) {
    if (!plot.data[0].length) return;
    (this.#profile ? ["VAH", "POC", "VAL"] : []).forEach((name, row) => {
      const dash = name === "POC" ? [] : [3, 3];
      drawLine(plot, "y", this.#profile[name], { stroke: colour("profile"), label: name, dash, row });
    });
    for (const { side, price, severity } of this.#walls) {
      if (severity !== "low") drawLine(plot, "y", price, { stroke: colour(side), dash: [1, 4] });
    }
    this.#drawLast(plot);
  }

  /** The latest price as the axis shows it. */
  tag() {
    return this.#points.length ? fixed(this.#points.at(-1)[1], this.#decimals) : "";
  }

  // Whether the tag of the latest price would cover the axis label at this value.
  #isUnderTag(value) {
    const last = this.#points.at(-1);
    return last !== undefined && Math.abs(this.plot.valToPos(value, "y") - this.plot.valToPos(last[1], "y")) < 15;
  }

  // The latest price as a tag on the axis.
  #drawLast(plot) {
    const last = this.#points.at(-1);
    if (!last) return;
    const ratio = devicePixelRatio;
    const { left, width, top, height } = plot.bbox;
    const y = plot.valToPos(last[1], "y", true);
    if (y < top || y > top + height) return;
    const { ctx } = plot;
    ctx.save();
    ctx.fillStyle = colour("price");
    ctx.fillRect(left + width, y - 9 * ratio, plot.ctx.canvas.width - left - width, 18 * ratio);
    ctx.beginPath();
    ctx.arc(plot.valToPos(last[0], "x", true), y, 3 * ratio, 0, 2 * Math.PI);
    ctx.fill();
    ctx.fillStyle = colour("panel");
    ctx.font = `600 ${11 * ratio}px Inter, system-ui, sans-serif`;
    ctx.textBaseline = "middle";
    ctx.fillText(this.tag(), left + width + 6 * ratio, y);
    ctx.restore();
  }

  readOut(index) {
    const [times, prices] = this.plot.data;
    return index == null || prices[index] == null ? "" : `${clock(times[index])}: ${fixed(prices[index], this.#decimals)}`;
  }
}
