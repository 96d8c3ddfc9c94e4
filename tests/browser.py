"""A real Chromium for the tests of the page, and what every test of the page must keep.

Debian's `chromium`, driven by Playwright. Only the loopback address is resolved, so that no request leaves this machine.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, ConsoleMessage, Error, Page, Request, expect, sync_playwright

from tests.programs import program

expect.set_options(timeout=20_000)  # a test says nothing about how fast the page is

NO_NETWORK = "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"


@contextmanager
def chromium() -> Iterator[Browser]:
    """A browser. Use it for a whole module or folder: while it runs, its thread can run no other event loop."""
    path = Path(program("chromium", "chromium"))
    environment: dict[str, Any] = dict(os.environ)
    unpacked = path.parent.parent / "lib"
    if path.parent != Path("/usr/bin") and (unpacked / "chromium" / "chromium").exists():
        # Unpacked and not installed: its start script looks for everything under /usr.
        path = unpacked / "chromium" / "chromium"
        folders = [str(folder) for folder in (*unpacked.glob("*-linux-gnu*"), unpacked) if folder.is_dir()]
        environment["LD_LIBRARY_PATH"] = ":".join(folders)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, env=environment, args=[NO_NETWORK])
        try:
            yield browser
        finally:
            browser.close()


class Visit:
    """One page in a new context, and every problem on it.

    Attributes:
        page: of Playwright.
        problems: errors on the console, uncaught errors, requests to other places than ``origin``.
        requests: the URLs.
    """

    def __init__(self, browser: Browser, origin: str, **context: Any) -> None:
        self.origin = origin
        self.problems: list[str] = []
        self.requests: list[str] = []
        self._context = browser.new_context(viewport=context.pop("viewport", {"width": 1280, "height": 900}), **context)
        self._context.set_default_timeout(20_000)
        self.page: Page = self._context.new_page()
        self.page.on("console", self._on_console)
        self.page.on("pageerror", self._on_error)
        self.page.on("request", self._on_request)

    def open(self, path: str = "/") -> Page:
        """Go to a path of the server."""
        self.page.goto(self.origin + path)
        return self.page

    def close(self) -> None:
        """Close it."""
        self._context.close()

    def _on_console(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self.problems.append(f"console: {message.text} at {message.location}")

    def _on_error(self, error: Error) -> None:
        self.problems.append(f"uncaught: {error.message}\n{error.stack}")

    def _on_request(self, request: Request) -> None:
        self.requests.append(request.url)
        if not request.url.startswith((f"{self.origin}/", "data:", "blob:")):
            self.problems.append(f"request elsewhere: {request.url}")


@contextmanager
def visit(browser: Browser, origin: str, *, allowed: str = "", **context: Any) -> Iterator[Visit]:
    """A `Visit` that must end without a problem.

    Args:
        browser: of the page.
        origin: of the server.
        allowed: problems that contain this text are expected.
        context: of the browser: ``viewport``, ``color_scheme``, ``reduced_motion``, ...
    """
    opened = Visit(browser, origin, **context)
    try:
        yield opened
        assert [problem for problem in opened.problems if not allowed or allowed not in problem] == []
    except BaseException as error:
        error.add_note(f"On the page: {opened.problems}")
        raise
    finally:
        opened.close()


def violations(page: Page) -> list[str]:
    """All violations that axe finds on a page."""
    found = Axe().run(page).response["violations"]
    return [f"{one['id']} ({one['impact']}): {[node['html'][:120] for node in one['nodes']]}" for one in found]
