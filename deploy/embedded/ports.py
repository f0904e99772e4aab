"""Ports for servers that are about to start."""

import contextlib
import errno
import fcntl
import functools
import os
import random
import socket
import tempfile
from collections.abc import Iterator
from itertools import cycle, islice
from pathlib import Path

PORTS = range(10_240, 32_768)
"""Below those that systems give to outgoing connections: one of them could take a port before the server does."""
SHARES = 32


def free_port(host: str = "127.0.0.1") -> int:
    """Return a TCP port that nobody listens on right now, and that no other process gets from here. Raises OSError if there is none.

    A server takes some time to listen: whoever looks for a port meanwhile would find this one free too. So each process has a share of its own,
    as long as it lives, and goes round in it.
    """
    for port in islice(_round(os.getpid()), len(PORTS)):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind((host, port))
            return port
    raise OSError(errno.EADDRINUSE, f"no free port on {host}")


@functools.cache
def _round(_process: int) -> Iterator[int]:
    share = _share()
    ports = list(PORTS if share is None else PORTS[share::SHARES])
    random.SystemRandom().shuffle(ports)
    return cycle(ports)


def _share() -> int | None:
    """Return the share that is this process's from now on, None where all are taken or nothing can be written down."""
    directory = Path(tempfile.gettempdir()) / f"funnel-ports-{os.getuid()}"
    with contextlib.suppress(OSError):
        directory.mkdir(mode=0o700, exist_ok=True)
        for share in range(SHARES):
            lock = os.open(directory / str(share), os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
            try:
                # Open, and so locked, until the process ends, in whatever way.
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return share
            except BlockingIOError:
                os.close(lock)
    return None
