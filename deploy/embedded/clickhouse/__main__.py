"""`python -m deploy.embedded.clickhouse --path DIR --port PORT`: serve a data path until SIGTERM.

The password comes from FUNNEL_CLICKHOUSE_PASSWORD (empty without it), the read-only user's from
FUNNEL_CLICKHOUSE_READER_PASSWORD (without it there is none), never from the command line.
"""

import argparse
import logging
import os
import signal
import sys
from pathlib import Path

PASSWORD_VARIABLE = "FUNNEL_CLICKHOUSE_PASSWORD"
READER_VARIABLE = "FUNNEL_CLICKHOUSE_READER_PASSWORD"


def main() -> int:
    """Returns the exit status: 0 after SIGTERM or SIGINT, 1 if the server cannot start."""
    options = _parser().parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    # Imported late: the engine takes a second to load, and --help should not.
    from deploy.embedded.clickhouse.metrics import serve
    from deploy.embedded.clickhouse.server import InUse, Options, Server, Unsupported

    password, reader = (os.environ.pop(name, "") for name in (PASSWORD_VARIABLE, READER_VARIABLE))
    try:
        server = Server(
            Options(
                options.path, options.host, options.port, options.user, password, options.http_port, reader
            )
        )
    except (InUse, OSError, Unsupported) as error:
        logging.error("cannot start: %s", error)
        return 1
    if options.metrics_port:
        serve(server.registry, options.metrics_port)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: server.stop())
    logging.info("engine %s serves %s on %s:%d", server.engine_version, options.path, *server.address)
    if server.http:
        logging.info("HTTP on %s:%d", server.address[0], server.http.port)
    server.run()
    logging.info("stopped")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m deploy.embedded.clickhouse", description=__doc__)
    parser.add_argument("--path", type=Path, required=True, help="directory that holds the data")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=9000, help="0 picks a free one")
    parser.add_argument("--http-port", type=int, help="serve HTTP, too; 0 picks a free one")
    parser.add_argument("--user", default="default")
    parser.add_argument("--metrics-port", type=int, default=0, help="serve /metrics on loopback")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
