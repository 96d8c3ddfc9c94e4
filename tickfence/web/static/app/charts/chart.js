// Shared by the charts: a uPlot that fills its element, when it is painted, marks on top of it, and the style sheet's colours.

import uPlot from "../../vendor/uplot/uPlot.esm.js";
import { fixed } from "../format.js";

const FONT = "11px Inter, system-ui, sans-serif";
const ALIGN = { before: "right", on: "center", after: "left" };
const BESIDE = { before: -5, on: 0, after: 5 }; // px from a line to its label

export { uPlot };

export class Chart {
  #resize;
  #sight;
  #isSeen = false;
  #data = null; // what waits until the chart is in sight

  /** host: the element to fill; options: uPlot's, without width and height. */
  constructor(host, options) {
    this.plot = new uPlot(
      { legend: { show: false }, padding: [10, 0, 0, 12], ...options, ...size(host) },
      options.series.map(() => []),
      host,
    );
    this.#resize = new ResizeObserver(() => host.clientWidth && this.plot.setSize(size(host)));
    this.#resize.observe(host);
    this.#sight = new IntersectionObserver((entries) => this.#look(entries.at(-1).isIntersecting), { rootMargin: "50%" });
    this.#sight.observe(host);
  }

  /** Shows uPlot's data: at once if the chart is in sight or near, else when it comes there. */
  paint(data) {
    if (this.#isSeen) this.plot.setData(data);
    else this.#data = data;
  }

  /** Paints the marks again. */
  paintMarks() {
    if (this.#isSeen) this.plot.redraw(false, true);
  }

  #look(isSeen) {
    const cameIntoSight = isSeen && !this.#isSeen;
    this.#isSeen = isSeen;
    if (!cameIntoSight) return;
    if (this.#data) this.plot.setData(this.#data);
    else this.plot.redraw(false, true); // its marks
    this.#data = null;
  }

  /** Paints all again: the theme or the zone of times has changed. */
  redraw() {
    known.clear();
    this.plot.redraw(true, true);
  }

  close() {
    this.#resize.disconnect();
    this.#sight.disconnect();
    this.plot.destroy();
  }
}

function size(host) {
  return { width: Math.max(50, host.clientWidth), height: Math.max(50, host.clientHeight) };
}

/** Paints spread over frames, so that no frame of a slow device takes long. */
export class Frames {
  #waiting = new Map(); // name -> what paints it, the newest only
  #queued = null;

  /** Paints in one of the next frames, unless something newer of this name comes before. */
  paint(name, work) {
    this.#waiting.set(name, work);
    this.#queued ??= requestAnimationFrame(() => this.#next());
  }

  stop() {
    this.#waiting.clear();
    cancelAnimationFrame(this.#queued);
    this.#queued = null;
  }

  #next() {
    const [[name, work]] = this.#waiting;
    this.#waiting.delete(name);
    this.#queued = this.#waiting.size ? requestAnimationFrame(() => this.#next()) : null;
    work();
  }
}

/** An axis in the page's colours; `more` overrides. */
export function axis(more) {
  return {
    font: FONT,
    stroke: () => colour("ink-3"),
    grid: { stroke: () => colour("line"), width: 1 },
    ticks: { show: false },
    gap: 6,
    ...more,
  };
}

/** Labels of a price axis below a plot; none where it would be cut off by the edge. */
export function priceLabels(decimals) {
  return (plot, splits) =>
    splits.map((value) => {
      const text = fixed(value, decimals());
      return plot.valToPos(value, "x") < text.length * 2.6 ? null : text;
    });
}

/**
 * A vertical (`x`) or horizontal (`y`) line over the whole plot at a value, with a label at its end; not if outside.
 * `row` (how many labels come before it) and, for vertical lines, `side` ("before" or "after") keep labels of nearby lines
 * apart.
 */
export function drawLine(plot, scale, value, { stroke, label = "", dash = [4, 4], row = 0, side = "on" }) {
  const { left, top, width, height } = plot.bbox;
  const place = plot.valToPos(value, scale, true);
  const isAcross = scale === "y";
  if (isAcross ? place < top || place > top + height : place < left || place > left + width) return false;
  const ratio = devicePixelRatio;
  const { ctx } = plot;
  ctx.save();
  ctx.strokeStyle = stroke;
  ctx.lineWidth = ratio;
  ctx.setLineDash(dash.map((length) => length * ratio));
  ctx.beginPath();
  if (isAcross) {
    ctx.moveTo(left, place);
    ctx.lineTo(left + width, place);
  } else {
    ctx.moveTo(place, top);
    ctx.lineTo(place, top + height);
  }
  ctx.stroke();
  ctx.restore();
  if (!label) return true;
  if (isAcross) drawText(plot, label, left + (6 + 36 * row) * ratio, place - 4 * ratio, stroke);
  else drawText(plot, label, place + BESIDE[side] * ratio, top + (10 + 14 * row) * ratio, stroke, ALIGN[side]);
  return true;
}

/** Text at a position in canvas pixels, kept inside the plot, on the panel's colour so that it is readable. */
export function drawText(plot, text, x, y, fill, align = "left") {
  const { ctx, bbox } = plot;
  const ratio = devicePixelRatio;
  ctx.save();
  ctx.font = FONT.replace("11px", `${11 * ratio}px`);
  const width = ctx.measureText(text).width;
  let left = x - width * { left: 0, center: 0.5, right: 1 }[align];
  left = Math.min(Math.max(left, bbox.left + 2 * ratio), bbox.left + bbox.width - width - 2 * ratio);
  ctx.fillStyle = colour("panel", 0.85);
  ctx.fillRect(left - 3 * ratio, y - 10 * ratio, width + 6 * ratio, 13 * ratio);
  ctx.fillStyle = fill;
  ctx.fillText(text, left, y);
  ctx.restore();
}

/** A band between two values of a scale over the whole plot. */
export function drawBand(plot, scale, from, to, fill) {
  const { left, top, width, height } = plot.bbox;
  const ends = [plot.valToPos(from, scale, true), plot.valToPos(to, scale, true)].sort((a, b) => a - b);
  const limits = scale === "y" ? [top, top + height] : [left, left + width];
  const [low, high] = [Math.max(ends[0], limits[0]), Math.min(ends[1], limits[1])];
  if (high <= low) return;
  plot.ctx.save();
  plot.ctx.fillStyle = fill;
  if (scale === "y") plot.ctx.fillRect(left, low, width, high - low);
  else plot.ctx.fillRect(low, top, high - low, height);
  plot.ctx.restore();
}

const known = new Map();
let probe = null;

/** The style sheet's colours for canvases, which know no CSS variables. The current value of a colour of tokens.css: `colour("bid")`; `alpha` is its opacity. */
export function colour(name, alpha = 1) {
  const key = `${name} ${alpha}`;
  if (!known.has(key)) known.set(key, resolve(name, alpha));
  return known.get(key);
}

function resolve(name, alpha) {
  probe ??= document.body.appendChild(Object.assign(document.createElement("i"), { hidden: true }));
  probe.style.color = `color-mix(in srgb, var(--${name}) ${alpha * 100}%, transparent)`;
  return getComputedStyle(probe).color;
}
