"""Keys without a namespace. Use :class:`tickfence.keys.Keys`; this goes away."""

from tickfence.keys import Keys

_KEYS = Keys()
NODES, DISPATCHER, ASSIGNMENT, EVENTS = _KEYS.nodes, _KEYS.dispatcher, _KEYS.assignment, _KEYS.events
report_key, slow_key, carry_key, lease_key, node_key = (
    _KEYS.report,
    _KEYS.slow,
    _KEYS.carry,
    _KEYS.lease,
    _KEYS.node,
)
