"""The MCP server: reports for LLM agents, over stdio (``tickfence mcp``) or over HTTP at the web server's ``/mcp``."""
