// The price over time, with the volume profile's value area behind it.

import { colour, drawBand, drawLine } from "./chart.js";
import { TimeChart } from "./time_chart.js";
import { fixed } from "../format.js";

const BARS_SHARE = 0.2; // of the plot's width, for the fullest price

export class PriceChart extends TimeChart {
  #last = null; // [ms, price]
  #profile = null;
  #walls = [];
  #bars = [];
  #decimals = 2;

  constructor(host, onPoint) {
    super(host, {
      series: [{ stroke: () => colour("price"), width: 1.5, points: { show: false } }],
      scale: (self) => ({
        size: (plot, values) => 22 + 6.4 * Math.max(4, ...[...(values ?? []), self()?.tag() ?? ""].map((text) => text.length)),
        values: (plot, splits) => splits.map((value) => (self().isUnderTag(value) ? "" : fixed(value, self().#decimals))),
      }),
      hooks: (self) => ({
        drawClear: [(plot) => self()?.drawUnder(plot)],
        draw: [(plot) => self()?.drawOver(plot)],
      }),
      onPoint,
    });
  }

  /** columns: the times and the prices. */
  show(columns, spanMs, now, decimals) {
    const [times, prices] = columns;
    this.#decimals = decimals;
    const place = prices.findLastIndex((price) => price != null);
    this.#last = place < 0 ? null : [times[place], prices[place]];
    super.show(columns, spanMs, now);
  }

  /** bars: [[middle, volume], …] of the volume profile, drawn from the left. */
  setMarks(profile, walls, bars) {
    this.#profile = profile ?? null;
    this.#walls = walls ?? [];
    this.#bars = bars;
  }

  /** The prices with a margin, and the value area if that does not flatten the line. */
  valueRange(low, high) {
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
    return this.#last ? fixed(this.#last[1], this.#decimals) : "";
  }

  /** Whether the tag of the latest price would cover the axis label at this value. */
  isUnderTag(value) {
    return this.#last !== null && Math.abs(this.plot.valToPos(value, "y") - this.plot.valToPos(this.#last[1], "y")) < 15;
  }

  // The latest price as a tag on the axis.
  #drawLast(plot) {
    const last = this.#last;
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

  valueAt(index) {
    const price = this.plot.data[1][index];
    return price == null ? "" : fixed(price, this.#decimals);
  }
}
