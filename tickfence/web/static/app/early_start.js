// Runs first. If a script or style sheet cannot be loaded (the network has just changed, the server is restarting), the
// page would stay incomplete. This reloads it a few times with growing pauses. See index.html.
{
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
    const banner = document.getElementById("banner");
    banner.textContent = text;
    banner.hidden = false;
  };

  const tryAgain = () => {
    const failed = failedBefore();
    if (failed >= MOST) return tell("A part of this page did not load. Please reload it.");
    sessionStorage.setItem(KEY, failed + 1);
    tell("A part of this page did not load; trying again.");
    return setTimeout(() => location.reload(), FIRST_DELAY_MS * 2 ** failed);
  };

  addEventListener(
    "error",
    ({ target }) => {
      if (target instanceof HTMLScriptElement || target.rel === "stylesheet") hasFailed = true;
    },
    true, // such errors do not bubble
  );
  addEventListener("load", () => (hasFailed ? tryAgain() : failedBefore() && sessionStorage.removeItem(KEY)));
}
