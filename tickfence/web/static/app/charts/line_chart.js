// One or two values over time, without marks.

import { drawLine } from "./chart.js";
import { colour } from "./palette.js";
import { TimeChart } from "./time_chart.js";

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
