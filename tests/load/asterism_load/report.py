"""The report: a table, and a histogram of latencies for each call, as Markdown and as HTML."""

import html
import os
import platform
import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from .measured import STEPS_MS, Measured, Verdict

COLUMNS = ["call", "calls", "calls/s", "p50 ms", "p95 ms", "p99 ms", "calls/s ÷ echo", "at least", "p99 ÷ echo", "at most", ""]
EXPLANATION = (
    "Closed loop: each of ghz's workers waits for its answer before it calls again, and ghz shares the machine with the "
    "servers. Only the ratios to the echo (the mean of one run just before and one just after the call) mean anything "
    "elsewhere; they are what is judged. A call that misses is measured once more."
)


@dataclass(frozen=True)
class Facts:
    """What was measured, and on what."""

    description: str
    members: int
    seconds: int
    seeding: dict[str, float]

    def lines(self) -> list[str]:
        seeding = ", ".join(f"{part} {spent:.1f} s" for part, spent in self.seeding.items())
        return [
            f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, commit {commit()}",
            f"{platform.system()} {platform.machine()}, {os.cpu_count()} processors, load average {load_average()} at the end",
            f"{self.description}; {self.members:,} members; {self.seconds} s for each call",
            f"Seeding took {sum(self.seeding.values()):.1f} s: {seeding}",
        ]


def write(folder: Path, facts: Facts, outcomes: list[list[Verdict]]) -> None:
    verdicts = [verdict for attempts in outcomes for verdict in attempts]
    (folder / "report.md").write_text(markdown(facts, verdicts))
    (folder / "report.html").write_text(page(facts, verdicts))


def line(attempts: list[Verdict]) -> str:
    """One call for the terminal."""
    verdict = attempts[-1]
    measured = verdict.measured
    again = f" (attempt {len(attempts)})" if len(attempts) > 1 else ""
    return (
        f"  {measured.name:20} {measured.rps:8.0f}/s = {verdict.rps_by_echo:.2f} echo, "
        f"p99 {measured.p99_ms:7.1f} ms = {verdict.p99_by_echo:4.1f} echo, "
        f"{measured.count} calls, {outcome(verdict)}{again}"
    )


def outcome(verdict: Verdict) -> str:
    return "; ".join(verdict.failures) or "ok"


def cells(verdict: Verdict) -> list[str]:
    measured = verdict.measured
    latencies = [f"{latency:.1f}" for latency in (measured.p50_ms, measured.p95_ms, measured.p99_ms)]
    ratios = [
        f"{verdict.rps_by_echo:.3f}",
        measured.tags["rps_by_echo_min"],
        f"{verdict.p99_by_echo:.1f}",
        measured.tags["p99_by_echo_max"],
    ]
    return [measured.name, f"{measured.count:,}", f"{measured.rps:,.0f}", *latencies, *ratios, outcome(verdict)]


def markdown(facts: Facts, verdicts: list[Verdict]) -> str:
    text = ["# Load test", "", *(f"- {fact}" for fact in facts.lines()), "", EXPLANATION, ""]
    text.append("| " + " | ".join(COLUMNS) + " |")
    text.append("|---" + "|---:" * (len(COLUMNS) - 2) + "|---|")
    text += ["| " + " | ".join(cells(verdict)) + " |" for verdict in verdicts]
    for verdict in verdicts:
        text += ["", f"## {verdict.measured.name}", "", verdict.measured.tags["why"], "", "```"]
        text += [f"{upper:>9.2f} ms {'█' * round(share * 60):60} {count:>8,}" for upper, count, share in bars(verdict.measured)]
        text.append("```")
    return "\n".join(text) + "\n"


def page(facts: Facts, verdicts: list[Verdict]) -> str:
    escape = html.escape
    head = "".join(f"<th>{escape(column)}</th>" for column in COLUMNS)
    rows = "".join(
        f"<tr class={'failed' if verdict.failures else 'ok'}>"
        + "".join(f"<td>{escape(cell)}</td>" for cell in cells(verdict))
        + "</tr>"
        for verdict in verdicts
    )
    sections = "".join(
        f"<h2>{escape(verdict.measured.name)}</h2><p>{escape(verdict.measured.call)}. {escape(verdict.measured.tags['why'])}</p>"
        + picture(verdict.measured)
        for verdict in verdicts
    )
    items = "".join(f"<li>{escape(fact)}</li>" for fact in facts.lines())
    return (
        f"<!doctype html><html lang=en><meta charset=utf-8><title>Load test</title><style>{STYLE}</style>"
        f"<h1>Load test</h1><ul>{items}</ul><p>{escape(EXPLANATION)}</p>"
        f"<table><tr>{head}</tr>{rows}</table>{sections}</html>\n"
    )


STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 72rem; margin: 2rem auto; padding: 0 1rem; color: #222 }
table { border-collapse: collapse } th, td { padding: .25rem .6rem; border-bottom: 1px solid #ddd; text-align: right }
th:first-child, td:first-child, td:last-child { text-align: left } tr.failed td { background: #fdd }
svg text { font: 11px system-ui, sans-serif; fill: #444 } svg rect { fill: #4878a8 }
"""


def picture(measured: Measured) -> str:
    """A bar for each step of latency, with percentiles below."""
    width, height = 44, 120
    parts = []
    for place, (upper, count, share) in enumerate(bars(measured)):
        x, tall = place * width, share * height
        parts.append(f"<rect x={x + 2} y={height - tall + 15:.1f} width={width - 4} height={tall:.1f}><title>{count} calls up to {upper:.2f} ms</title></rect>")
        parts.append(f"<text x={x + width / 2} y={height - tall + 11:.1f} text-anchor=middle>{short(count)}</text>")
        parts.append(f"<text x={x + width / 2} y={height + 30} text-anchor=middle>{upper:.3g}</text>")
    wide = max(1, len(parts) // 3) * width
    caption = f"calls by milliseconds: p50 {measured.p50_ms:.1f}, p95 {measured.p95_ms:.1f}, p99 {measured.p99_ms:.1f}, slowest {measured.slowest_ms:.1f}"
    return f"<figure><svg width={wide} height={height + 36}>{''.join(parts)}</svg><figcaption>{caption}</figcaption></figure>"


def bars(measured: Measured) -> list[tuple[float, int, float]]:
    """Upper end, calls, and their share of the most calls, from the first step with any to the last."""
    used = [step for step, count in enumerate(measured.histogram) if count]
    if not used:
        return []
    most = max(measured.histogram)
    steps = range(used[0], used[-1] + 1)
    return [(STEPS_MS[step], measured.histogram[step], measured.histogram[step] / most) for step in steps]


def short(count: int) -> str:
    return f"{count / 1000:.0f}k" if count >= 10_000 else str(count)


def commit() -> str:
    described = subprocess.run(["git", "describe", "--always", "--dirty"], capture_output=True, text=True, check=False)
    return described.stdout.strip() or "unknown"


def load_average() -> str:
    return " ".join(f"{average:.1f}" for average in os.getloadavg())
