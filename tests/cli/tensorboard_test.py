#!/usr/bin/env python3
"""TensorBoard's own reader opens what a run writes, also after the run was killed and resumed.

    tests/cli/tensorboard_test.py PROGRAM SOURCE_DIR

Runs where Python has tensorboard.
"""
import csv
import math
import pathlib
import sys
import unittest

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

import harness
from harness import CliTest

MONITORS = 'output.monitors=["csv", "tensorboard"]'


class Tensorboard(CliTest):
    def accumulate(self):
        # Nothing left out, and the points of files that are superseded dropped.
        limits = {"scalars": 0, "tensors": 0}
        events = EventAccumulator(str(self.root / "runs/tiny/tensorboard"), size_guidance=limits,
                                  purge_orphaned_data=True)
        return events.Reload()

    def last_lines(self, kind):
        """By step; of two lines the later counts."""
        return {event["step"]: event for event in self.events(kind)}

    def compare(self, events):
        for kind, group in [("step", "train"), ("evaluation", "evaluation")]:
            lines = self.last_lines(kind)
            names = {key for line in lines.values() for key in line} - {"event", "step"}
            self.assertTrue(names)
            for name in names:
                points = events.Scalars(f"{group}/{name}")
                self.assertEqual([point.step for point in points], sorted(lines), name)
                for point in points:
                    wanted = lines[point.step][name]
                    self.assertTrue(math.isclose(point.value, wanted, rel_tol=1e-6, abs_tol=1e-30),
                                    f"{name}: {point.value} for {wanted}")

    def compare_csv(self):
        with open(self.root / "runs/tiny/metrics.csv", encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        for kind in ("step", "evaluation"):
            lines = self.last_lines(kind)
            values = {(int(row["step"]), row["name"]): float(row["value"])
                      for row in rows if row["event"] == kind}
            wanted = {(step, name): value for step, line in lines.items()
                      for name, value in line.items() if name not in ("event", "step")}
            self.assertEqual(values, wanted)
        self.assertEqual(len(rows), len({(row["step"], row["event"], row["name"]) for row in rows}))

    def test_a_run_that_was_killed_and_resumed(self):
        options = self.tiny(MONITORS, "train.max_steps=12", "checkpoint.every_steps=4",
                            "data.validation_fraction=0.1", "eval.every_steps=3",
                            "eval.max_batches=1")
        process = self.start(*options)
        for line in process.stdout:
            if "step 7" in line or "7/12" in line:
                break
        process.kill()
        process.wait()
        self.succeed(*options, "--quiet")
        starts = [event["first_step"] for event in self.events("start")]
        self.assertEqual(len(starts), 2)
        events = self.accumulate()
        self.compare(events)
        self.compare_csv()
        self.assertIn("run/start", events.Tags()["tensors"])

    def test_every_record_has_its_checksum(self):
        self.succeed(*self.tiny(MONITORS, "train.max_steps=2"), "--quiet")
        files = list((self.root / "runs/tiny/tensorboard").iterdir())
        self.assertEqual(len(files), 1)
        events = list(EventFileLoader(str(files[0])).Load())  # stops at the first damaged record
        self.assertEqual(events[0].file_version, "brain.Event:2")
        self.assertEqual([event.step for event in events if event.HasField("summary")
                          and event.summary.value[0].tag.startswith("train/")], [1, 2])

    def test_bad_monitors_are_refused(self):
        self.assertIn("output.monitors", self.refuse(*self.tiny("output.monitors=tensorbord")))
        self.assertIn("output.disk", self.refuse(*self.tiny("output.disk=none")))
        self.assertIn("output.network_interface",
                      self.refuse(*self.tiny("output.network_interface=none")))
        self.assertFalse((self.root / "runs").exists(), "a refused run must write nothing")


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit("usage: tensorboard_test.py PROGRAM SOURCE_DIR [unittest arguments]")
    harness.PROGRAM = str(pathlib.Path(sys.argv[1]).resolve())
    harness.SOURCE = str(pathlib.Path(sys.argv[2]).resolve())
    unittest.main(argv=[sys.argv[0], *sys.argv[3:]])
