// What a visitor reads who comes while there is no data: what is wrong, and what to do.

import { el } from "./dom.js";

const TROUBLE = {
  "": ["Waiting for the first data.", []],
  redis: [
    "No data yet: the server has no answer from Redis",
    [
      "You need not reload: the page fills itself as soon as Redis answers.",
      "If you run this deployment: see whether Redis runs, and whether REDIS_URL of the web server names it.",
      "The health check /readyz and the web server's log say what is wrong.",
    ],
  ],
  server: [
    "No data yet: the server does not answer",
    [
      "You need not reload: the page tries again by itself.",
      "If you run this deployment: see whether tickfence web runs, and whether a proxy in front of it lets streams through.",
    ],
  ],
};

/** Shows in `element` why there is no data; `trouble` is that of connection.js. */
export function explainNoData(element, trouble) {
  if (element.dataset.trouble === trouble) return;
  element.dataset.trouble = trouble;
  const [title, hints] = TROUBLE[trouble];
  element.replaceChildren(
    hints.length ? el("strong", {}, title) : title,
    ...(hints.length ? [el("ul", {}, ...hints.map((hint) => el("li", {}, hint)))] : []),
  );
}
