"""Runs the program as a person would, in a folder of its own."""
import json
import os
import pathlib
import random
import subprocess
import tempfile
import unittest

PROGRAM = None  # set by cli_test.py
SOURCE = None
WAIT_S = 120


def write_text(path, lines=1500):
    """English-like lines that a tiny model can learn something of."""
    rng = random.Random(1)
    nouns = "cat dog king queen ship storm river letter garden house".split()
    verbs = "sees finds loves fears follows forgets".split()
    with open(path, "w", encoding="utf-8") as file:
        for _ in range(lines):
            file.write(f"The {rng.choice(nouns)} {rng.choice(verbs)} the {rng.choice(nouns)}.\n")


class CliTest(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory(prefix="collie-cli-")
        self.addCleanup(self.folder.cleanup)
        self.root = pathlib.Path(self.folder.name)
        write_text(self.root / "text.txt")

    def environment(self, **extra):
        environment = {k: v for k, v in os.environ.items() if not k.startswith("LC_")}
        environment.update({"LANG": "C.UTF-8", "TERM": "xterm"})
        environment.update(extra)
        return environment

    def run_program(self, *arguments, stdin="", **options):
        return subprocess.run([PROGRAM, *map(str, arguments)], cwd=self.root, input=stdin,
                              env=self.environment(), capture_output=True, text=True,
                              timeout=WAIT_S, check=False, **options)

    def succeed(self, *arguments, **options):
        done = self.run_program(*arguments, **options)
        self.assertEqual(done.returncode, 0, done.stderr + done.stdout)
        return done.stdout

    def refuse(self, *arguments, **options):
        """Exit code 2 and one line that begins with error:; returns the line."""
        done = self.run_program(*arguments, **options)
        self.assertEqual(done.returncode, 2, f"{arguments}: {done.stderr}{done.stdout}")
        lines = done.stderr.splitlines()
        self.assertEqual(len(lines), 1, done.stderr)
        self.assertTrue(lines[0].startswith("error: "), lines[0])
        self.assertEqual(done.stdout, "", "an error belongs on the error stream alone")
        return lines[0]

    @staticmethod
    def tiny(*overrides, verb="train"):
        """The arguments that train configs/tiny.json on the test's text."""
        arguments = [verb, os.path.join(SOURCE, "configs", "tiny.json")]
        for override in ("data.train=text.txt", *overrides):
            arguments += ["--set", override]
        return arguments

    def metrics(self, run="runs/tiny"):
        with open(self.root / run / "metrics.jsonl", encoding="utf-8") as file:
            return [json.loads(line) for line in file]

    def events(self, kind, run="runs/tiny"):
        return [event for event in self.metrics(run) if event["event"] == kind]

    def start(self, *arguments, **options):
        process = subprocess.Popen([PROGRAM, *map(str, arguments)], cwd=self.root,
                                   env=self.environment(), stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, text=True, bufsize=1, **options)
        self.addCleanup(self.end_process, process)
        return process

    @staticmethod
    def end_process(process):
        if process.poll() is None:
            process.kill()
        process.wait()
        process.stdout.close()
        process.stderr.close()
