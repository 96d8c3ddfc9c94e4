// One symbol: its own stream, its charts, and the rest of its report.

import { AcrossPanel } from "./across_panel.js";
import { BookLadder } from "./book_ladder.js";
import { Frames } from "./charts/chart.js";
import { DepthChart } from "./charts/depth_chart.js";
import { PriceChart } from "./charts/price_chart.js";
import { el, panel, setData, setText } from "./dom.js";
import { EventStream } from "./event_stream.js";
import { concerns, eventItem } from "./events.js";
import { decimalsOf, fixed, NOTHING, quantity, signed, span } from "./format.js";
import { isIdle } from "./market.js";
import { Past, SPANS } from "./past.js";
import { PastPanel } from "./past_panel.js";
import { ProfilePanel } from "./profile_panel.js";
import { ANOMALIES, HealthPanel, ReportList, VACUUMS, WALLS } from "./report_panels.js";
import { choice, choose } from "./route.js";
import { SymbolHead } from "./symbol_head.js";
import { TradeTape } from "./trade_tape.js";

const TRADING = {
  halted: "The exchange has halted trading of this symbol.",
  delisted: "The exchange has delisted this symbol.",
};
const STALE = { paused: "Paused", "set aside": "Set aside" };
const DESCRIBE_MS = 5000;
const AGAIN_MS = 10_000; // recordings may be busy
const SLIDE_MS = 1000; // the charts go on without a report, but no faster
const SILENCE_MS = 3000; // the server sends a report, or that there is none, sooner than this
const WAIT_MS = 1000; // the first report usually comes sooner; only a longer wait is explained

export class SymbolView {
  #root;
  #market;
  #report = null;
  #absence = null; // the server's text when the report is gone
  #isRefused = false;
  #decimals = 0;
  #openedAt = performance.now();
  #describedAt = -Infinity;
  #pastAt = -Infinity;
  #stream;

