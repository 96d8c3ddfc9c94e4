"""The read-only window on the reports: page, HTTP API, streams of changes, MCP server. `python -m tickfence.web`."""
