// The page: one stream, one market, and the views that show it.

import { Announcer } from "./announcer.js";
import { Connection } from "./connection.js";
import { byId } from "./dom.js";
import { EventStream } from "./event_stream.js";
import { headline, weight } from "./events.js";
import { askForToken, isAsking } from "./login.js";
import { Market } from "./market.js";
import { NodesPanel } from "./nodes_panel.js";
import { Overview } from "./overview.js";
import { forgetColours } from "./charts/palette.js";
import { isHelpOpen, setUpHelp, showHelp } from "./help.js";
import { showLinks } from "./links.js";
import { NodeView } from "./node_view.js";
import { RatePanel } from "./rate_panel.js";
import { goToOverview, isTyping, viewInAddress } from "./route.js";
import { takeTokenFromAddress } from "./session.js";
import { Summary } from "./summary.js";
import { SymbolView } from "./symbol_view.js";
import { setUpTheme } from "./theme.js";
import { Timeline } from "./timeline.js";
import { setUpZone } from "./zone.js";

const CLOCK_MS = 250; // ages grow even when nothing arrives

takeTokenFromAddress();
setUpZone(byId("zone"), () => {
  timeline.showAll();
  nodes.update();
  rates.redraw();
  view?.showEvents();
  view?.redraw();
});
const market = new Market();
const announcer = new Announcer();
const connection = new Connection((text) => announcer.say(text));
const overview = new Overview(market);
const nodes = new NodesPanel(market);
const timeline = new Timeline(market);
const summary = new Summary(market);
const rates = new RatePanel();
let view = null; // of a symbol or a node; none: the overview
let tokensTried = 0;

const stream = new EventStream("v1/stream", {
  silenceMs: 6000, // the nodes' state arrives twice a second
  refusals: [401],
  onMessage: (name, message) => market.apply(name, message),
  onState: (state, failures) => {
    if (state === "live") tokensTried = 0;
    connection.show(state, failures);
    overview.explain(connection.trouble);
  },
  onRefused: async () => {
    connection.show("refused");
    await askForToken(tokensTried > 0);
    tokensTried += 1;
    stream.start();
    showLinks();
    view?.retry();
  },
});

market.addEventListener("state", () => {
  connection.heard();
  byId("overview").classList.remove("waiting");
  overview.order();
  summary.update();
  nodes.update();
  timeline.showAll();
  view?.showEvents();
});
market.addEventListener("rows", () => overview.update());
market.addEventListener("lines", () => overview.update());
market.addEventListener("outage", ({ detail: { text, awayForMs } }) => {
  connection.showOutage(text, awayForMs);
  overview.explain(connection.trouble);
});
market.addEventListener("nodes", () => {
  connection.heard();
  nodes.update();
  rates.add(market.heardAt, market.reportsPerSec);
});
market.addEventListener("event", ({ detail: event }) => {
  timeline.add(event);
  view?.addEvent(event);
  if (weight(event) === "bad") announcer.say(headline(event));
});
setInterval(() => {
  if (document.hidden) return;
  overview.update();
  summary.update();
  view?.tick();
}, CLOCK_MS);

function showRoute() {
  const { symbol, node } = viewInAddress();
  if (view && view.symbol === (symbol ?? undefined) && view.node === (node ?? undefined)) return view.takeChoices();
  const left = view?.symbol;
  const wasOverview = !view;
  view?.close();
  view = null;
  const isOverview = symbol === null && node === null;
  byId("overview").hidden = !isOverview;
  byId("symbol").hidden = isOverview;
  byId("symbol").className = node === null ? "symbol" : "symbol node";
  if (isOverview) {
    document.title = "tickfence";
    overview.takeChoices();
    timeline.takeChoices();
    if (left) overview.focusSymbol(left);
    else if (!wasOverview) byId("overview").focus();
    return undefined;
  }
  view = symbol !== null ? new SymbolView(byId("symbol"), symbol, market) : new NodeView(byId("symbol"), node, market);
  scrollTo(0, 0);
  return undefined;
}

addEventListener("popstate", showRoute);
addEventListener("hashchange", showRoute);
addEventListener("online", () => stream.hurry());
document.addEventListener("visibilitychange", () => document.hidden || stream.hurry());
document.addEventListener("keydown", (event) => {
  if (event.altKey || event.ctrlKey || event.metaKey || event.defaultPrevented || isAsking() || isHelpOpen()) return;
  if (isTyping(event)) return;
  if (event.key === "Escape" && view) goToOverview();
  if (event.key === "?") showHelp();
  if (/^[1-4]$/.test(event.key)) view?.chooseSpan?.(Number(event.key) - 1);
  if (event.key === "/" && !view) {
    event.preventDefault();
    overview.focusFilter();
  }
});
document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault(); // the address is used for the view
  (view ? byId("symbol").querySelector("h1") : byId("overview")).focus();
});
setUpTheme(byId("theme"), () => {
  forgetColours();
  rates.redraw();
  view?.redraw();
});
setUpHelp();
showLinks();
showRoute();
stream.start();
