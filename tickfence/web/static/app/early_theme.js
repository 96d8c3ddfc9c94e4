// Runs before the first paint, so that a chosen theme does not flash the other one. See theme.js.
try {
  const chosen = localStorage.getItem("theme");
  if (chosen) document.documentElement.dataset.theme = chosen;
} catch (error) {
  console.info("No stored theme:", error.message);
}
