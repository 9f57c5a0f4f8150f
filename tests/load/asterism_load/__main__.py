"""What tests/load/run starts once the programs, ghz and the generated code are there."""

import argparse
import sys
import tempfile
from pathlib import Path

from . import calls, client, restart, soak, suite
from .ghz import Ghz


def main() -> int:
    options = parse()
    options.folder.mkdir(parents=True, exist_ok=True)
    ghz = Ghz(options.ghz, options.folder, options.members)
    with tempfile.TemporaryDirectory(prefix="asterism-load-") as data:
        well = run(options, ghz, Path(data))
    return 0 if well else 1


def run(options: argparse.Namespace, ghz: Ghz, data: Path) -> bool:
    if options.what == "restart":
        return restart.run(options.programs, data, ghz, options.seconds)
    start = suite.services if options.services else suite.embedded
    with start(options.programs, data) as running:
        match options.what:
            case "calls":
                return calls.run(running, ghz, options.seconds)
            case "soak":
                return soak.run(running, ghz, options.seconds)
            case "client":
                return client.run(running)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="asterism_load", description=__doc__)
    parser.add_argument("what", choices=["calls", "soak", "restart", "client"])
    parser.add_argument("--programs", type=Path, required=True, help="folder with the programs")
    parser.add_argument("--ghz", required=True, help="the program ghz")
    parser.add_argument("--folder", type=Path, required=True, help="where reports go")
    parser.add_argument("--services", action="store_true", help="four processes instead of one")
    parser.add_argument("--members", type=int, required=True)
    parser.add_argument("--seconds", type=int, required=True)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
