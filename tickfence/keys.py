"""Every Redis key of a deployment.

The braces are a Redis Cluster hash tag: keys with the same tag share a slot, so one command or script may touch them
together. ``report:X`` has no tag and hashes as a whole, so ``lease:{report:X}`` is in its slot.
https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/#hash-tags
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Group:
    """The keys of the processes of one kind that register themselves.

    Attributes:
        live: sorted set: their ids by their last heartbeat, in server ms.
        prefix: what the key of each one's record begins with.
    """

    live: str
    prefix: str

    def record(self, id_: str) -> str:
        """Hash: the registration of one process. Its fields: ``coordination/lua/register.lua``."""
        return f"{self.prefix}{id_}"


@dataclass(frozen=True, slots=True)
class Keys:
    """The keys of one deployment. Deployments that share a Redis have different namespaces.

    Args:
        namespace: ``NT_NAMESPACE``. Unless it is empty, every key begins with it and a colon.

    Example:
        >>> Keys().report("BTCUSDT"), Keys("staging").lease("BTCUSDT")
        ('report:BTCUSDT', 'staging:lease:{staging:report:BTCUSDT}')
    """

    namespace: str = ""

    @property
    def prefix(self) -> str:
        """The start of every key: ``""``, or the namespace and a colon."""
        return f"{self.namespace}:" if self.namespace else ""

    def report(self, symbol: str) -> str:
        """String: the report, JSON."""
        return f"{self.prefix}report:{symbol}"

    def slow(self, symbol: str) -> str:
        """String: the sections of the last slow cycle. A new owner starts with them."""
        return f"{self.prefix}slow:{{{self.report(symbol)}}}"

    def carry(self, symbol: str) -> str:
        """String: state of the old owner that a new owner cannot read from the streams."""
        return f"{self.prefix}carry:{{{self.report(symbol)}}}"

    def history(self, symbol: str) -> str:
        """Stream: one slim row a second, in the field ``r``: ``tickfence/analytics/history_row.py``."""
        return f"{self.prefix}history:{{{self.report(symbol)}}}"

    def basis(self, symbol: str) -> str:
        """Stream: what reports were made from, in the field ``b``: ``tickfence/analytics/basis.py``."""
        return f"{self.prefix}basis:{{{self.report(symbol)}}}"

    def lease(self, symbol: str) -> str:
        """Hash: who may write the report. Its fields: ``coordination/lua/acquire.lua``."""
        return f"{self.prefix}lease:{{{self.report(symbol)}}}"

    def of_node(self, symbol: str) -> tuple[str, ...]:
        """Everything that nodes write of a symbol under its lease. It shares a slot."""
        return tuple(key(symbol) for key in (self.report, self.slow, self.carry, self.history, self.basis))

    def trades(self, symbol: str) -> str:
        """Stream: one entry per trade."""
        return f"{self.prefix}md:{{{symbol}}}:trades"

    def book(self, symbol: str) -> str:
        """Stream: one entry per order-book diff."""
        return f"{self.prefix}md:{{{symbol}}}:book"

    def snapshot(self, symbol: str) -> str:
        """String: the full order book at a known update id."""
        return f"{self.prefix}md:{{{symbol}}}:snapshot"

    def ticker(self, symbol: str) -> str:
        """Hash: statistics of the last 24 hours."""
        return f"{self.prefix}md:{{{symbol}}}:ticker"

    def info(self, symbol: str) -> str:
        """Hash: the exchange's rules for the symbol: tick size, step size, status."""
        return f"{self.prefix}md:{{{symbol}}}:info"

    def writer(self, symbol: str) -> str:
        """Hash: which ingest writes a symbol whose updates have no numbers. Its fields: ``coordination/lua/take.lua``."""
        return f"{self.prefix}md:{{{symbol}}}:writer"

    def recording(self, symbol: str) -> str:
        """Hash: who records the symbol, and up to where. Its fields: ``recorder/lua/acquire.lua``."""
        return f"{self.prefix}md:{{{symbol}}}:recording"

    def market_data(self, symbol: str) -> tuple[str, ...]:
        """Everything that ingest writes of a symbol. It shares a slot."""
        keys = (self.trades, self.book, self.snapshot, self.ticker, self.info, self.writer)
        return tuple(key(symbol) for key in keys)

    def node(self, node_id: str) -> str:
        """Hash: one node's registration."""
        return self.node_group.record(node_id)

    @property
    def nodes(self) -> str:
        """Sorted set: node ids by their last heartbeat, in server ms."""
        return self.node_group.live

    @property
    def node_group(self) -> Group:
        """The nodes."""
        return Group(f"{self.prefix}nt:nodes", f"{self.prefix}nt:node:")

    @property
    def batch_worker_group(self) -> Group:
        """The batch workers."""
        return Group(f"{self.prefix}nt:batch-workers", f"{self.prefix}nt:batch-worker:")

    @property
    def batch_jobs(self) -> str:
        """Sorted set: the ids of batch jobs by the server ms of their start."""
        return f"{self.prefix}nt:batch-jobs"

    def batch(self, job: str) -> str:
        """Hash: a batch job. Its fields: ``batch/store.py``. Its other keys are in the same slot."""
        return f"{self.prefix}nt:batch:{{{job}}}"

    def batch_command(self, job: str) -> str:
        """Hash: the lease of the command that dispatches a batch job's partitions."""
        return f"{self.batch(job)}:command"

    def batch_lease(self, job: str, partition: str) -> str:
        """Hash: who may record how a partition of a batch job ended. Its fields: ``coordination/lua/acquire.lua``."""
        return f"{self.batch(job)}:lease:{partition}"

    def batch_result(self, job: str, partition: str) -> str:
        """String: how a partition of a batch job ended, written under its lease."""
        return f"{self.batch(job)}:result:{partition}"

    @property
    def recorder_group(self) -> Group:
        """The recorders."""
        return Group(f"{self.prefix}nt:recorders", f"{self.prefix}nt:recorder:")

    @property
    def dispatcher(self) -> str:
        """Hash: the leading beat. Its fields: ``coordination/lua/lead.lua``."""
        return f"{self.prefix}nt:dispatcher"

    @property
    def assignment(self) -> str:
        """Hash: generation, term, and each symbol's owner. See ``coordination/lua/publish_assignment.lua``."""
        return f"{self.prefix}nt:assignment"

    @property
    def desired(self) -> str:
        """Hash: what operators want. Its fields: ``coordination/desired.py``."""
        return f"{self.prefix}nt:desired"

    @property
    def alerts(self) -> str:
        """Hash: the firings of alerts. Its fields: ``alerts/ledger.py``."""
        return f"{self.prefix}nt:{{alerts}}:firings"

    @property
    def alerts_lease(self) -> str:
        """Hash: who sends alerts. Its fields: ``coordination/lua/take.lua``."""
        return f"{self.prefix}nt:{{alerts}}:lease"

    @property
    def events(self) -> str:
        """Stream: what happened, for people to read."""
        return f"{self.prefix}nt:events"

    @property
    def events_recording(self) -> str:
        """Hash: who records the events, and up to where. As :meth:`recording`."""
        return f"{self.events}:recording"
