"""One attempt to tell a target: a signed webhook, or what Apprise knows."""

from __future__ import annotations

import asyncio
import hmac
import logging
import time
from hashlib import sha256
from importlib import import_module
from typing import Any

import httpx2 as httpx
import msgspec

from tickfence.alerts.firing import Firing, Kind, Message, Outcome
from tickfence.alerts.rules import BadRules, Rule, Rules, Target

logger = logging.getLogger(__name__)

TIMEOUT_S = 10.0
"""How long an attempt may take, all in all."""
CONNECT_S = 4.0
"""Of that for a connection: without one, nothing was sent."""
_AGAIN = (408, 425, 429)
_GATEWAY_TIMEOUT = 504
_NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.ProxyError)


def signature(secret: str, timestamp: str, body: bytes) -> str:
    """What the header `Tickfence-Signature` holds: HMAC-SHA256 of timestamp, a dot and the body."""
    return "v1=" + hmac.new(secret.encode(), timestamp.encode() + b"." + body, sha256).hexdigest()


def payload(firing: Firing, message: Message, rule: Rule | None) -> dict[str, Any]:
    """The body of a message. One that is sent late does not know the end that has come meanwhile."""
    ended = message.kind is Kind.RESOLVED
    return {
        "id": firing.id,
        "state": message.kind,
        "rule": firing.rule,
        "symbol": firing.symbol,
        "field": rule.field if rule else "",
        "value": firing.value,
        "since_ms": firing.since_ms,
        "fired_ms": firing.fired_ms,
        "ended_ms": firing.ended_ms if ended else None,
        "reason": firing.reason if ended else "",
        "note": rule.note if rule else "",
    }


class Delivery:
    """Sends messages to the targets of the rules.

    Args:
        rules: with the targets.

    Raises:
        BadRules: a target needs Apprise, which is not installed.
    """

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._secrets = {name: target.secret() for name, target in rules.targets.items() if target.webhook}
        self._apprise = {name: _apprise(name, target) for name, target in rules.targets.items() if target.apprise_file}
        for name in ("httpx2", "apprise"):
            logging.getLogger(name).setLevel(logging.WARNING)  # below, they log whole URLs, which may hold secrets
        self._http = httpx.AsyncClient(
            timeout=httpx.Timeout(TIMEOUT_S, connect=CONNECT_S),
            limits=httpx.Limits(max_connections=None),  # a target that hangs takes none away from the others
        )

    async def attempt(self, firing: Firing, message: Message) -> Outcome:
        """Send a message once."""
        body = payload(firing, message, self._rules.rules.get(firing.rule))
        tell = self._notify if message.target in self._apprise else self._post
        try:
            async with asyncio.timeout(TIMEOUT_S):
                outcome, why = await tell(message, body)
        except TimeoutError:
            outcome, why = Outcome.UNKNOWN, f"no answer within {TIMEOUT_S:g} s"
        if outcome is not Outcome.ACCEPTED:
            extra = {"alert": firing.id, "target": message.target, "state": message.kind}
            logger.warning("an alert was not accepted: %s: %s", outcome, why, extra=extra)
        return outcome

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def _notify(self, message: Message, body: dict[str, Any]) -> tuple[Outcome, str]:
        title = f"{body['rule']}: {body['symbol']} {message.kind}"
        if await self._apprise[message.target].async_notify(title=title, body=_text(body)):
            return Outcome.ACCEPTED, ""
        return Outcome.UNKNOWN, "Apprise could not send it"  # it does not tell a refusal from no answer

    async def _post(self, message: Message, body: dict[str, Any]) -> tuple[Outcome, str]:
        data, timestamp = msgspec.json.encode(body), str(int(time.time()))
        headers = {
            "Content-Type": "application/json",
            "Idempotency-Key": f"{body['id']}/{message.kind}",
            "Tickfence-Timestamp": timestamp,
            "Tickfence-Signature": signature(self._secrets[message.target], timestamp, data),
        }
        url = self._rules.targets[message.target].webhook
        try:
            async with self._http.stream("POST", url, content=data, headers=headers) as answer:
                status = answer.status_code  # the body does not count, however long it is
        except _NOT_SENT as error:
            return Outcome.REFUSED, f"{type(error).__name__}: {error}"
        except httpx.HTTPError as error:
            return Outcome.UNKNOWN, f"{type(error).__name__}: {error}"
        if 200 <= status < 300:
            return Outcome.ACCEPTED, ""
        if status == _GATEWAY_TIMEOUT:
            return Outcome.UNKNOWN, f"status {status}"
        return Outcome.REFUSED if status in _AGAIN or status >= 500 else Outcome.REJECTED, f"status {status}"


def _apprise(name: str, target: Target) -> Any:
    try:
        channel = import_module("apprise").Apprise()
    except ModuleNotFoundError:
        raise BadRules(f"targets.{name}: needs the package apprise: pip install 'tickfence[alerts]' apprise") from None
    if not channel.add(target.apprise_url()):
        raise BadRules(f"targets.{name}: apprise_file={target.apprise_file}: Apprise does not know such a URL")
    return channel


def _text(body: dict[str, Any]) -> str:
    since = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(body["since_ms"] / 1000))
    lines = [f"{body['field']} = {body['value']}, since {since} UTC", body["reason"], body["note"], body["id"]]
    return "\n".join(line for line in lines if line)
