"""A TCP proxy that a test can cut, or make hold back what goes through it: a network between two processes that fails.

client ──▶ Proxy ──▶ server at ``target``
"""

import asyncio
import threading
from collections.abc import Coroutine
from types import TracebackType
from typing import Any, Self, TypeVar

CHUNK = 1 << 16
SECONDS = 30.0
_T = TypeVar("_T")


class Proxy:
    """Listens on a loopback port of its own between ``with`` and its end, and lets everything through at first.

    The server at ``target`` (host, port) need not be there yet. ``cut`` ends all connections, and every new one at once;
    ``hold_back`` keeps them open and lets nothing through, or only what clients send. ``mend`` undoes both: what was held
    back arrives then, as it does in a network.
    """

    def __init__(self, target: tuple[str, int]) -> None:
        self.target = target
        self._is_cut = False
        self._connections: set[asyncio.StreamWriter] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)
        self._requests_flow = asyncio.Event()
        self._answers_flow = asyncio.Event()
        self.port = 0

    @property
    def address(self) -> str:
        """``host:port`` for clients."""
        return f"127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self._thread.start()
        self.mend()
        self._server = self._run(asyncio.start_server(self._serve, "127.0.0.1", 0))
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.cut()
        self._run(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def cut(self) -> None:
        """End all connections, and each new one."""
        self._run(self._cut())

    def hold_back(self, *, answers_only: bool = False) -> None:
        """Let nothing through for now, or no answers: requests arrive then, and nobody hears what came of them."""
        self._run(self._hold_back(answers_only))

    def mend(self) -> None:
        """Let everything through again."""
        self._run(self._mend())

    def _run(self, work: Coroutine[Any, Any, _T]) -> _T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(SECONDS)

    async def _cut(self) -> None:
        self._is_cut = True
        for writer in list(self._connections):
            writer.transport.abort()

    async def _hold_back(self, answers_only: bool) -> None:
        self._answers_flow.clear()
        if not answers_only:
            self._requests_flow.clear()

    async def _mend(self) -> None:
        self._is_cut = False
        self._requests_flow.set()
        self._answers_flow.set()

    async def _close(self) -> None:
        self._server.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def _serve(self, client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        if self._is_cut:
            to_client.transport.abort()
            return
        try:
            server, to_server = await asyncio.open_connection(*self.target)
        except OSError:
            to_client.transport.abort()
            return
        ends = {to_client, to_server}
        self._connections |= ends
        try:
            await asyncio.gather(
                _pump(client, to_server, self._requests_flow), _pump(server, to_client, self._answers_flow)
            )
        except OSError:
            pass  # one side is gone, so the other one goes, too
        finally:
            self._connections -= ends
            for writer in ends:
                writer.transport.abort()


async def _pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter, flows: asyncio.Event) -> None:
    while data := await source.read(CHUNK):
        await flows.wait()
        sink.write(data)
        await sink.drain()
    raise ConnectionResetError
