#!/usr/bin/env python3
"""End-to-end tests of collie-actor-node schedule.

    tests/cli/schedule_test.py PROGRAM SOURCE_DIR [unittest arguments, e.g. Show]
"""
import json
import pathlib
import re
import sys
import unittest
import xml.etree.ElementTree

import harness
from harness import CliTest

MINE = """schedule 1
name mine
ranks 2
micro-batches 2
rank 0: 0F0 0F1 0B0 0B1 STEP0
rank 1: 1F0 1B0 1F1 1B1 STEP1
"""


class ScheduleTest(CliTest):
    def schedule(self, *arguments):
        return self.succeed("schedule", *arguments)

    def refused(self, *arguments):
        return self.refuse("schedule", *arguments)


class Show(ScheduleTest):
    def test_list_names_all(self):
        text = self.schedule("list")
        for name in ("gpipe", "1f1b", "zbv", "dualpipe", "pipedream"):
            self.assertRegex(text, rf"(?m)^{name} ")
        for verb in ("list", "show", "validate", "simulate", "compare", "search", "export"):
            self.assertIn("--help", self.schedule(verb, "--help"))

    def test_timeline_of_a_file(self):
        (self.root / "mine.schedule").write_text(MINE)
        text = self.schedule("show", "mine.schedule", "--width", "36")
        self.assertIn("name mine", text)
        self.assertIn("rank 0   F0-F1-......B0----...B1----", text)
        self.assertNotIn("\x1b", text)
        self.assertIn("\x1b[", self.schedule("show", "mine.schedule", "--color", "always"))
        window = self.schedule("show", "mine.schedule", "--from", "4", "--to", "7")
        self.assertIn("|4", window)

    def test_text_reads_back(self):
        text = self.schedule("show", "zbv", "--ranks", "2", "--text")
        (self.root / "zbv.schedule").write_text(text)
        self.assertEqual(self.schedule("show", "zbv.schedule", "--text"), text)
        csv = self.schedule("export", "1f1b", "--format", "csv")
        self.assertTrue(csv.startswith("0F0,0F1,0F2,0F3,0B0,"), csv)
        (self.root / "torch.csv").write_text(csv)
        self.assertIn("rank 3", self.schedule("show", "torch.csv"))


class Validate(ScheduleTest):
    def test_proved(self):
        text = self.schedule("validate", "1f1b")
        self.assertNotIn("BROKEN", text)
        self.assertRegex(text, r"deadlock +holds")
        self.assertIn("1 with tagged mailboxes, 1 with FIFO", text)
        self.assertRegex(self.schedule("validate", "pipedream", "--micro-batches", "12"),
                         r"(?m)^0 +3 ")

    def test_broken(self):
        (self.root / "cyclic.schedule").write_text(MINE.replace("0F0 0F1 0B0", "0F0 0B0 0F1")
                                                   .replace("1F0 1B0 1F1", "1F0 1F1 1B0"))
        (self.root / "missing.schedule").write_text(MINE.replace("1B1 STEP1", "STEP1"))
        for name, invariant in (("cyclic", "deadlock"), ("missing", "completeness")):
            done = self.run_program("schedule", "validate", f"{name}.schedule")
            self.assertEqual(done.returncode, 2, done.stdout)
            self.assertRegex(done.stdout, rf"(?m)^{invariant} +BROKEN: ")
            self.assertRegex(done.stderr, r"^error: .*\n$")
            self.refused("simulate", f"{name}.schedule")

    def test_memory_cap(self):
        self.schedule("validate", "gpipe", "--cap", "8")
        done = self.run_program("schedule", "validate", "gpipe", "--cap", "7")
        self.assertEqual(done.returncode, 2)
        self.assertRegex(done.stdout, r"(?m)^memory +BROKEN: ")


