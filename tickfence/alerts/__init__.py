"""Alerts out: rules over reports, and one sender that tells webhooks and chats. docs/alerts.md says how to use it."""
