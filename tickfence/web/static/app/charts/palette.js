// The style sheet's colours for canvases, which know no CSS variables.

const known = new Map();
let probe = null;

/** The current value of a colour of tokens.css: `colour("bid")`; `alpha` is its opacity. */
export function colour(name, alpha = 1) {
  const key = `${name} ${alpha}`;
  if (!known.has(key)) known.set(key, resolve(name, alpha));
  return known.get(key);
}

/** Forgets the values, because the theme has changed. */
export function forgetColours() {
  known.clear();
}

function resolve(name, alpha) {
  probe ??= document.body.appendChild(Object.assign(document.createElement("i"), { hidden: true }));
  probe.style.color = `color-mix(in srgb, var(--${name}) ${alpha * 100}%, transparent)`;
  return getComputedStyle(probe).color;
}