class Simulate(ScheduleTest):
    def test_closed_form_and_views(self):
        text = self.schedule("simulate", "1f1b", "--html", "a.html", "--svg", "a.svg",
                             "--trace", "a.json")
        self.assertRegex(text, r"makespan +33\n")
        self.assertRegex(text, r"bubble of the makespan +27.27 %")
        self.assertIn("period of a step, exact: 33", text)
        page = (self.root / "a.html").read_text()
        data = re.search(r'(?s)id="data">\n(.*?)</script>', page).group(1)
        self.assertEqual(len(json.loads(data)["pictures"][0]["lanes"]), 4)
        trace = json.loads((self.root / "a.json").read_text())
        self.assertEqual(sum(e["ph"] == "X" for e in trace["traceEvents"]), 4 * 17)
        xml.etree.ElementTree.parse(self.root / "a.svg")

    def test_costs(self):
        self.assertRegex(self.schedule("simulate", "gpipe", "--ranks", "2", "--micro-batches", "1",
                                       "--forward", "1,10", "--input", "2", "--weight", "3",
                                       "--latency", "0.5"), r"makespan +22\n")
        (self.root / "costs.json").write_text('{"stages": [{"forward": 2}], "latency": 1}')
        self.assertRegex(self.schedule("simulate", "gpipe", "--ranks", "2", "--micro-batches", "1",
                                       "--costs", "costs.json"), r"makespan +10\n")
        first, again, other = (self.schedule("simulate", "1f1b", "--jitter", "0.2", "--seed", seed)
                               for seed in (1, 1, 2))
        self.assertEqual(first, again)
        self.assertNotEqual(first, other)

    def test_compare(self):
        text = self.schedule("compare", "1f1b", "zbv", "--html", "two.html")
        self.assertRegex(text, r"(?m)^ +1f1b +zbv")
        page = (self.root / "two.html").read_text()
        self.assertEqual(page.count('"lanes"'), 2)

    def test_names_of_files_stay_text(self):
        name = "</script><b>"
        quoted = MINE.replace("mine", f'"{name}"')
        (self.root / "x.schedule").write_text(quoted)
        self.schedule("simulate", "x.schedule", "--html", "x.html")
        self.assertNotIn("</script><b>", (self.root / "x.html").read_text())


class Search(ScheduleTest):
    def test_front(self):
        text = self.schedule("search", "--synchronous", "--memory-cap", "6")
        rows = [line for line in text.splitlines() if "schedule simulate" in line]
        self.assertGreater(len(rows), 1)
        command = rows[0][rows[0].index("schedule simulate"):].split()
        made = self.succeed(*command)
        period = re.search(r"exact: (\S+?),", made).group(1)
        self.assertEqual(rows[0].split()[1], period)
        for row in rows:
            self.assertLessEqual(float(re.search(r"% +(\S+)", row).group(1)), 6.0)


class Reproduce(ScheduleTest):
    def test_published_figures(self):
        text = self.schedule("reproduce")
        self.assertRegex(text, r"(?m)^.*1\.5B.* 0\.2431 +0\.2431 +pass")
        self.assertNotIn("FAIL", text)
        count, of = re.search(r"(\d+) of (\d+) published figures", text).groups()
        self.assertEqual(count, of)
        self.assertGreater(int(of), 100)


class BadInput(ScheduleTest):
    def test_sentences(self):
        self.assertIn("did you mean '1f1b'", self.refused("show", "1f2b"))
        self.assertIn("did you mean 'show'", self.refused("shwo"))
        self.assertIn("SCHEDULE", self.refused("show"))
        self.assertIn("even", self.refused("show", "dualpipe", "--ranks", "3"))
        self.assertIn("stages", self.refused("simulate", "1f1b", "--forward", "1,2"))
        self.refused("simulate", "1f1b", "--forward", "-1")
        self.refused("simulate", "1f1b", "--forward", "nan")
        self.assertIn("--steps", self.refused("simulate", "gpipe", "--ranks", "64",
                                              "--micro-batches", "512", "--steps", "9999"))
        self.assertIn("empty", self.refused("show", "1f1b", "--from", "99"))
        self.refused("search", "--memory-cap", "0.01")
        self.assertIn("/nowhere", self.refused("simulate", "1f1b", "--html", "/nowhere/a.html"))

    def test_files(self):
        for text, expected in [("schedule 1\nranks 2\n", ""), ("garbage", "bad.schedule"),
                               (MINE.replace("1F0", "1Q0"), "bad.schedule:6")]:
            (self.root / "bad.schedule").write_text(text)
            self.assertIn(expected, self.refused("show", "bad.schedule"))
        for text, expected in [('{"stages": [{"forwrd": 1}]}', "forward"), ("[]", "costs.json"),
                               ('{"stages": [{}, {}]}', "stages"), ('{"latency": -1}', "latency"),
                               ('{"messages": "pigeon"}', "pigeon")]:
            (self.root / "costs.json").write_text(text)
            line = self.refused("simulate", "1f1b", "--costs", "costs.json")
            self.assertIn(expected, line)


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit("usage: schedule_test.py PROGRAM SOURCE_DIR [unittest arguments]")
    harness.PROGRAM = str(pathlib.Path(sys.argv[1]).resolve())
    harness.SOURCE = str(pathlib.Path(sys.argv[2]).resolve())
    unittest.main(argv=[sys.argv[0], *sys.argv[3:]])
