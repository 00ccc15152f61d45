# SPDX-License-Identifier: Apache-2.0
"""The proxy that some networks leave as the only way out: proxy.py ADDRESS HTTP-PORT SOCKS-PORT. HTTP CONNECT (RFC 9110, 9.3.6) and
SOCKS5 without a password (RFC 1928), to port 443 alone, as such proxies are set up."""
import asyncio
import socket
import struct
import sys

ALLOWED = (443,)
WITHIN = 30


async def pump(reader, writer):
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except OSError:
        pass
    finally:
        writer.close()


async def splice(reader, writer, far_reader, far_writer):
    for end in (writer, far_writer):
        end.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    await asyncio.gather(pump(reader, far_writer), pump(far_reader, writer))


async def connect(host, port):
    try:
        return await asyncio.wait_for(asyncio.open_connection(host, port), WITHIN)
    except (OSError, asyncio.TimeoutError):
        return None


async def http(reader, writer):
    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), WITHIN)
    method, target, _ = head.split(b"\r\n", 1)[0].decode("ascii").split(" ")
    host, _, port = target.rpartition(":")
    is_allowed = method == "CONNECT" and int(port) in ALLOWED
    far = await connect(host.strip("[]"), int(port)) if is_allowed else None
    if not far:
        word = b"502 Bad Gateway" if is_allowed else b"403 Forbidden"
        writer.write(b"HTTP/1.1 " + word + b"\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        return
    writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
    await splice(reader, writer, *far)


async def socks_target(reader):
    version, command, _, kind = await reader.readexactly(4)
    if version != 5 or command != 1:
        return None, 0
    if kind == 3:
        host = (await reader.readexactly((await reader.readexactly(1))[0])).decode("ascii")
    else:
        host = socket.inet_ntop(*((socket.AF_INET, await reader.readexactly(4)) if kind == 1 else (socket.AF_INET6, await reader.readexactly(16))))
    return host, struct.unpack(">H", await reader.readexactly(2))[0]


async def socks(reader, writer):
    version, n = await reader.readexactly(2)
    methods = await reader.readexactly(n)
    if version != 5 or 0 not in methods:
        writer.write(b"\x05\xff")
        return
    writer.write(b"\x05\x00")
    host, port = await asyncio.wait_for(socks_target(reader), WITHIN)
    is_allowed = host and port in ALLOWED
    far = await connect(host, port) if is_allowed else None
    writer.write(b"\x05" + (b"\x00" if far else b"\x04" if is_allowed else b"\x02") + b"\x00\x01" + bytes(6))
    if far:
        await splice(reader, writer, *far)


def served(function):
    async def serve(reader, writer):
        try:
            await function(reader, writer)
        except (OSError, ValueError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, asyncio.TimeoutError):
            pass
        finally:
            writer.close()
    return serve


async def main(address, http_port, socks_port):
    await asyncio.start_server(served(http), address, int(http_port))
    await asyncio.start_server(served(socks), address, int(socks_port))
    print("ready", flush=True)
    await asyncio.Event().wait()


asyncio.run(main(*sys.argv[1:4]))
