// A chart over time: its time axis, and what is under the pointer. And one of lines without marks.

import { axis, Chart, colour, drawLine } from "./chart.js";
import { clock } from "../format.js";

const SHORTEST_MS = 60_000;

const HALF_CHARACTER_PX = 3.3;

// With seconds when two labels would show the same minute; none where the chart's left edge would cut it.
function times(plot, splits, index, space, step) {
  const left = plot.bbox.left / devicePixelRatio;
  return splits.map((ms) => {
    const text = step < 60_000 ? clock(ms) : clock(ms).slice(0, 5);
    return left + plot.valToPos(ms, "x") < text.length * HALF_CHARACTER_PX ? "" : text;
  });
}

/** Subclasses have `valueRange(low, high)` and `valueAt(index)`, the text for a point or "". */
export class TimeChart extends Chart {
  #now = Date.now();
  #spanMs = SHORTEST_MS;

  /**
   * series, hooks: uPlot's; scale(self): its value axis;
   * key: charts with the same one show their pointers together; onPoint(text): what is under the pointer, or "".
   */
  constructor(host, { series, scale, hooks = () => ({}), key = null, onPoint }) {
    let self = null;
    super(host, {
      cursor: { drag: { x: false, y: false }, points: { size: 6 }, sync: key && { key, setSeries: false } },
      ms: 1,
      scales: {
        x: { range: () => self?.timeRange() ?? [0, 1] },
        y: { range: (plot, low, high) => self?.valueRange(low, high) ?? [0, 1] },
      },
      axes: [axis({ size: 28, space: 70, values: times }), axis({ side: 1, space: 34, ...scale(() => self) })],
      series: [{}, ...series],
      hooks: { ...hooks(() => self), setCursor: [(plot) => self && onPoint(self.readOut(plot.cursor.idx))] },
    });
    self = this;
  }

  /** columns: the times, and one for each series. */
  show(columns, spanMs, now) {
    this.#now = now;
    this.#spanMs = spanMs;
    this.paint(columns);
  }

  /** The chosen span, or the part of it that has data. */
  timeRange() {
    const first = this.plot.data[0][0] ?? this.#now;
    const from = Math.max(this.#now - this.#spanMs, Math.min(first, this.#now - SHORTEST_MS));
    return [from, this.#now + (this.#now - from) * 0.005];
  }

  readOut(index) {
    const text = index == null ? "" : this.valueAt(index);
    return text && `${clock(this.plot.data[0][index])}: ${text}`;
  }
}

const AXIS_PX = 52;

export class LineChart extends TimeChart {
  #range;
  #text;

  /**
   * colours: of the lines, from tokens.css; range(low, high): of the value axis; text(...values): what a point says;
   * label(value): of the value axis; zero: whether a line marks 0; key, onPoint: see TimeChart.
   */
  constructor(host, { colours, range, text, label, zero = false, key, onPoint }) {
    super(host, {
      series: colours.map((name) => ({ stroke: () => colour(name), width: 1.25, points: { show: false } })),
      scale: () => ({ size: AXIS_PX, space: 24, values: (plot, splits) => splits.map(label) }),
      hooks: () => ({ drawClear: [(plot) => zero && drawLine(plot, "y", 0, { stroke: colour("edge"), dash: [] })] }),
      key,
      onPoint,
    });
    this.#range = range;
    this.#text = text;
  }

  valueRange(low, high) {
    return low == null ? [0, 1] : this.#range(low, high);
  }

  valueAt(index) {
    const values = this.plot.data.slice(1).map((column) => column[index]);
    return values.some((value) => value == null) ? "" : this.#text(...values);
  }
}
