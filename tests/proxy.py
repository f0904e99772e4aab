"""A TCP proxy that a test can cut, or make hold back what goes through it: a network between two processes that fails.

client ──▶ Proxy ──▶ server at ``target``
"""

import asyncio
import threading
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field, replace
from functools import partial
from types import TracebackType
from typing import Any, Self, TypeVar

CHUNK = 1 << 16
SECONDS = 30.0
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Trouble:
    """What befalls connections while they stay open.

    ``delay``: seconds that each piece takes longer. ``cut_after``: bytes in both directions after which a connection ends. ``unanswered_after``:
    bytes of a request after which its answer is lost, and the connection with it (0: the first answer to anything). None: never.
    """

    delay: float = 0.0
    cut_after: int | None = None
    unanswered_after: int | None = None


@dataclass
class Catch:
    """A request to be held back, and what came after it on its connection: known by ``mark``, which stands in it.

    ``least``: instead of that request, hold what follows it, from the first piece on of at least so many bytes.
    """

    mark: bytes
    least: int = 0
    caught: threading.Event = field(default_factory=threading.Event)
    _followed: "_Link | None" = None

    def takes(self, link: "_Link", data: bytes) -> bool:
        """Whether this piece is the one; the next ones of its connection wait behind it."""
        if self.caught.is_set():
            return False
        if (len(data) >= self.least and self._followed is link) or (self.mark in data and not self.least):
            self.caught.set()
        elif self.mark in data:
            self._followed = link
        return self.caught.is_set()


class Proxy:
    """Listens on a loopback port of its own between ``with`` and its end, and lets everything through at first.

    The server at ``target`` (host, port) need not be there yet. ``cut`` ends all connections, and every new one at once;
    ``hold_back`` keeps them open and lets nothing through, or only what clients send; ``catch`` does that to
    one connection, from one request on. ``half_close`` tells servers that clients will send no
    more, while clients go on. ``trouble`` is what befalls the rest. ``mend`` undoes all of it: what was held back arrives then, as it does in a
    network; what was half closed stays so.
    """

    def __init__(self, target: tuple[str, int]) -> None:
        self.target = target
        self._is_cut = False
        self._trouble = Trouble()
        self._links: set[_Link] = set()
        self._catch: Catch | None = None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)
        self._requests_flow = asyncio.Event()
        self._answers_flow = asyncio.Event()
        self._mended = asyncio.Event()
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

    def catch(self, mark: bytes, least: int = 0) -> threading.Event:
        """Hold back the next request with ``mark`` in it (see `Catch`) until `mend`; the event is set once it has come."""
        catch = Catch(mark, least)
        self._run(self._set_catch(catch))
        return catch.caught

    def half_close(self) -> None:
        """End the requests' direction of all connections that are open now; answers still get through."""
        self._run(self._half_close())

    def trouble(
        self, *, delay: float = 0.0, cut_after: int | None = None, unanswered_after: int | None = None
    ) -> None:
        """Let this befall all connections, old and new, from now on."""
        self._run(self._set(Trouble(delay, cut_after, unanswered_after)))

    def mend(self) -> None:
        """Let everything through again."""
        self._run(self._mend())

    def _run(self, work: Coroutine[Any, Any, _T]) -> _T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(SECONDS)

    async def _cut(self) -> None:
        self._is_cut = True
        for link in list(self._links):
            link.abort()

    async def _half_close(self) -> None:
        for link in list(self._links):
            link.half_close()

    async def _set(self, trouble: Trouble) -> None:
        self._trouble = trouble
        for link in self._links:
            link.befall(trouble)

    async def _hold_back(self, answers_only: bool) -> None:
        self._answers_flow.clear()
        if not answers_only:
            self._requests_flow.clear()

    async def _set_catch(self, catch: Catch) -> None:
        self._mended.clear()
        self._catch = catch

    def _held(self, link: "_Link", data: bytes) -> bool:
        return self._catch is not None and self._catch.takes(link, data)

    async def _mend(self) -> None:
        self._is_cut = False
        self._catch = None
        self._mended.set()
        await self._set(Trouble())
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
        link = _Link(to_client, to_server, self._trouble)
        held = partial(self._held, link)
        self._links.add(link)
        try:
            await asyncio.gather(
                link.requests(client, self._requests_flow, held, self._mended),
                link.answers(server, self._answers_flow),
            )
        except OSError:
            pass  # one side is gone, so the other one goes, too
        finally:
            self._links.discard(link)
            link.abort()


class _Link:
    """One client's connection through the proxy, and what is to befall it."""

    def __init__(
        self, to_client: asyncio.StreamWriter, to_server: asyncio.StreamWriter, trouble: Trouble
    ) -> None:
        self._to_client = to_client
        self._to_server = to_server
        self._trouble = trouble
        self._asked = 0
        self._is_half_closed = False

    def befall(self, trouble: Trouble) -> None:
        """Count from now."""
        self._trouble = trouble

    def half_close(self) -> None:
        """Tell the server that there is no more to come."""
        self._is_half_closed = True
        self._to_server.write_eof()

    def abort(self) -> None:
        """End it for both."""
        for writer in (self._to_client, self._to_server):
            writer.transport.abort()

    async def requests(
        self,
        source: asyncio.StreamReader,
        flows: asyncio.Event,
        held: Callable[[bytes], bool],
        mended: asyncio.Event,
    ) -> None:
        """Pass on what the client sends, what is ``held`` when that is ``mended``. Raises ConnectionError when it ends."""
        while data := await source.read(CHUNK):
            await flows.wait()
            if held(data):
                await mended.wait()
            self._asked += len(data)
            await self._pass(data, self._to_server)
        raise ConnectionResetError

    async def answers(self, source: asyncio.StreamReader, flows: asyncio.Event) -> None:
        """Pass on what the server sends, unless that is to be lost. Raises ConnectionError when it ends."""
        while data := await source.read(CHUNK):
            await flows.wait()
            least = self._trouble.unanswered_after
            if least is not None and self._asked > least:
                raise ConnectionResetError
            self._asked = 0
            await self._pass(data, self._to_client)
        raise ConnectionResetError

    async def _pass(self, data: bytes, sink: asyncio.StreamWriter) -> None:
        if self._trouble.delay:
            await asyncio.sleep(self._trouble.delay)
        left = self._trouble.cut_after
        if left is not None:
            self._trouble = replace(self._trouble, cut_after=max(0, left - len(data)))
        if sink is self._to_server and self._is_half_closed:
            return
        sink.write(data[:left])
        await sink.drain()
        if left is not None and len(data) >= left:
            # What goes before the cut has to be on its way: an aborted transport throws its buffer away.
            sink.close()
            await sink.wait_closed()
            raise ConnectionResetError
