"""The whole stack on one machine without Docker: an embedded Redis and a process supervisor."""
