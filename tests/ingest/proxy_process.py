"""A proxy as a process of its own: ``python -m tests.ingest.proxy_process EXCHANGE_PORT CERTIFICATE KEY``.

It speaks HTTP (CONNECT, and requests for plain http) and SOCKS 5 on one port, and leads every name to the exchange, as
in a network where only the proxy knows names. At ports 443 and 9443 it ends TLS, because the exchange speaks none. It
writes its port first, then a line for each tunnel and each request: what it was asked for, and by whom.

Sources: RFC 9110, section 9.3.6 (CONNECT); RFC 1928 and 1929 (SOCKS 5).
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import re
import ssl
import struct
import sys
from asyncio import StreamReader, StreamWriter

TLS_PORTS = (443, 9443)


async def copy(source: StreamReader, target: StreamWriter) -> None:
    with contextlib.suppress(ConnectionError, ssl.SSLError):
        while data := await source.read(65_536):
            target.write(data)
            await target.drain()
    target.close()


async def asked_by_socks(reader: StreamReader, writer: StreamWriter) -> tuple[str, int, str]:
    methods = await reader.readexactly((await reader.readexactly(1))[0])
    user = ""
    if 2 in methods:
        writer.write(b"\5\2")
        _, length = await reader.readexactly(2)
        name = (await reader.readexactly(length)).decode()
        password = (await reader.readexactly((await reader.readexactly(1))[0])).decode()
        user = f"{name}:{password}"
        writer.write(b"\1\0")
    else:
        writer.write(b"\5\0")
    _, _, _, kind = await reader.readexactly(4)
    length = 4 if kind == 1 else 16 if kind == 4 else (await reader.readexactly(1))[0]
    address = await reader.readexactly(length)
    (port,) = struct.unpack("!H", await reader.readexactly(2))
    writer.write(b"\5\0\0\1\0\0\0\0\0\0")
    return address.decode() if kind == 3 else ".".join(map(str, address)), port, user


async def main(exchange_port: int, certificate: str, key: str) -> None:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate, key)

    async def serve(reader: StreamReader, writer: StreamWriter) -> None:
        first = await reader.readexactly(1)
        head = b""
        if first == b"\5":
            how = "socks"
            host, port, user = await asked_by_socks(reader, writer)
        else:
            head = first + await reader.readuntil(b"\r\n\r\n")
            how, target, _ = head.decode().split(" ", 2)
            asked = re.match(r"(?:http://)?([^:/]+)(?::(\d+))?", target)
            assert asked is not None, target
            host, port = asked[1], int(asked[2] or 80)
            basic = re.search(rb"(?i)proxy-authorization: basic (\S+)", head)
            user = base64.b64decode(basic[1]).decode() if basic else ""
            if how == "CONNECT":
                head = b""
                writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        print(f"{how} {host}:{port} {user}", flush=True)
        await writer.drain()
        if port in TLS_PORTS:
            await writer.start_tls(tls)
        up_reader, up_writer = await asyncio.open_connection("127.0.0.1", exchange_port)
        up_writer.write(head)
        await asyncio.gather(copy(reader, up_writer), copy(up_reader, writer))

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), sys.argv[2], sys.argv[3]))
