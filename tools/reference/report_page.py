"""tickfence/web/swagger/report.html: docs/report.md for those who have the web server and not this repository."""

from __future__ import annotations

import re
from pathlib import Path

import markdown
from pymdownx.slugs import slugify

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "docs" / "report.md"
PAGE = ROOT / "tickfence" / "web" / "swagger" / "report.html"

_HTML = """\
<!doctype html>
<html lang="en">
  <head>
    <meta charset="utf-8">
    <meta name="viewport" content="width=device-width, initial-scale=1">
    <title>tickfence: the report</title>
    <link rel="icon" href="data:,">
    <link rel="stylesheet" href="/docs/report.css">
  </head>
  <body>
    <main>
{content}
    </main>
  </body>
</html>
"""
_LINK = re.compile(r"\[([^\]]+)\]\((?!#)[^)]*\)")


def page() -> str:
    """The page's text. Links to other pages become plain words, because those pages are not served."""
    text = _LINK.sub(r"\1", SOURCE.read_text())
    toc = {"toc": {"slugify": slugify(case="lower")}}
    content = markdown.markdown(text, extensions=["tables", "fenced_code", "toc"], extension_configs=toc)
    return _HTML.format(content=content)
