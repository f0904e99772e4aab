"""Apache Kafka as Maven delivers it, kept in the checkout's .cache: jars, a formatted folder's checkpoint, a class archive.

Fetching takes a minute, once; the archive halves what a start costs.
"""

import fcntl
import functools
import hashlib
import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from deploy.embedded.broker import members_at
from deploy.embedded.ports import free_port
from deploy.embedded.supervise import Child

ROOT = Path(__file__).resolve().parents[2]
POM = Path(__file__).with_name("pom.xml")
CHECKPOINT, ARCHIVE = "bootstrap.checkpoint", "classes.jsa"
SECONDS = 180.0
# A small heap, and compiled quickly rather than well: a test's broker lives for seconds.
JVM = (
    *("-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData"),
    *("-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-Dorg.slf4j.simpleLogger.showDateTime=true"),
    "-Dorg.slf4j.simpleLogger.dateTimeFormat=HH:mm:ss.SSS",
)


class MissingTool(Exception):
    """A program that Apache Kafka needs is not on the PATH."""

    def __init__(self, tool: str) -> None:
        super().__init__(f"tests with Apache Kafka need `{tool}` on the PATH (.ci/run installs it)")


@functools.cache
def distribution() -> Path:
    """Return the folder with everything a broker needs; made at first use. Raises MissingTool, CalledProcessError."""
    # Named after what is in it: another version is another folder.
    folder = ROOT / ".cache" / f"kafka-{hashlib.sha256(POM.read_bytes()).hexdigest()[:12]}"
    folder.parent.mkdir(exist_ok=True)
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "complete").exists():
            shutil.rmtree(folder, ignore_errors=True)
            _fetch(folder / "jars")
            _prepare(folder)
            (folder / "complete").touch()
    return folder


def java(folder: Path, main: str, arguments: Sequence[str], *options: str) -> list[str]:
    """Return the command that runs the class ``main`` of the distribution in ``folder``."""
    jars = os.pathsep.join(str(jar) for jar in sorted((folder / "jars").glob("*.jar")))
    archive = folder / ARCHIVE
    shared = [f"-XX:SharedArchiveFile={archive}"] if archive.exists() else []
    return [_tool("java"), *JVM, *shared, *options, "-cp", jars, main, *arguments]


def _fetch(jars: Path) -> None:
    goal = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies"
    command = [_tool("mvn"), "--batch-mode", "--quiet", "--file", str(POM), goal]
    subprocess.run(
        [*command, "-DincludeScope=runtime", f"-DoutputDirectory={jars}"],
        check=True,
        stdin=subprocess.DEVNULL,
    )


def _prepare(folder: Path) -> None:
    """Keep what would be work for every broker: the formatted features of a new cluster, and the classes that a start loads."""
    formatted, settings, port = folder / "formatted", folder / "format.properties", free_port()
    controller = free_port()
    settings.write_text(
        f"process.roles=broker,controller\nnode.id=1\ncontroller.quorum.voters=1@127.0.0.1:{controller}\n"
        f"listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}\n"
        f"controller.listener.names=CONTROLLER\nlog.dirs={formatted}\n"
    )
    arguments = ["format", "--cluster-id", "A" * 22, "--config", str(settings)]
    subprocess.run(java(folder, "kafka.tools.StorageTool", arguments), check=True, stdout=subprocess.DEVNULL)
    shutil.copy(formatted / CHECKPOINT, folder)
    recording = java(folder, "kafka.Kafka", [str(settings)], f"-XX:ArchiveClassesAtExit={folder / ARCHIVE}")
    broker = Child("the first broker", recording, folder / "prepare.log")
    broker.start(lambda: members_at("127.0.0.1", port)[1] == {1}, SECONDS)
    broker.stop(SECONDS)
    shutil.rmtree(formatted)


def _tool(name: str) -> str:
    path = shutil.which(name)
    if path is None:
        raise MissingTool(name)
    return path
