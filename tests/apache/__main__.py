"""One Apache Kafka broker on this machine: ``python -m tests.apache`` prints its address, and stops it when it is ended itself.

Its data is in a folder that is gone afterwards.
"""

import signal
import tempfile
from threading import Event

from tests.apache.broker import ApacheBroker


def main() -> None:
    """Run it until SIGINT or SIGTERM."""
    ended = Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    with tempfile.TemporaryDirectory(prefix="funnel-kafka-") as directory, ApacheBroker(directory) as broker:
        print(broker.bootstrap, flush=True)
        ended.wait()


if __name__ == "__main__":
    main()
