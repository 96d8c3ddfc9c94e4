// The view and its choices in the address: "#/" is the overview, "#/BTCUSDT" a symbol, "#/node/node-001" a node. Choices
// follow as in a query: "#/?filter=okx&sort=price". So each view can be sent to somebody, and the back button undoes a choice.

const NODE = "node/";
let overview = "#/"; // as it was left

/** What the address shows: { symbol } or { node }, or neither. Any name is taken; the API knows which symbols there are. */
export function viewInAddress() {
  const { path, query } = parts();
  // "." and ".." would lead to other paths of the API.
  if (!path || path === "." || path === "..") {
    overview = location.hash || "#/";
    return { symbol: null, node: null };
  }
  if (path.startsWith(NODE) && path !== NODE) return { symbol: null, node: decoded(path.slice(NODE.length)) };
  const typed = decoded(path);
  const symbol = typed.includes(":") ? typed : typed.toUpperCase(); // a venue's names may differ in case alone
  if (symbol !== typed) history.replaceState(null, "", addressOf(symbol) + (query && `?${query}`));
  return { symbol, node: null };
}

/** A choice of this view, or null. */
export function choice(name) {
  return new URLSearchParams(parts().query).get(name);
}

/** Puts choices of this view into the address, without those that are null. `isNew`: the back button returns to before. */
export function choose(choices, isNew) {
  const { path, query } = parts();
  const all = new URLSearchParams(query);
  for (const [name, value] of Object.entries(choices)) {
    if (value === null) all.delete(name);
    else all.set(name, value);
  }
  const hash = `#/${path}${all.size ? `?${all}` : ""}`;
  if (hash === (location.hash || "#/")) return;
  if (isNew) history.pushState(null, "", hash);
  else history.replaceState(null, "", hash);
  if (!path) overview = hash;
}

/** The address of a symbol's view. */
export function addressOf(symbol) {
  return `#/${encodeURIComponent(symbol)}`;
}

/** The address of a node's view. */
export function addressOfNode(node) {
  return `#/${NODE}${encodeURIComponent(node)}`;
}

/** The address of the overview, as it was left. */
export function addressOfOverview() {
  return overview;
}

/** Goes to the overview. */
export function goToOverview() {
  location.hash = overview;
}

/** Whether a key press belongs to an input field. */
export function isTyping(event) {
  return event.target.matches("input, textarea, select, [contenteditable]");
}

function parts() {
  const [, path, query] = /^#\/([^?]*)\??(.*)$/.exec(location.hash) ?? [null, "", ""];
  return { path, query };
}

function decoded(name) {
  try {
    return decodeURIComponent(name);
  } catch {
    return name; // the percent sign encodes nothing
  }
}
