"""The documentation site, which mkdocs builds from docs/ and the pages in the project's root."""
