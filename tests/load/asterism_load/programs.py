"""The servers under load: processes of ours on free ports of loopback."""

import base64
import http.client
import os
import re
import signal
import socket
import subprocess
import time
from pathlib import Path

PATIENCE_SECONDS = 120


def encryption_keys(folder: Path) -> str:
    """The setting that customer-profile does not start without, with a key of its own."""
    file = folder / "customer-encryption-keys"
    file.write_text(f"first {base64.b64encode(os.urandom(32)).decode()}\n")
    return f"--customer-encryption-keys-file={file}"


class Program:
    """A server in a process of its own, with what the system says about it."""

    def __init__(self, command: list[str], log: Path, host: str = "127.0.0.1", port: int = 0):
        self.api = f"{host}:{port or free_port(host)}"
        self.ops = f"{host}:{free_port(host)}"
        self.command = command + [f"--listen={self.api}", f"--ops-listen={self.ops}"]
        self.log = log
        self.process: subprocess.Popen | None = None

    @property
    def name(self) -> str:
        return Path(self.command[0]).name

    def start(self) -> None:
        """Returns once it is ready."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment()
            )
        until = time.monotonic() + PATIENCE_SECONDS
        while not self.is_ready():
            if self.process.poll() is not None or time.monotonic() > until:
                raise SystemExit(f"{self.name} does not become ready:\n{self.log.read_text()[-4000:]}")
            time.sleep(0.02)

    def terminate(self) -> int:
        """Asks it to end, as Kubernetes does, and returns its exit code once it has."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE_SECONDS)

    def kill(self) -> None:
        """`kill -9`: no farewell."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def is_ready(self) -> bool:
        answer = self.ask("/readyz")
        return answer is not None and answer[0] == 200

    def calls(self) -> int:
        """How many calls of our API it has answered since its start."""
        _, text = self.ask("/metrics")
        counts = re.findall(r'^rpc_server_call_duration\w*_count\{.*asterism\..*\} (\d+)', text, re.M)
        return sum(map(int, counts))

    def ask(self, path: str) -> tuple[int, str] | None:
        host, port = self.ops.rsplit(":", 1)
        connection = http.client.HTTPConnection(host, int(port), timeout=5)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        except OSError:
            return None
        finally:
            connection.close()

    def memory_kib(self) -> int:
        """Resident memory."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"^VmRSS:\s+(\d+) kB", status, re.M).group(1))

    def descriptors(self) -> int:
        """Open file descriptors."""
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))


def environment() -> dict[str, str]:
    """The settings are ours alone, whatever the shell has set."""
    return {name: value for name, value in os.environ.items() if not name.startswith("ASTERISM_")}


def free_port(host: str) -> int:
    with socket.socket() as probe:
        probe.bind((host, 0))
        return probe.getsockname()[1]
