"""Child processes that we start, wait for, stop by their own handle, and that never outlive us."""

import functools
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path

TETHER = Path(__file__).with_name("tether.py")
SLOWEST_SECONDS = 0.2
LOG_TAIL_BYTES = 4_000


class ChildFailed(Exception):
    """A child process ended early or never became ready. `returncode` is None while it still runs."""

    def __init__(self, name: str, reason: str, returncode: int | None, log: Path) -> None:
        self.name = name
        self.reason = reason
        self.returncode = returncode
        self.log = log
        super().__init__(f"{name} {reason}; its log is {log}, which ends:\n{tail(log)}")


class Child:
    """One supervised process. Output goes to `log` (appended); `start` and `stop` may alternate."""

    def __init__(
        self, name: str, command: Sequence[str], log: Path, env: Mapping[str, str] | None = None
    ) -> None:
        self.name = name
        self.command = list(command)
        self.log = log
        self.env = dict(env) if env is not None else None
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """The process id, None when it is not running."""
        return self._process.pid if self.running and self._process else None

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self, ready: Callable[[], bool], seconds: float) -> None:
        """Start the process, return once `ready()`. Raises ChildFailed after `seconds`, or when it exits."""
        if self.running:
            raise ChildFailed(self.name, "is already running", None, self.log)
        self.log.parent.mkdir(parents=True, exist_ok=True)
        self._process = _launcher().submit(self._spawn)
        try:
            self._await(ready, time.monotonic() + seconds)
        except BaseException:
            self.kill()
            raise

    def stop(self, seconds: float = 15.0) -> int | None:
        """Ask the process to end, kill it after `seconds`. Returns its exit status, None if it never ran."""
        if self._process is None:
            return None
        if self.running:
            self._process.terminate()
        try:
            return self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return self.kill()

    def kill(self) -> int | None:
        """End the process at once (SIGKILL) and wait for it."""
        if self._process is None:
            return None
        if self.running:
            self._process.send_signal(signal.SIGKILL)
        return self._process.wait()

    def _spawn(self) -> subprocess.Popen[bytes]:
        # A death signal follows the thread that forked, so this runs in a thread that lives as long as we do.
        with self.log.open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-I", "-S", str(TETHER), str(os.getpid()), *self.command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=self.env,
                # Ctrl-C in a terminal reaches the whole group: we stop children ourselves, in order.
                start_new_session=True,
            )

    def _await(self, ready: Callable[[], bool], deadline: float) -> None:
        assert self._process is not None
        pause = 0.02
        while not ready():
            returncode = self._process.poll()
            if returncode is not None:
                raise ChildFailed(self.name, f"ended early (exit status {returncode})", returncode, self.log)
            if time.monotonic() > deadline:
                raise ChildFailed(self.name, "did not become ready in time", None, self.log)
            time.sleep(pause)
            # Who takes longer is asked less often: answering takes time that it needs for getting ready.
            pause = min(1.1 * pause, SLOWEST_SECONDS)


class Launcher:
    """A daemon thread that starts processes for everybody else."""

    def __init__(self) -> None:
        self._work: queue.SimpleQueue[
            tuple[Callable[[], subprocess.Popen[bytes]], Future[subprocess.Popen[bytes]]]
        ] = queue.SimpleQueue()
        threading.Thread(target=self._run, name="launcher", daemon=True).start()

    def submit(self, spawn: Callable[[], subprocess.Popen[bytes]]) -> subprocess.Popen[bytes]:
        answer: Future[subprocess.Popen[bytes]] = Future()
        self._work.put((spawn, answer))
        return answer.result()

    def _run(self) -> None:
        while True:
            spawn, answer = self._work.get()
            try:
                answer.set_result(spawn())
            except BaseException as error:
                answer.set_exception(error)


@functools.cache
def _launcher() -> Launcher:
    return Launcher()


def tail(log: Path) -> str:
    """The last lines of a log, empty if there is none."""
    try:
        return log.read_bytes()[-LOG_TAIL_BYTES:].decode(errors="replace")
    except FileNotFoundError:
        return ""
