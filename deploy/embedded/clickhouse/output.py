"""What goes to one client: packets, and blocks compressed as the statement asked for."""

import socket

from deploy.embedded.clickhouse import packets
from deploy.embedded.clickhouse.blocks import BLOCK_INFO
from deploy.embedded.clickhouse.compression import frames

SMALL_BYTES = 1 << 16


class Output:
    """Writes to a socket; small packets are collected until `flush`."""

    def __init__(self, link: socket.socket) -> None:
        self._link = link
        self._pending = bytearray()
        self.sent_bytes = 0

    def packet(self, packet: bytes) -> None:
        self._pending += packet
        if len(self._pending) > SMALL_BYTES:
            self.flush()

    def block(self, block: memoryview | bytes, compressed: bool) -> None:
        """Send a data packet with one native block (without its info)."""
        self.packet(packets.DATA)
        if compressed:
            for frame in frames((BLOCK_INFO, memoryview(block))):
                self.packet(frame)
            return
        self.packet(BLOCK_INFO)
        if len(block) < SMALL_BYTES:
            self.packet(bytes(block))
        else:
            self.flush()
            self._send(block)

    def flush(self) -> None:
        if self._pending:
            pending, self._pending = self._pending, bytearray()
            self._send(pending)

    def _send(self, data: memoryview | bytes | bytearray) -> None:
        self._link.sendall(data)
        self.sent_bytes += len(data)
