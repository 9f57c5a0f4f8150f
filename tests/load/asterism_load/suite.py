"""The suite as it is put under load: all in one process on SQLite, or four on PostgreSQL and Redis."""

import glob
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from .programs import Program, encryption_keys, environment

# Program and name of the feed of each service.
SERVICES = {
    "customer-profile": "customer",
    "loyalty-points": "loyalty",
    "segmentation": "segmentation",
    "feedback": "feedback",
}
QUIET = "--log=warn"


@dataclass
class Suite:
    """Running servers, and which of them serves what."""

    description: str
    programs: list[Program]
    # Address by the name of a service's feed.
    addresses: dict[str, str]
    uses_redis: bool

    def address_of(self, method: str) -> str:
        """Where a method is served, by its full name; health is everywhere."""
        package = re.match(r"asterism\.(\w+)\.", method)
        return self.addresses[package.group(1) if package else "loyalty"]


@contextmanager
def embedded(programs: Path, folder: Path) -> Iterator[Suite]:
    """`asterism serve`: four services, one process, SQLite files, the cache in the process."""
    server = Program([str(programs / "asterism"), "serve", f"--data={folder}", QUIET], folder / "asterism.log")
    addresses = {source: server.api for source in SERVICES.values()}
    with running([server]):
        yield Suite("one process, SQLite", [server], addresses, uses_redis=False)


@contextmanager
def services(programs: Path, folder: Path) -> Iterator[Suite]:
    """Four processes on the PostgreSQL and the Redis that `testkit` has started for this process."""
    servers = {}
    for name, source in SERVICES.items():
        create_database(f"load_{source}")
        command = [str(programs / name), f"--database-url={database_url(f'load_{source}')}"]
        migrate(command)
        command += [f"--redis-url={os.environ['TESTKIT_REDIS']}", QUIET]
        if name == "customer-profile":
            command.append(encryption_keys(folder))
        servers[source] = Program(command, folder / f"{name}.log")
    addresses = {source: server.api for source, server in servers.items()}
    for server in servers.values():
        server.command += [f"--peer-{source}=http://{address}" for source, address in addresses.items()]
    with running(list(servers.values())):
        yield Suite("four processes, PostgreSQL and Redis", list(servers.values()), addresses, uses_redis=True)


@contextmanager
def running(programs: list[Program]) -> Iterator[None]:
    """Whatever happens, nothing of ours stays behind."""
    try:
        for program in programs:
            program.start()
        yield
    finally:
        for program in programs:
            program.kill()


def migrate(command: list[str]) -> None:
    subprocess.run(command + ["migrate"], check=True, stdout=subprocess.DEVNULL, env=environment())


def create_database(name: str) -> None:
    found = shutil.which("createdb") or next(iter(sorted(glob.glob("/usr/lib/postgresql/*/bin/createdb"))), None)
    if found is None:
        raise SystemExit("createdb is missing: install PostgreSQL 15 or newer with its clients")
    host = os.environ["TESTKIT_POSTGRES"].split("host=")[1]
    subprocess.run([found, "-h", host, "-U", "app", name], check=True)


def database_url(name: str) -> str:
    return os.environ["TESTKIT_POSTGRES"].replace("?", f"/{name}?", 1)
