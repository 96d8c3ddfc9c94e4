"""What every request passes first, and what every answer carries."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.processes import wait_until
from tests.web.web_process import Answer, WebProcess
from tools.local import ports
from tools.local.embedded_redis import EmbeddedRedis

TOKEN = "a-token-of-some-length"
GRAFANA = "another-token-of-some-length"
DATA = [
    "/reports",
    "/reports/AAUSDT",
    "/symbols",
    "/nodes",
    "/events",
    "/prices/AAUSDT",
    "/stream",
    "/stream/AAUSDT",
    "/mcp",
    "/nothing",
]
OPEN = ["/", "/docs", "/docs/start.js", "/openapi.json", "/healthz"]


@pytest.fixture(scope="module")
def guarded(redis_server: EmbeddedRedis, tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebProcess]:
    """One that asks for a token, is called reports.example, and is read by a page of another site."""
    tokens = tmp_path_factory.mktemp("tokens") / "tokens"
    tokens.write_text(f"# who reads\ngrafana {GRAFANA}  # the panels\n\n")
    metrics_port = ports.pick()
    with WebProcess(
        redis_server.url(),
        NT_WEB_TOKEN=TOKEN,
        NT_WEB_TOKENS_FILE=tokens,
        NT_WEB_ALLOWED_HOSTS="reports.example,127.0.0.1",
        NT_WEB_CORS_ORIGINS="https://dashboard.example",
        NT_METRICS_PORT=metrics_port,
    ) as process:
        process.metrics_port = metrics_port
        yield process.wait_until_up()


@pytest.mark.parametrize("path", DATA)
@pytest.mark.parametrize(
    "given",
    [None, "", "Bearer", "Bearer ", f"Bearer {TOKEN}x", f"Bearer {TOKEN[:-1]}", f"Basic {TOKEN}", TOKEN, "Bearer \xe9"],
)
def test_no_data_without_the_token(guarded: WebProcess, path: str, given: str | None) -> None:
    answer = guarded.get(path) if given is None else guarded.get(path, Authorization=given)
    assert (answer.status, answer.json["title"]) == (401, "Token needed")
    assert answer.headers["WWW-Authenticate"] == 'Bearer realm="tickfence"'
    assert TOKEN not in answer.body.decode()


@pytest.mark.parametrize("scheme", ["Bearer", "bearer"])
def test_the_token_opens(guarded: WebProcess, scheme: str) -> None:
    assert guarded.get("/symbols", Authorization=f"{scheme} {TOKEN}").status == 200
    assert guarded.get("/nothing", Authorization=f"{scheme} {TOKEN}").status == 404


@pytest.mark.parametrize("path", OPEN)
def test_what_holds_no_data_is_open(guarded: WebProcess, path: str) -> None:
    assert guarded.get(path).status == 200


@pytest.mark.parametrize(
    "path",
    [
        "//reports",
        "/static/../reports",
        "/docs/../reports",
        "/static/%2e%2e/reports",
        "/x/healthz",
        "/healthz/x",
        "/%72eports",
    ],
)
def test_no_path_goes_round_the_token(guarded: WebProcess, path: str) -> None:
    assert guarded.get(path).status in (401, 404)


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:8000", "127.0.0.1.evil.example", "", "localhost@evil.example", "127.0.0.1:80:80"],
)
def test_on_loopback_other_names_are_refused(web: WebProcess, host: str) -> None:
    answer = web.get("/symbols", Host=host)
    assert (answer.status, answer.json["title"]) == (421, "Wrong host")
    assert answer.json["accepted"] == ["127.0.0.1", "[::1]", "localhost"]


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:1", "127.0.0.1", "[::1]:8000", "10.0.0.7", "node-001:80"])
def test_on_loopback_its_names_are_accepted(web: WebProcess, host: str) -> None:
    assert web.get("/healthz", Host=host).status == 200


def test_names_that_are_set_are_accepted_and_no_other_sites(guarded: WebProcess) -> None:
    assert guarded.get("/healthz", Host="reports.example:443").status == 200
    assert guarded.get("/healthz", Host="localhost").status == 200
    assert guarded.get("/healthz", Host="evil.example").status == 421


def test_pages_of_sites_that_are_set_may_read(guarded: WebProcess) -> None:
    site = "https://dashboard.example"
    for method, path, names in (
        ("GET", "/v1/symbols", "authorization"),
        ("POST", "/mcp", "authorization,content-type,mcp-method,mcp-name,mcp-protocol-version"),
    ):
        asked = {"Access_Control_Request_Method": method, "Access_Control_Request_Headers": names}
        permission = guarded.get(path, method="OPTIONS", Origin=site, **asked)
        assert (permission.status, permission.headers["Access-Control-Allow-Origin"]) == (200, site)
        assert set(names.split(",")) <= set(permission.headers["Access-Control-Allow-Headers"].lower().split(", "))
    for given, status in (({"Authorization": f"Bearer {TOKEN}"}, 200), ({}, 401)):
        answer = guarded.get("/v1/symbols", Origin=site, **given)
        assert (answer.status, answer.headers["Access-Control-Allow-Origin"]) == (status, site)
        assert "ETag" in answer.headers["Access-Control-Expose-Headers"]
    other = guarded.get("/v1/symbols", Origin="https://evil.example", Authorization=f"Bearer {TOKEN}")
    assert (other.status, other.headers["Access-Control-Allow-Origin"]) == (403, None)


def test_guesses_of_a_token_are_limited_and_those_who_have_it_are_not(redis_server: EmbeddedRedis) -> None:
    on_ipv6 = ("--host", "::") if Path("/proc/net/if_inet6").exists() else ()
    with WebProcess(redis_server.url(), *on_ipv6, NT_WEB_TOKEN=TOKEN, NT_WEB_CLIENT_REQUESTS_PER_S=1) as web:
        web.wait_until_up()
        guesses = [web.get("/v1/symbols", Authorization=f"Bearer {TOKEN}{number}") for number in range(10)]
        assert [guess.status for guess in guesses[:2]] == [401, 401]
        assert {guess.json["code"] for guess in guesses} == {"token_needed", "client_requests"}
        assert web.get("/v1/symbols", Authorization=f"Bearer {TOKEN}").status == 200
        assert web.get("/v1/symbols", X_Forwarded_For="192.0.2.7").status == 401, "one behind a proxy has its own limit"


def test_each_reader_has_a_token_of_its_own_and_the_log_says_who_read_what(guarded: WebProcess) -> None:
    assert guarded.get("/v1/symbols", Authorization=f"Bearer {GRAFANA}").status == 200
    guarded.get("/v1/reports?symbols=NOPE&token=" + GRAFANA, Authorization=f"Bearer {GRAFANA}")
    guarded.get("/v1/links?token=" + GRAFANA, Authorization=f"Bearer {GRAFANA}")
    guarded.get("/v1/events?limit=3", Authorization=f"Bearer {GRAFANA}")
    wait_until(lambda: "limit=3" in guarded.log_text(), "it is logged")
    read = [json.loads(line) for line in guarded.log_text().splitlines() if '"message": "read"' in line]
    assert [(one["reader"], one["operation"], one["path"], one["query"], one["status"]) for one in read] == [
        ("grafana", "listSymbols", "/v1/symbols", "", 200),
        ("grafana", "listReports", "/v1/reports", "", 422),
        ("grafana", "other", "/v1/links", "", 200),
        ("grafana", "listEvents", "/v1/events", "limit=3", 200),
    ]
    assert read[0]["client"] == "127.0.0.1"
    assert GRAFANA not in guarded.log_text() and TOKEN not in guarded.log_text()


def test_requests_and_refusals_are_counted_by_operation(guarded: WebProcess) -> None:
    def counted() -> dict[str, float]:
        with urllib.request.urlopen(f"http://127.0.0.1:{guarded.metrics_port}/metrics", timeout=5) as page:
            found = text_string_to_metric_families(page.read().decode())
            return {f"{s.name}{sorted(s.labels.values())}": s.value for family in found for s in family.samples}

    before = counted()
    guarded.get("/v1/nodes", Authorization=f"Bearer {TOKEN}")
    guarded.get("/v1/nodes")
    guarded.get("/")
    grown = {name: value - before[name] for name, value in counted().items() if value != before[name]}
    assert grown["nt_web_requests_total['2xx', 'listNodes']"] == 1
    assert grown["nt_web_requests_total['2xx', 'other']"] == grown["nt_web_requests_total['4xx', 'other']"] == 1
    assert grown["nt_web_refused_total['token_needed']"] == 1
    assert grown["nt_web_latency_ms_count['listNodes']"] == 1
    assert before["nt_web_streams[]"] == 0


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://localhost:1", "http://127.0.0.1"])
def test_pages_of_other_sites_are_refused(web: WebProcess, origin: str) -> None:
    answer = web.get("/symbols", Origin=origin)
    assert (answer.status, answer.json["title"]) == (403, "Wrong origin")


def test_the_own_page_is_accepted(web: WebProcess) -> None:
    answer = web.get("/symbols", Origin=f"http://127.0.0.1:{web.port}")
    assert answer.status == 200
    assert "Access-Control-Allow-Origin" not in answer.headers


def _shielded(answer: Answer) -> bool:
    policy = dict(part.strip().partition(" ")[::2] for part in answer.headers["Content-Security-Policy"].split(";"))
    assert policy["default-src"] == policy["frame-ancestors"] == policy["base-uri"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert "unsafe" not in answer.headers["Content-Security-Policy"]
    return (
        answer.headers["X-Content-Type-Options"] == "nosniff"
        and answer.headers["X-Frame-Options"] == "DENY"
        and answer.headers["Referrer-Policy"] == "no-referrer"
    )


@pytest.mark.parametrize(
    "path", ["/", "/docs", "/docs/start.js", "/symbols", "/reports/NOPE", "/nothing", "/events?limit=x"]
)
def test_every_answer_is_shielded(web: WebProcess, path: str) -> None:
    assert _shielded(web.get(path))


def test_files_may_be_kept_and_are_asked_for_again_and_data_may_not(web: WebProcess) -> None:
    for path, wanted in (
        ("/", "no-cache"),
        ("/docs/start.js", "no-cache"),
        ("/symbols", "private, no-cache"),
        ("/x", "no-store"),
    ):
        assert web.get(path).headers["Cache-Control"] == wanted
    first = web.get("/docs/start.js")
    assert web.get("/docs/start.js", If_None_Match=first.headers["ETag"]).status == 304


def test_refusals_of_the_guard_are_shielded_too(web: WebProcess) -> None:
    assert _shielded(web.get("/", Host="evil.example"))


def test_too_long_a_url_is_refused(web: WebProcess) -> None:
    answer = web.get("/reports?symbols=" + "A" * 8_000)
    assert (answer.status, answer.json["title"]) == (414, "URL too long")
    assert answer.json["detail"] == "path and query have 8016 bytes; the maximum is 8000"


@pytest.mark.parametrize(("path", "header"), [("/" + "a" * 200_000, "x"), ("/healthz", "a" * 200_000)])
def test_far_too_long_a_request_is_not_even_read(web: WebProcess, path: str, header: str) -> None:
    with suppress(ConnectionError):  # it may be closed before all was sent
        assert web.get(path, X_Header=header).status == 400
    assert web.get("/healthz").status == 200


@pytest.mark.parametrize(
    "path",
    [
        "/static/../app.py",
        "/static/%2e%2e/app.py",
        "/static/..%2fapp.py",
        "/static/%00",
        "/docs/../../settings.py",
        "/static//etc/passwd",
        "/static/",
        "/../../etc/passwd",
    ],
)
def test_path_tricks_lead_nowhere(web: WebProcess, path: str) -> None:
    answer = web.get(path)
    assert (answer.status, answer.headers["Content-Type"]) == (404, "application/problem+json")
    assert b"import" not in answer.body


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"])
def test_nothing_can_be_changed(web: WebProcess, method: str) -> None:
    for path, allowed in (
        ("/", "GET, HEAD"),
        ("/reports/AAUSDT", "GET, HEAD"),
        ("/docs/start.js", "GET, HEAD"),
        ("/stream", "GET, HEAD"),
    ):
        answer = web.get(path, method=method)
        assert (answer.status, answer.headers["Allow"]) == (405, allowed), path


def test_no_answer_and_no_log_line_has_a_traceback(web: WebProcess) -> None:
    """The last of this module: all of its requests stand in the log by then."""
    assert "Traceback" not in web.log_text()
