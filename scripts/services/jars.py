"""Kafka's jars, fetched once by Maven from the coordinates in `kafka-pom.xml`."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from xml.etree import ElementTree

from scripts.services.failure import ServiceFailed
from scripts.services.home import DataFolder, default_folder
from scripts.services.needs import Need, program

MAVEN = program("mvn", "maven")
_POM = Path(__file__).with_name("kafka-pom.xml")
_COPY = "org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies"
_LIMIT_S = 300


def kafka_version() -> str:
    """The pinned one."""
    name = {"m": "http://maven.apache.org/POM/4.0.0"}
    for dependency in ElementTree.parse(_POM).getroot().iterfind("m:dependencies/m:dependency", name):
        if dependency.findtext("m:artifactId", namespaces=name) == "kafka_2.13":
            return dependency.findtext("m:version", "", name)
    raise ServiceFailed(f"{_POM} names no kafka_2.13.")


def kafka_jars() -> Path:
    """Their folder, in the default data folder wherever the servers' own data lie; whole or absent."""
    return DataFolder(default_folder()).root / f"kafka-{kafka_version()}"


JARS = Need(
    f"the jars of Apache Kafka {kafka_version()}",
    lambda: kafka_jars().exists(),
    remedy="make services, or python -m scripts.services install kafka",
)


def fetch_kafka() -> None:
    """Does nothing when they are there. Gives up after five minutes. Raises `ServiceFailed`."""
    if kafka_jars().exists():
        return
    if not MAVEN.found():
        raise ServiceFailed(f"Kafka's jars are fetched with {MAVEN.sentence}, which is not installed.")
    DataFolder(default_folder()).create()
    partial = kafka_jars().with_suffix(".partial")
    shutil.rmtree(partial, ignore_errors=True)
    command = ["mvn", "-B", "-q", "-f", str(_POM), _COPY, f"-DoutputDirectory={partial}", "-DincludeScope=runtime"]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=_LIMIT_S, stdin=subprocess.DEVNULL
        )
    except subprocess.TimeoutExpired:
        raise ServiceFailed(f"Kafka's jars could not be fetched within {_LIMIT_S} s.") from None
    if done.returncode != 0:
        said = [line for line in done.stdout.splitlines() if "ERROR" in line]
        raise ServiceFailed(f"Kafka's jars could not be fetched: {' '.join(said[:2])}")
    _readable(partial)
    partial.rename(kafka_jars())


def _readable(folder: Path) -> None:
    """By the servers' user."""
    folder.chmod(0o755)
    for jar in folder.iterdir():
        jar.chmod(0o644)
