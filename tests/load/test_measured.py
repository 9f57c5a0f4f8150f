"""The gate on a recorded answer of ghz: it must let good runs pass, and nothing else."""

import copy
import json
import unittest
from pathlib import Path

from asterism_load.measured import STEPS_MS, Measured, histogram, judge

RECORDED = json.loads((Path(__file__).parent / "recorded" / "get-tier-hot.json").read_text())
THRESHOLDS = {"p99_by_echo_max": "2", "rps_by_echo_min": "0.5", "why": ""}


def measured(**changes) -> Measured:
    return Measured.parse({**copy.deepcopy(RECORDED), "tags": THRESHOLDS, **changes})


def slower(times: float) -> Measured:
    distribution = copy.deepcopy(RECORDED["latencyDistribution"])
    for entry in distribution:
        entry["latency"] *= times
    return measured(latencyDistribution=distribution)


class Gate(unittest.TestCase):
    def test_a_call_as_fast_as_the_echo_passes(self):
        verdict = judge(measured(), measured(), measured())
        self.assertEqual(verdict.failures, [])
        self.assertEqual((verdict.p99_by_echo, verdict.rps_by_echo), (1.0, 1.0))

    def test_thresholds_are_relative_to_the_mean_of_both_echoes(self):
        echo = RECORDED["rps"]
        verdict = judge(measured(rps=echo), measured(rps=echo), measured(rps=3 * echo))
        self.assertEqual((verdict.rps_by_echo, verdict.failures), (0.5, []))

    def test_too_slow_is_a_failure_that_noise_can_cause(self):
        for bad in (slower(2.1), measured(rps=RECORDED["rps"] * 0.49)):
            verdict = judge(bad, measured(), measured())
            self.assertEqual((len(verdict.failures), verdict.noise), (1, True))

    def test_a_failed_call_is_a_failure_however_fast(self):
        bad = measured(errorDistribution={"rpc error: code = Internal": 1})
        for runs in ((bad, measured(), measured()), (measured(), bad, measured()), (measured(), measured(), bad)):
            verdict = judge(*runs)
            self.assertEqual((len(verdict.failures), verdict.noise), (1, False))

    def test_few_of_many_messages_are_told(self):
        bad = measured(errorDistribution={f"member-{number} is unknown": 1 for number in range(1000)})
        verdict = judge(bad, measured(), measured())
        self.assertEqual(len(verdict.failures), 6)
        self.assertIn("995 more", verdict.failures[-1])

    def test_a_run_without_calls_is_a_failure(self):
        nothing = measured(count=0, rps=0, latencyDistribution=None, details=None)
        verdict = judge(nothing, measured(), measured())
        self.assertTrue(verdict.failures)
        self.assertFalse(verdict.noise)


class Histogram(unittest.TestCase):
    def test_every_call_is_in_the_step_that_ends_at_or_above_it(self):
        counts = histogram([STEPS_MS[0], 0.11, 0.14, STEPS_MS[-1] * 9])
        self.assertEqual((counts[0], counts[1], counts[-1], sum(counts)), (1, 2, 1, 4))

    def test_the_recorded_calls_are_all_counted(self):
        self.assertEqual(sum(measured().histogram), len(RECORDED["details"]))


if __name__ == "__main__":
    unittest.main()
