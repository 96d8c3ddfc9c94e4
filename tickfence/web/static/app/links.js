// Links to the other pages of the deployment: the server knows them.

import { byId, el } from "./dom.js";
import { request } from "./session.js";

/** Shows them in the footer; what the server does not know is not there. */
export async function showLinks() {
  try {
    const answer = await request("v1/links");
    if (!answer.ok) throw new Error(`status ${answer.status}`);
    const links = await answer.json();
    byId("links").append(...links.map(({ name, url }) => el("a", { href: url, rel: "noopener" }, name)));
  } catch (error) {
    console.info("No links to other pages:", error.message);
  }
}
