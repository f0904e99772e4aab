"""ClickHouse without a server to install: the engine (chDB) behind a front that speaks the native protocol.

with ClickHouseServer("funnel-data/clickhouse") as server:
    clickhouse_driver.Client(server.host, server.port)
"""

from deploy.embedded.clickhouse.supervised import ClickHouseServer

__all__ = ["ClickHouseServer"]
