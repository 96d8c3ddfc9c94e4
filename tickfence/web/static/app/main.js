// The page: one stream, one market, and the views that show it.

import { NodesPanel, RatePanel, Summary } from "./cluster.js";
import { Connection } from "./connection.js";
import { announce, byId } from "./dom.js";
import { EventStream } from "./event_stream.js";
import { headline, weight } from "./events.js";
import { isHelpOpen, setUpHelp, setUpTheme, setUpZone, showHelp, showLinks } from "./header_footer.js";
import { Market } from "./market.js";
import { NodeView } from "./node_view.js";
import { Overview } from "./overview.js";
import { goToOverview, isTyping, viewInAddress } from "./route.js";
import { askForToken, isAsking, takeTokenFromAddress } from "./session.js";
import { Timeline } from "./timeline.js";

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
const connection = new Connection();
const overview = new Overview(market);
const nodes = new NodesPanel(market);
const timeline = new Timeline(market);
const summary = new Summary(market);
const rates = new RatePanel();
let view = null; // of a symbol or a node; none: the overview
let SymbolView = null; // its modules are loaded when they are needed, or when the overview is shown
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
market.addEventListener(
  "state",
  () => {
    const whenIdle = window.requestIdleCallback ?? setTimeout;
    whenIdle(() => Promise.all([rates.open(), loadSymbolView()]).catch((error) => console.info("Not loaded:", error.message)));
  },
  { once: true },
);
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
  if (weight(event) === "bad") announce(headline(event));
});
setInterval(() => {
  if (document.hidden) return;
  overview.update();
  summary.update();
  view?.tick();
}, CLOCK_MS);

async function loadSymbolView() {
  ({ SymbolView } = await import("./symbol_view.js"));
}

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
  delete document.documentElement.dataset.opening; // of early_start.js
  byId("symbol").className = node === null ? "symbol" : "symbol node";
  if (isOverview) {
    document.title = "tickfence";
    overview.takeChoices();
    timeline.takeChoices();
    if (left) overview.focusSymbol(left);
    else if (!wasOverview) byId("overview").focus();
    return undefined;
  }
  if (symbol !== null && !SymbolView) {
    loadSymbolView().then(showRoute, () => dispatchEvent(new Event("viewmissing"))); // early_start.js reloads the page
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
  rates.redraw();
  view?.redraw();
});
setUpHelp();
showLinks();
showRoute();
stream.start();
