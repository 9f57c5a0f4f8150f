"""Runs ghz on the configurations in calls/."""

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path

from .measured import Measured
from .programs import environment

CALLS = Path(__file__).parent.parent / "calls"
# Calls that use something up are counted: as many as this for each second that others would have.
COUNTED_PER_SECOND = 2000


@dataclass(frozen=True)
class Ghz:
    """Where ghz is, and what holds for all its runs."""

    program: str
    folder: Path
    members: int

    def run(self, name: str, host: str, seconds: int) -> Measured:
        """One configuration against a server; it is kept, with ghz's answer, beside the report."""
        config = self.configuration(name)
        if "total" in config:
            config["total"] = min(config["total"], seconds * COUNTED_PER_SECOND)
        else:
            config["duration"] = f"{seconds}s"
        return Measured.parse(self.start(config, host).answer())

    def start(self, config: dict, host: str) -> "Running":
        """ghz, running; whoever starts it waits for its answer, or stops it."""
        file = self.folder / f"{config['name']}.json"
        file.write_text(json.dumps(config, indent=2))
        # Not over a pipe: ghz would not end before it is read.
        output = file.with_suffix(".answer.json")
        output.unlink(missing_ok=True)
        command = [self.program, f"--config={file}", "--format=json", f"--output={output}", host]
        return Running(subprocess.Popen(command, env=environment()), output)

    def configuration(self, name: str) -> dict:
        """As in calls/, for as many members as there are."""
        text = (CALLS / f"{name}.json").read_text()
        config = json.loads(text)
        if written_for := config["tags"].get("members"):
            config["data"] = json.loads(json.dumps(config["data"]).replace(written_for, str(self.members)))
        if "total" in config:
            config["total"] = min(config["total"], self.members)
        if "data-file" in config:
            config["data-file"] = str(self.folder / Path(config["data-file"]).name)
        return config


@dataclass(frozen=True)
class Running:
    """A run of ghz."""

    process: subprocess.Popen
    output: Path

    def is_done(self) -> bool:
        return self.process.poll() is not None

    def answer(self) -> dict:
        """Waits for ghz's JSON."""
        code = self.process.wait()
        if not self.output.exists():
            raise SystemExit(f"ghz has no answer: it ended with {code}")
        return json.loads(self.output.read_text())

    def stop(self) -> None:
        if not self.is_done():
            self.process.kill()
            self.process.wait()
