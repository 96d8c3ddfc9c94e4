"""Query parameters that would be passed over in silence are refused: ``?symbol=`` for ``?symbols=`` asks for one, not all."""

from __future__ import annotations

from collections import Counter

from fastapi import Request
from fastapi.routing import APIRoute

from tickfence.web.problems import Refusal, shown


async def known_only(request: Request) -> None:
    """A dependency of routes.

    Raises:
        Refusal: 422, a parameter is not one of the route's, or is given twice.
    """
    route: APIRoute = request.scope["route"]
    known = [field.alias for field in route.dependant.query_params]
    for name, times in Counter(name for name, _ in request.query_params.multi_items()).items():
        if name not in known:
            there = f"there are {', '.join(known)}" if known else "none is taken here"
            raise Refusal(422, "Bad parameter", f"there is no parameter {shown(name)}; {there}")
        if times > 1:
            raise Refusal(422, "Bad parameter", f"{name} is given {times} times; it is taken once")
