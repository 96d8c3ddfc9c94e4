"""What happened, for people to read. Nothing is decided by it."""
