// Runs first. If a script or style sheet cannot be loaded (the network has just changed, the server is restarting), the
// page would stay incomplete. This reloads it a few times with growing pauses. See index.html.
//
// It also does what must not wait for the modules: a chosen theme does not flash the other one, an address of a symbol or a
// node does not flash the overview, and a symbol's view has its modules asked for at once.
{
  const SYMBOL_VIEW = [
    "app/across_panel.js",
    "app/book_ladder.js",
    "app/charts/chart.js",
    "app/charts/depth_chart.js",
    "app/charts/price_chart.js",
    "app/charts/profile_chart.js",
    "app/charts/time_chart.js",
    "app/past.js",
    "app/past_panel.js",
    "app/profile_panel.js",
    "app/report_panels.js",
    "app/symbol_head.js",
    "app/symbol_view.js",
    "app/trade_tape.js",
    "vendor/uplot/uPlot.esm.js",
  ];
  const KEY = "failedStarts";
  const MOST = 5;
  const FIRST_DELAY_MS = 500;
  let hasFailed = false;

  const failedBefore = () => {
    try {
      return Number(sessionStorage.getItem(KEY));
    } catch (error) {
      console.info("Cannot count how often the page was loaded:", error.message); // storage may be forbidden
      return MOST;
    }
  };

  const tell = (text) => {
    const banner = Object.assign(document.createElement("p"), { id: "incomplete", className: "banner", textContent: text });
    document.querySelector("main").before(banner);
  };

  const tryAgain = () => {
    if (document.getElementById("incomplete")) return undefined; // already on its way
    const failed = failedBefore();
    if (failed >= MOST) return tell("A part of this page did not load. Please reload it.");
    sessionStorage.setItem(KEY, failed + 1);
    tell("A part of this page did not load; trying again.");
    return setTimeout(() => location.reload(), FIRST_DELAY_MS * 2 ** failed);
  };

  addEventListener(
    "error",
    ({ target }) => {
      if (target instanceof HTMLScriptElement || ["stylesheet", "modulepreload"].includes(target.rel)) hasFailed = true;
    },
    true, // such errors do not bubble
  );
  addEventListener("load", () => (hasFailed ? tryAgain() : failedBefore() && sessionStorage.removeItem(KEY)));
  addEventListener("viewmissing", tryAgain); // see main.js

  try {
    const theme = localStorage.getItem("theme");
    if (theme) document.documentElement.dataset.theme = theme;
  } catch (error) {
    console.info("No stored theme:", error.message);
  }

  if (/^#\/[^?]/.test(location.hash)) document.documentElement.dataset.opening = "";
  if (/^#\/(?!node\/)[^?]/.test(location.hash)) {
    for (const name of SYMBOL_VIEW) {
      const link = Object.assign(document.createElement("link"), { rel: "modulepreload", href: `static/${name}` });
      document.head.append(link);
    }
  }
}
