"""Prometheus metrics of the sender of alerts.

No metric has the symbol or the rule as a label, for the same reason as in node_metrics.
"""

from __future__ import annotations

from tickfence.monitoring.registry import RoleRegistry

registry = RoleRegistry()

heartbeat = registry.gauge("nt_alerts_heartbeat", "Unix time of this instance's last turn that Redis answered")
sender = registry.gauge("nt_alerts_sender", "1 for the instance that has the lease and sends; 0 for one that stands by")
firing = registry.gauge("nt_alerts_firing", "Firings that last, of all rules and symbols; 0 while standing by")
attempts = registry.counter(
    "nt_alerts_attempts",
    "Attempts to send a message, by outcome: refused ones are repeated",
    outcome=("accepted", "refused", "rejected", "unknown"),
)
lost = registry.counter(
    "nt_alerts_lost",
    "Messages that are not sent again, by why: they have not arrived, or for unknown ones perhaps not",
    state=("gave up", "rejected", "unknown"),
)
