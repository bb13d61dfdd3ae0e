#!/usr/bin/env python3
"""The program itself under failing system calls: exit code 2, one line, and a run that goes on.

    program_test.py PROGRAM SOURCE_DIR SHIM [unittest arguments]

The crash points are in save_test.cpp; here one call of each name and each file fails.
"""
import pathlib
import re
import subprocess
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "cli"))
import harness  # noqa: E402  (its folder is no package)

SHIM = None
NONE, FAIL_ONCE, DISK_FULL = 0, 3, 4  # FaultAction
# These may fail unseen: nothing is there to be removed.
HARMLESS = "remove"


class FailingCalls(harness.CliTest):
    def train(self, run, action=NONE, at=0, log=""):
        directory = self.root / run
        arguments = self.tiny("train.max_steps=2", "train.accumulation=1",
                              "checkpoint.every_steps=1")
        environment = self.environment(LD_PRELOAD=SHIM, COLLIE_FAULT=f"{action} {at} {directory}",
                                       ASAN_OPTIONS="verify_asan_link_order=0")
        if log:
            environment["COLLIE_FAULT_LOG"] = str(self.root / log)
        return subprocess.run([harness.PROGRAM, *arguments, "--output", str(directory)],
                              cwd=self.root, env=environment, capture_output=True, text=True,
                              timeout=harness.WAIT_S, check=False)

    def calls(self):
        """(number, name, path) of the first call of each name on each file."""
        self.assertEqual(self.train("whole", log="log").returncode, 0)
        lines = (self.root / "log").read_text(encoding="utf-8").splitlines()
        first = {}
        for number, line in enumerate(lines, 1):
            name, _, path, _ = line.split("\t")
            path = re.sub(r"\.tmp-[-0-9]+|-\d+", "", path)
            first.setdefault((name, path), number)
        return [(number, name, path) for (name, path), number in first.items()]

    def check_failure(self, number, name, path):
        run = f"run{number}"
        needs_space = name in ("create", "write", "mkdir")
        done = self.train(run, DISK_FULL if needs_space else FAIL_ONCE, number)
        if name == HARMLESS and done.returncode == 0:
            return
        self.assertEqual(done.returncode, 2, f"{done.stdout}{done.stderr}")
        self.assertEqual(len(done.stderr.splitlines()), 1, done.stderr)
        self.assertRegex(done.stderr, "^error: .*(No space left on device|Input/output error)")
        self.assertIn(run, done.stderr)
        left = [entry.name for entry in (self.root / run).glob("*.tmp-*")]
        self.assertEqual(left, [])
        if number % 3 == 0:
            again = self.train(run)
            self.assertEqual(again.returncode, 0, again.stderr)
            self.assertEqual(self.hash_of(run), self.hash_of("whole"))

    def hash_of(self, run):
        return self.events("end", run)[-1]["parameter_hash"]

    def test_one_call_of_each_kind(self):
        calls = self.calls()
        self.assertGreater(len(calls), 30)
        for number, name, path in calls:
            with self.subTest(call=name, path=path):
                self.check_failure(number, name, path)


if __name__ == "__main__":
    if len(sys.argv) < 4:
        sys.exit("usage: program_test.py PROGRAM SOURCE_DIR SHIM [unittest arguments]")
    harness.PROGRAM, harness.SOURCE, SHIM = (str(pathlib.Path(path).resolve())
                                             for path in sys.argv[1:4])
    unittest.main(argv=[sys.argv[0], *sys.argv[4:]])
