"""A name server of our own on loopback, with what a headless Service and its owner publish: addresses of all replicas
as A records, and the gRPC service config as TXT record, in which gRPC clients in Go look for it."""

import json
import socketserver
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager

A, TXT, INTERNET = 1, 16, 1
# Answers over UDP are cut beyond this size, and asked for again over TCP.
UDP_BYTES_MAX = 1200
TTL_SECONDS = 1
PORTS_TRIED = 20


@contextmanager
def serving(name: str, addresses: list[str], service_config: dict) -> Iterator[str]:
    """Answers for one name; gives where, as `127.0.0.1:PORT`."""
    text = "grpc_config=" + json.dumps([{"serviceConfig": service_config}], separators=(",", ":"))
    records = {
        (name, A): [bytes(map(int, address.split("."))) for address in addresses],
        (f"_grpc_config.{name}", TXT): [strings(text.encode())],
    }

    class Udp(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            query, socket = self.request
            reply = answer(query, records)
            if len(reply) > UDP_BYTES_MAX:
                reply = answer(query, {}, cut=True)
            socket.sendto(reply, self.client_address)

    class Tcp(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            while head := self.rfile.read(2):
                reply = answer(self.rfile.read(struct.unpack("!H", head)[0]), records)
                self.wfile.write(struct.pack("!H", len(reply)) + reply)

    udp, tcp = on_one_port(Udp, Tcp)
    with udp, tcp:
        tcp.daemon_threads = True
        for server in (udp, tcp):
            threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{udp.server_address[1]}"
        for server in (udp, tcp):
            server.shutdown()


def on_one_port(
    udp_handler: type[socketserver.BaseRequestHandler], tcp_handler: type[socketserver.BaseRequestHandler]
) -> tuple[socketserver.ThreadingUDPServer, socketserver.ThreadingTCPServer]:
    """Two servers; a port that is free for UDP may be in use for TCP, then it is another one."""
    for _ in range(PORTS_TRIED):
        udp = socketserver.ThreadingUDPServer(("127.0.0.1", 0), udp_handler)
        try:
            return udp, socketserver.ThreadingTCPServer(udp.server_address, tcp_handler)
        except OSError:
            udp.server_close()
    raise OSError(f"none of {PORTS_TRIED} ports is free for both UDP and TCP")


def answer(query: bytes, records: dict[tuple[str, int], list[bytes]], cut: bool = False) -> bytes:
    """The reply to a query with one question (RFC 1035); a name without such records exists, and has none."""
    number = query[:2]
    end = query.index(b"\0", 12)
    kind = struct.unpack("!H", query[end + 1 : end + 3])[0]
    found = records.get((name_in(query[12:end]), kind), [])
    flags = 0x8400 | (0x0200 if cut else 0)
    head = number + struct.pack("!HHHHH", flags, 1, len(found), 0, 0)
    body = query[12 : end + 5]
    for data in found:
        # 0xC00C: the name of the question.
        body += struct.pack("!HHHIH", 0xC00C, kind, INTERNET, TTL_SECONDS, len(data)) + data
    return head + body


def name_in(labels: bytes) -> str:
    parts = []
    while labels:
        parts.append(labels[1 : labels[0] + 1].decode().lower())
        labels = labels[labels[0] + 1 :]
    return ".".join(parts)


def strings(text: bytes) -> bytes:
    """As the strings of a TXT record, of at most 255 bytes each."""
    parts = [text[first : first + 255] for first in range(0, len(text), 255)]
    return b"".join(bytes([len(part)]) + part for part in parts)