  constructor(root, symbol, market) {
    this.#root = root;
    this.symbol = symbol;
    this.#market = market;
    this.#build();
    this.showEvents();
    const row = market.rows.get(symbol);
    this.#decimals = row?.decimals ?? 0;
    if (row) this.#head.showPrice(row.price, this.#decimals);
    this.tick();
    this.#stream = new EventStream(`v1/stream/${encodeURIComponent(symbol)}`, {
      silenceMs: 40_000, // the time of two pings
      refusals: [401, 404],
      onMessage: (name, message) => this.#take(name, message),
      onState: (state) => state === "live" && this.#loadPast(),
      onRefused: (status) => this.#refused(status),
    });
    this.#stream.start();
    this.#head.title.focus({ preventScroll: true });
  }

  close() {
    this.#frames.stop();
    this.#past.stop();
    clearTimeout(this.#again);
    this.#stream.stop();
    this.#price?.close();
    this.#pastPanel.close();
    this.#depth?.close();
    this.#profile.close();
    this.#across.close();
    this.#tape.close();
    this.#root.replaceChildren();
  }

  redraw() {
    this.#price?.redraw();
    this.#pastPanel.redraw();
    this.#depth?.redraw();
    this.#profile.redraw();
    this.#tape.redraw();
  }

  /** Takes the span of the charts from the address. */
  takeChoices() {
    const wanted = SPANS.find(({ key }) => key === choice("range")) ?? SPANS[0];
    for (const button of this.#spans) button.setAttribute("aria-pressed", String(button.value === wanted.key));
    if (wanted === this.#past.span) return;
    this.#past.choose(wanted);
    this.#loadPast();
  }

  /** Shows another span of time in the charts: its place among SPANS. */
  chooseSpan(place) {
    if (SPANS[place]) this.#chooseSpan(SPANS[place]);
  }

  /** Ages grow between reports, and without reports. */
  tick() {
    const now = this.#market.now();
    const { owner, status, age, why } = this.#state(now);
    this.#head.showState(owner, status, age);
    this.#root.classList.toggle("stale", status === "down" || isIdle(status));
    if (!this.#isRefused) {
      const isWaiting = !this.#report && this.#absence === null;
      const isAbsent = !this.#report && !isWaiting;
      this.#cards.hidden = !this.#report; // empty charts say nothing
      const trading = TRADING[this.#report?.ingestion.trading];
      const isLong = performance.now() - this.#openedAt >= WAIT_MS;
      const waiting = isWaiting && isLong && `No data of ${this.symbol} yet. It comes by itself.`;
      this.#root.classList.toggle("waiting", Boolean(waiting));
      const told = [waiting, trading, why && `${STALE[status] ?? "Stale"}: ${why}.`, isAbsent && `${this.#absence}.`].filter(Boolean);
      this.#banner.hidden = told.length === 0;
      setData(this.#banner, "tone", isIdle(status) || waiting ? "calm" : "");
      setText(this.#banner, told.join(" "));
    }
    if (this.#report && performance.now() - this.#pastAt >= SLIDE_MS) this.#showPast(now);
  }

  #state(now) {
    const row = this.#market.rows.get(this.symbol);
    if (!this.#report) {
      return { owner: row?.owner ?? null, status: isIdle(row?.status) ? row.status : "none", age: null };
    }
    const { freshness, writer } = this.#report;
    const silence = Math.max(0, now - freshness.read_at);
    const age = freshness.data_age_ms == null ? null : freshness.data_age_ms + silence;
    if (isIdle(freshness.status)) return { owner: row?.owner ?? null, status: freshness.status, age, why: freshness.reason };
    const lost = this.#absence ?? (silence > SILENCE_MS ? `no news of it for ${span(silence)}` : null);
    return { owner: writer.nodeId, status: lost ? "down" : freshness.status, age, why: lost ?? freshness.reason };
  }

  /** Restarts its stream after the user has entered a token. */
  retry() {
    this.#stream.stop(); // an attempt with the old token may still run, and would end it
    this.#stream.start();
  }

  /** Shows all events of this symbol. */
  showEvents() {
    this.#events.replaceChildren();
    this.#noEvents.hidden = false;
    for (const event of this.#market.events) this.addEvent(event);
  }

  /** Shows one more event if it concerns this symbol. */
  addEvent(event) {
    if (!concerns(event, this.symbol)) return;
    this.#events.prepend(eventItem(event, (symbol) => symbol === this.symbol));
    this.#noEvents.hidden = true;
  }

  #take(name, message) {
    if (name === "report") this.#show(message);
    if (name === "absent") this.#absence = message.text;
  }

  #show(report) {
    const isFirst = !this.#report;
    this.#report = report;
    this.#absence = null;
    this.#decimals = Math.max(this.#decimals, ...[report.last_price, report.best_bid?.price, report.best_ask?.price].map(decimalsOf));
    const { liquidity = {} } = report;
    this.#head.show(report, this.#decimals);
    this.#past.add(report);
    this.#across.follow(report);
    document.title = `${fixed(report.last_price, this.#decimals)} ${this.symbol} · tickfence`;
    const showProfile = () => this.#profile.show(liquidity.volume_profile, report.last_price, this.#decimals);
    if (isFirst) {
      this.#open();
      showProfile(); // what it says in words; its chart comes with the others
    }
    this.tick();
    this.#showPast(this.#market.now());
    this.#frames.paint("depth", () => this.#showDepth(report));
    this.#frames.paint("profile", showProfile);
    this.#frames.paint("lists", () => this.#showLists(report));
    this.#describe(report);
  }

  #showDepth(report) {
    const { depth } = report;
    this.#depth.show(report, this.#decimals);
    const [bid, ask] = [quantity(depth.total_bid_qty), quantity(depth.total_ask_qty)];
    setText(this.#depthSum, `Bid ${bid}, ask ${ask}, imbalance ${signed(depth.imbalance, 2)}`);
  }

  #showLists({ depth, health, liquidity = {}, anomalies, mid_price: middle, last_price: last }) {
    this.#ladder.show(depth, this.#decimals);
    this.#health.show(health);
    const place = { middle: middle ?? last, decimals: this.#decimals };
    this.#walls.show(liquidity.walls, place);
    this.#vacuums.show(liquidity.vacuums, place);
    this.#anomalies.show(anomalies, place);
  }

  // The charts in words for assistive technology; not for every report, which nobody could follow.
  #describe(report) {
    if (performance.now() - this.#describedAt < DESCRIBE_MS) return;
    this.#describedAt = performance.now();
    const { depth, liquidity } = report;
    const price = (value) => (value == null ? NOTHING : fixed(value, this.#decimals));
    this.#depthHost.setAttribute(
      "aria-label",
      `Depth chart: best bid ${price(report.best_bid?.price)}, best ask ${price(report.best_ask?.price)}, ` +
        `imbalance ${signed(depth.imbalance, 2)}`,
    );
    const { VAL, VAH, POC } = liquidity?.volume_profile ?? {};
    const area = POC == null ? "" : `, value area ${price(VAL)} to ${price(VAH)}, point of control ${price(POC)}`;
    this.#priceHost.setAttribute("aria-label", `Price chart: last ${price(report.last_price)}${area}`);
  }

  async #loadPast() {
    clearTimeout(this.#again);
    try {
      this.#pastPanel.setKept(await this.#past.load());
      this.#showPast(this.#market.now());
    } catch (error) {
      if (error.name === "AbortError") return;
      console.info(`No history of ${this.symbol}: ${error.message}`);
      this.#again = setTimeout(() => this.#loadPast(), AGAIN_MS);
    }
  }

  #showPast(now) {
    if (!this.#report) return;
    this.#pastAt = performance.now();
    this.#frames.paint("price", () => {
      const columns = this.#past.columns(now);
      const { volume_profile: profile, walls } = this.#report?.liquidity ?? {};
      this.#price.setMarks(profile, walls, this.#profile.bars);
      this.#price.show([columns.time_ms, columns.last_price], this.#past.span.ms, now, this.#decimals);
      this.#pastPanel.show(columns, now);
    });
  }

  #refused(status) {
    if (status === 401) return; // the main stream asks for the token; see main.js
    this.#isRefused = true;
    this.#head.refuse();
    this.#cards.hidden = true;
    this.#banner.hidden = false;
    setText(this.#banner, `There is no symbol ${this.symbol} here.`);
  }

  #frames = new Frames();
  #head = null;
  #past = null;
  #again = null;
  #pastPanel = null;
  #price = null;
  #depth = null;
  #health = new HealthPanel();
  #across = null;
  #profile = null;
  #ladder = new BookLadder();
  #tape = null;
  #spans = [];
  #walls = new ReportList(WALLS);
  #vacuums = new ReportList(VACUUMS);
  #anomalies = new ReportList(ANOMALIES);
  #banner = el("p", { class: "banner", hidden: true });
  #cards = el("div", { class: "cards" });
  #priceHost = el("div", { class: "chart price-chart", role: "img", "aria-label": "Price chart" });
  #depthHost = el("div", { class: "chart depth-chart", role: "img", "aria-label": "Depth chart" });
  #priceReadOut = el("span", { class: "count read-out", "aria-hidden": "true" });
  #depthReadOut = el("span", { class: "count read-out", "aria-hidden": "true" });
  #profileReadOut = el("span", { class: "count read-out", "aria-hidden": "true" });
  #depthSum = el("span", { class: "count" });
  #events = el("ol", { class: "events" });
  #noEvents = el("p", { class: "empty" }, "Nothing has happened to this symbol yet.");

  #build() {
    this.#head = new SymbolHead(this.symbol);
    this.#profile = new ProfilePanel(this.symbol);
    this.#across = new AcrossPanel(this.symbol, (isShown) => (across.hidden = !isShown));
    const across = panel("across", "Across venues", [this.#across.pair, this.#across.counted], this.#across.element);
    across.hidden = true;
    this.#tape = new TradeTape(this.symbol);
    this.#past = new Past(this.symbol);
    this.#past.span = SPANS.find(({ key }) => key === choice("range")) ?? SPANS[0];
    this.#pastPanel = new PastPanel(this.#past, this.symbol, this.#frames);
    this.#cards.append(
      panel("price", "Price", [this.#priceReadOut, this.#spanChoice()], this.#priceHost),
      panel("profile", "Volume profile", [this.#profile.count, this.#profileReadOut], this.#profile.element),
      across,
      panel("past", "Over time", [this.#pastPanel.begins, this.#pastPanel.exporting], this.#pastPanel.element),
      panel("depth", "Depth", [this.#depthSum, this.#depthReadOut], this.#depthHost),
      panel("health", "Health", [this.#health.score], this.#health.element),
      panel("book", "Order book", [this.#ladder.count], this.#ladder.element),
      panel("tape", "Trades", [this.#tape.count], this.#tape.element),
      panel("walls", "Walls", [this.#walls.count], this.#walls.element),
      panel("vacuums", "Vacuums", [this.#vacuums.count], this.#vacuums.element),
      panel("anomalies", "Anomalies", [this.#anomalies.count], this.#anomalies.element),
      panel("history", "Ownership", [], el("div", { class: "scroller" }, this.#events, this.#noEvents)),
    );
    this.#root.replaceChildren(this.#head.element, this.#banner, this.#cards);
  }

  // With the first report there is something to show, and the charts have their size.
  #open() {
    const pointed = (readOut) => (text) => setText(readOut, text);
    const { pair } = this.#market.rows.get(this.symbol) ?? {};
    const isSame = (row) => pair && row.pair === pair;
    this.#across.expect([...this.#market.rows.values()].filter(isSame).map(({ symbol }) => symbol));
    // What is painted later comes after these.
    this.#frames.paint("new price", () => (this.#price = new PriceChart(this.#priceHost, pointed(this.#priceReadOut))));
    this.#frames.paint("new depth", () => (this.#depth = new DepthChart(this.#depthHost, pointed(this.#depthReadOut))));
    this.#frames.paint("new profile", () => this.#profile.open(pointed(this.#profileReadOut)));
    this.#frames.paint("new past", () => this.#pastPanel.open());
    this.#tape.open();
  }

  #spanChoice() {
    this.#spans = SPANS.map((span) => {
      const isPressed = String(span === this.#past.span);
      const button = el("button", { type: "button", value: span.key, "aria-pressed": isPressed }, span.name);
      button.addEventListener("click", () => this.#chooseSpan(span));
      return button;
    });
    return el("div", { class: "choice", role: "group", "aria-label": "Span of the charts over time" }, ...this.#spans);
  }

  #chooseSpan(span) {
    choose({ range: span === SPANS[0] ? null : span.key }, true);
    this.takeChoices();
  }
}
