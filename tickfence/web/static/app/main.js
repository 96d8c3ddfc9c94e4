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
import { goToOverview, isTyping, symbolInAddress } from "./route.js";
import { takeTokenFromAddress } from "./session.js";
import { Summary } from "./summary.js";
import { SymbolView } from "./symbol_view.js";
import { setUpTheme } from "./theme.js";
import { Timeline } from "./timeline.js";

const CLOCK_MS = 250; // ages grow even when nothing arrives

takeTokenFromAddress();
const market = new Market();
const announcer = new Announcer();
const connection = new Connection((text) => announcer.say(text));
const overview = new Overview(market);
const nodes = new NodesPanel(market);
const timeline = new Timeline(market);
const summary = new Summary(market);
let symbolView = null;
let tokensTried = 0;

const stream = new EventStream("v1/stream", {
  silenceMs: 6000, // the nodes' state arrives twice a second
  refusals: [401],
  onMessage: (name, message) => market.apply(name, message),
  onState: (state, failures) => {
    if (state === "live") tokensTried = 0;
    connection.show(state, failures);
  },
  onRefused: async () => {
    connection.show("refused");
    await askForToken(tokensTried > 0);
    tokensTried += 1;
    stream.start();
    symbolView?.retry();
  },
});

market.addEventListener("state", () => {
  connection.heard();
  byId("overview").classList.remove("waiting");
  overview.order();
  summary.update();
  nodes.update();
  timeline.showAll();
  symbolView?.showEvents();
});
market.addEventListener("rows", () => overview.update());
market.addEventListener("lines", () => overview.update());
market.addEventListener("outage", ({ detail: text }) => connection.showOutage(text));
market.addEventListener("nodes", () => {
  connection.heard();
  nodes.update();
});
market.addEventListener("event", ({ detail: event }) => {
  timeline.add(event);
  symbolView?.addEvent(event);
  if (weight(event) === "bad") announcer.say(headline(event));
});
setInterval(() => {
  if (document.hidden) return;
  overview.update();
  summary.update();
  symbolView?.tick();
}, CLOCK_MS);

function showRoute() {
  const symbol = symbolInAddress();
  if (symbol === (symbolView?.symbol ?? null)) return;
  const left = symbolView?.symbol;
  symbolView?.close();
  symbolView = null;
  byId("overview").hidden = symbol !== null;
  byId("symbol").hidden = symbol === null;
  if (symbol) {
    symbolView = new SymbolView(byId("symbol"), symbol, market);
    scrollTo(0, 0);
  } else {
    document.title = "tickfence";
    if (left) overview.focusSymbol(left);
  }
}

addEventListener("hashchange", showRoute);
addEventListener("online", () => stream.hurry());
document.addEventListener("visibilitychange", () => document.hidden || stream.hurry());
document.addEventListener("keydown", (event) => {
  if (event.altKey || event.ctrlKey || event.metaKey || event.defaultPrevented || isAsking()) return;
  if (event.key === "Escape" && symbolView && !isTyping(event)) goToOverview();
  if (event.key === "/" && !symbolView && !isTyping(event)) {
    event.preventDefault();
    overview.focusFilter();
  }
});
document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault(); // the address is used for the view
  (symbolView ? byId("symbol").querySelector("h1") : byId("overview")).focus();
});
setUpTheme(byId("theme"), () => {
  forgetColours();
  symbolView?.redraw();
});
showRoute();
stream.start();
