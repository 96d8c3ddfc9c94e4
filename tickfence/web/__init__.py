"""The live page, the HTTP API and the streams of changes. Read-only; ``tickfence web`` serves them."""
