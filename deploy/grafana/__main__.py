"""Write the dashboards as the files that Grafana reads: ``python -m deploy.grafana [FOLDER]``."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

from grafana_foundation_sdk.cog.encoder import JSONEncoder

from deploy.grafana.business import business
from deploy.grafana.collector import collector
from deploy.grafana.pipeline import pipeline

FOLDER = Path(__file__).with_name("dashboards")


def rendered() -> Iterator[tuple[str, str]]:
    """Yield name and text of each file."""
    for dashboard in (business(), pipeline(), collector()):
        built = dashboard.build()
        yield f"{built.uid}.json", json.dumps(built, cls=JSONEncoder, indent=2, sort_keys=True) + "\n"


def main(folder: Path) -> None:
    """Write all of them into ``folder``."""
    for name, text in rendered():
        (folder / name).write_text(text)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER)
