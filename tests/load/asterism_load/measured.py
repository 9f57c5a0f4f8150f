"""What ghz says of one run, and whether that is good enough. Nothing here talks to anybody."""

import math
from dataclasses import dataclass, field

# Upper ends of the histogram's steps, in milliseconds: each one half as much again, from 0.1 ms to a minute.
STEPS_MS = [0.1 * 1.5**step for step in range(34)]
# Failures may differ in a word each.
MESSAGES_MAX = 5


@dataclass(frozen=True)
class Measured:
    """One run of one call."""

    name: str
    call: str
    count: int
    rps: float
    p50_ms: float
    p95_ms: float
    p99_ms: float
    slowest_ms: float
    # Calls by their status.
    statuses: dict[str, int]
    # Messages of failed calls.
    errors: dict[str, int]
    # As in the configuration: the thresholds.
    tags: dict[str, str]
    # Calls by the step of `STEPS_MS`.
    histogram: list[int] = field(repr=False)

    @classmethod
    def parse(cls, ghz: dict) -> "Measured":
        """From ghz's JSON."""
        percentiles = {entry["percentage"]: entry["latency"] / 1e6 for entry in ghz["latencyDistribution"] or []}
        latencies = [detail["latency"] / 1e6 for detail in ghz["details"] or [] if not detail["error"]]
        return cls(
            name=ghz["name"],
            call=ghz["options"]["call"],
            count=ghz["count"],
            rps=ghz["rps"],
            p50_ms=percentiles.get(50, math.inf),
            p95_ms=percentiles.get(95, math.inf),
            p99_ms=percentiles.get(99, math.inf),
            slowest_ms=ghz["slowest"] / 1e6,
            statuses=ghz["statusCodeDistribution"],
            errors=ghz["errorDistribution"],
            tags=ghz.get("tags") or {},
            histogram=histogram(latencies),
        )


def histogram(latencies_ms: list[float]) -> list[int]:
    counts = [0] * len(STEPS_MS)
    for latency in latencies_ms:
        step = max(0, math.ceil(math.log(max(latency, 1e-9) / STEPS_MS[0], 1.5)))
        counts[min(step, len(counts) - 1)] += 1
    return counts


@dataclass(frozen=True)
class Verdict:
    """A call beside the echoes that were measured just before and just after it."""

    measured: Measured
    p99_by_echo: float
    rps_by_echo: float
    # Why it is not good enough; empty if it is.
    failures: list[str]
    # Whether it failed by figures only, which a noisy machine can cause, and not by errors.
    noise: bool


def judge(measured: Measured, before: Measured, after: Measured) -> Verdict:
    """By the thresholds in the configuration's tags, relative to the mean of both echoes."""
    p99_by_echo = measured.p99_ms / ((before.p99_ms + after.p99_ms) / 2)
    rps_by_echo = measured.rps / ((before.rps + after.rps) / 2)
    failures = failures_of(before) + failures_of(measured) + failures_of(after)
    noise = not failures
    p99_max = float(measured.tags["p99_by_echo_max"])
    rps_min = float(measured.tags["rps_by_echo_min"])
    if p99_by_echo > p99_max:
        failures.append(f"p99 is {p99_by_echo:.1f} times the echo's, at most {p99_max:g} are allowed")
    if rps_by_echo < rps_min:
        failures.append(f"{rps_by_echo:.3f} of the echo's calls/s, at least {rps_min:g} are asked for")
    return Verdict(measured, p99_by_echo, rps_by_echo, failures, noise and bool(failures))


def failures_of(measured: Measured) -> list[str]:
    if measured.count == 0:
        return [f"{measured.name}: no call was counted"]
    messages = [f"{measured.name}: {count} calls failed: {error}" for error, count in measured.errors.items()]
    if len(messages) > MESSAGES_MAX:
        messages[MESSAGES_MAX:] = [f"{measured.name}: {len(messages) - MESSAGES_MAX} more messages"]
    return messages
