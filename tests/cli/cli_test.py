#!/usr/bin/env python3
"""End-to-end tests of collie-actor-node.

    tests/cli/cli_test.py PROGRAM SOURCE_DIR [unittest arguments, e.g. Train]
"""
import os
import pathlib
import pty
import re
import select
import signal
import sys
import time
import unittest

import harness
from harness import CliTest


class BadInput(CliTest):
    def test_command_lines(self):
        self.assertIn("did you mean 'train'", self.refuse("trian", "x.json"))
        self.assertIn("--help", self.refuse())
        self.assertIn("--no-such", self.refuse("train", "x.json", "--no-such"))
        self.assertIn("CONFIG", self.refuse("train"))
        self.refuse("generate", "model", "--max-tokens", "0")

    def test_configurations(self):
        config = self.root / "bad.json"
        self.assertIn("missing.json", self.refuse("train", "missing.json"))
        for text, expected in [("{", "bad.json"), ('{"trian": {}}', "did you mean"),
                               ('{"train": {"lr": "fast"}}', "train.lr"),
                               ('{"train": {"max_steps": -3}}', "train.max_steps")]:
            config.write_text(text)
            self.assertIn(expected, self.refuse("train", "bad.json"))
        self.assertIn("did you mean", self.refuse(*self.tiny("train.lrr=1")))
        self.assertIn("grid", self.refuse(*self.tiny("grid.tp=3")))
        self.assertIn("sequence_length", self.refuse(*self.tiny("data.sequence_length=65")))
        self.assertIn("none.txt", self.refuse(*self.tiny("data.train=none.txt")))
        (self.root / "empty.txt").write_text("")
        self.refuse(*self.tiny("data.train=empty.txt"))
        self.assertIn("grid.pp", self.refuse(*self.tiny("grid.pp=100000")))
        self.assertIn("stages", self.refuse(*self.tiny("grid.pp=40")))
        self.assertFalse((self.root / "runs").exists(), "a refused run must write nothing")

    def test_data_without_labels(self):
        endless = "a question without an end " * 100
        (self.root / "mute.jsonl").write_text('{"input": "%s", "output": "no"}\n' % endless)
        line = self.refuse(*self.tiny("data.train=mute.jsonl"))
        self.assertIn("data.sequence_length", line)
        self.assertFalse((self.root / "runs").exists(), "a refused run must write nothing")

    def test_loss_that_is_not_finite(self):
        line = self.refuse(*self.tiny("train.lr=1000", "train.warmup_steps=0",
                                      "train.optimizer.weight_decay=1"), "--quiet")
        self.assertRegex(line, r"step \d+: the (loss|gradient) of .* not applied")
        left = [path.name for path in (self.root / "runs/tiny").iterdir()]
        self.assertEqual(left, ["metrics.jsonl"], "half-written files stayed")

    def test_directories(self):
        self.assertIn("nowhere", self.refuse("inspect", "nowhere"))
        self.assertIn("config.json", self.refuse("inspect", "."))
        self.assertIn("text.txt", self.refuse("inspect", "text.txt"))
        self.assertIn("nowhere", self.refuse("generate", "nowhere", "--prompt", "a"))
        self.refuse("generate", "nowhere", "--prompt", "a", "--dtype", "float8")

    def test_output_that_cannot_be_written(self):
        if os.geteuid() == 0:
            where = "/sys/collie-run"
        else:
            (self.root / "locked").mkdir(mode=0o500)
            where = "locked/run"
        self.assertIn(where.split("/")[1], self.refuse(*self.tiny(), "--output", where, "--quiet"))
        self.assertIn("text.txt", self.refuse(*self.tiny(), "--output", "text.txt/run", "--quiet"))

    def test_full_disk(self):
        """A limit on the size of files stands for a disk that is full while something is saved."""
        def limit_files():
            import resource
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
        self.refuse(*self.tiny("train.max_steps=2"), "--quiet", preexec_fn=limit_files,
                    restore_signals=False)
        left = [path.name for path in (self.root / "runs/tiny").iterdir()]
        self.assertEqual(left, ["metrics.jsonl"], "half-written files stayed")


class Help(CliTest):
    def test_help_and_version(self):
        text = self.succeed("--help")
        for verb in ("train", "evaluate", "generate", "plan", "inspect"):
            self.assertIn(verb, text)
            self.assertIn("--help", self.succeed(verb, "--help"))
        self.assertIn("130", text)
        self.assertRegex(self.succeed("--version"), r"^collie-actor-node \d+\.\d+\.\d+\n$")

    def test_print_config_gives_itself(self):
        first = self.succeed(*self.tiny("train.lr=0.001"), "--print-config")
        (self.root / "all.json").write_text(first)
        self.assertEqual(self.succeed("train", "all.json", "--print-config"), first)
        self.assertIn("0.001", first)
        self.assertIn('"max_steps": 3', self.succeed(*self.tiny(), "--max-steps", "3",
                                                     "--print-config"))


class Plan(CliTest):
    def test_table_and_refusal(self):
        out = self.succeed(*self.tiny(verb="plan"))
        self.assertIn("46752", out)
        rows = [line.split() for line in out.splitlines() if re.match(r" +\d+ +0 ", line)]
        self.assertEqual([row[0] for row in rows], ["0", "1"], out)
        done = self.run_program(*self.tiny("limits.memory_bytes=100000", verb="plan"))
        self.assertEqual(done.returncode, 2)
        self.assertIn("limits.memory_bytes", done.stderr)
        self.assertIn("limits.memory_bytes",
                      self.refuse(*self.tiny("limits.memory_bytes=100000"), "--quiet"))
        evaluation = ("data.validation_fraction=0.1", "limits.memory_bytes=100000")
        self.assertIn("limits.memory_bytes", self.refuse(*self.tiny(*evaluation, verb="evaluate")))
        self.assertFalse((self.root / "runs").exists(), "a refused run must write nothing")

    def test_every_shipped_configuration_can_be_planned(self):
        for config in sorted(pathlib.Path(harness.SOURCE, "configs").glob("*.json")):
            if config.name == "collie.schema.json" or '"fresh"' not in config.read_text():
                continue
            self.assertIn("step time", self.succeed("plan", config))


class Train(CliTest):
    def test_train_then_use_the_model(self):
        out = self.succeed(*self.tiny("data.validation_fraction=0.1", "eval.every_steps=5"))
        self.assertNotRegex(out, "[\r\x1b]", "drawing belongs on a terminal")
        self.assertIn("step 20/20", out)
        self.check_metrics()
        model = self.root / "runs/tiny/model"
        self.assertTrue((model / "model.safetensors").exists())
        self.check_inspect()
        self.check_generate()
        evaluated = self.succeed(*self.tiny("data.validation_fraction=0.1", verb="evaluate"),
                                 "--model", model)
        loss = self.events("end")[0]["validation_loss"]
        self.assertIn(f"{loss:.6f}", evaluated)
        whole = (model / "model.safetensors").read_bytes()
        (model / "model.safetensors").write_bytes(whole[:-10])
        self.assertIn("model.safetensors", self.refuse("inspect", model))
        self.assertIn("model.safetensors", self.refuse("generate", model, "--prompt", "The"))

    def check_metrics(self):
        steps = self.events("step")
        self.assertEqual([event["step"] for event in steps], list(range(1, 21)))
        self.assertLess(steps[-1]["loss"], 0.8 * steps[0]["loss"])
        self.assertEqual([event["step"] for event in self.events("evaluation")], [5, 10, 15, 20])
        self.assertEqual(len(self.events("end")), 1)
        self.assertEqual(self.events("end")[0]["final_loss"], steps[-1]["loss"])

    def check_inspect(self):
        model = self.succeed("inspect", "runs/tiny/model", "--tensors")
        for expected in ("llama", "tokenizer", "model.embed_tokens.weight", "F32"):
            self.assertIn(expected, model)
        self.assertIn("checkpoint-20", self.succeed("inspect", "runs/tiny"))
        checkpoint = self.root / "runs/tiny/checkpoint-20"
        self.assertIn("all hashes are right", self.succeed("inspect", checkpoint))
        victim = max(checkpoint.iterdir(), key=lambda path: path.stat().st_size)
        content = bytearray(victim.read_bytes())
        content[-1] ^= 1
        victim.write_bytes(content)
        self.assertIn(victim.name, self.refuse("inspect", checkpoint))
        self.succeed("inspect", checkpoint, "--no-verify")

    def check_generate(self):
        model = "runs/tiny/model"
        base = ["generate", model, "--max-tokens", "12"]
        once = self.succeed(*base, "--prompt", "The cat", "--greedy")
        self.assertEqual(self.succeed(*base, "--prompt", "The cat", "--greedy"), once)
        self.assertEqual(self.succeed(*base, "--greedy", stdin="The cat\n"), once)
        echoed = self.succeed(*base, "--prompt", "The cat", "--greedy", "--echo")
        self.assertEqual(echoed, "The cat" + once)
        sampled = {self.succeed(*base, "--prompt", "The", "--temperature", "2", "--seed", seed)
                   for seed in (1, 2, 3)}
        self.assertGreater(len(sampled), 1)
        self.assertIn("tokens", self.refuse("generate", model, "--prompt", "The cat " * 100))
        self.refuse("generate", model, "--prompt", "a", "--top-p", "2")

    def test_progress_bar_on_a_terminal(self):
        arguments = [harness.PROGRAM, *map(str, self.tiny())]
        pid, terminal = pty.fork()
        if pid == 0:
            os.chdir(self.root)
            os.execve(arguments[0], arguments, self.environment(NO_COLOR="1"))
        seen = b""
        while True:
            try:
                part = os.read(terminal, 65536)
            except OSError:  # Linux's way to say that the other side is closed
                break
            if not part:
                break
            seen += part
        os.close(terminal)
        self.assertEqual(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), 0, seen)
        text = seen.decode()
        self.assertIn("\r\x1b[K", text)
        self.assertIn("20/20", text)
        self.assertIn("━", text)
        self.assertNotIn("\x1b[36m", text)
        self.assertIn("runs/tiny/model", text)


class Stop(CliTest):
    """A run that was stopped or killed and goes on ends with the same parameters."""

    def whole_run(self):
        self.succeed(*self.tiny(), "--output", "whole", "--quiet")
        return self.events("end", "whole")[0]["parameter_hash"]

    def wait_for_step(self, process, step):
        for line in process.stdout:
            match = re.match(r"step +(\d+)/", line)
            if match and int(match.group(1)) >= step:
                return
        self.fail("the run ended early: " + process.stderr.read())

    def finish(self, process):
        out, err = process.communicate(timeout=harness.WAIT_S)
        return process.returncode, out, err

    def test_signal_saves_and_resume_is_identical(self):
        expected = self.whole_run()
        for name in ("SIGINT", "SIGTERM"):
            run = "stopped-" + name
            process = self.start(*self.tiny(), "--output", run, "--set", "grid.threads=1")
            self.wait_for_step(process, 3)
            process.send_signal(getattr(signal, name))
            code, out, err = self.finish(process)
            self.assertEqual(code, 0, err)
            steps = self.events("end", run)[0]["steps_done"]
            if steps < 20:  # it may have been at its last step
                self.assertIn("stopping after this step; press again to exit at once", err)
                self.assertIn(f"stopped after step {steps} of 20", out)
                self.assertTrue((self.root / run / f"checkpoint-{steps}").exists())
                self.assertFalse((self.root / run / "model").exists())
                self.assertIn(f"going on after step {steps}",
                              self.succeed(*self.tiny(), "--output", run))
            self.assertEqual(self.events("end", run)[-1]["parameter_hash"], expected)

    def test_killed_run_goes_on(self):
        expected = self.whole_run()
        process = self.start(*self.tiny("checkpoint.every_steps=2"), "--output", "killed")
        self.wait_for_step(process, 5)
        process.kill()
        self.finish(process)
        self.succeed(*self.tiny("checkpoint.every_steps=2"), "--output", "killed")
        self.assertEqual(self.events("end", "killed")[-1]["parameter_hash"], expected)
        left = [path.name for path in (self.root / "killed").iterdir() if ".tmp" in path.name]
        self.assertEqual(left, [])

    def test_second_signal_exits_at_once(self):
        slow = self.tiny("train.accumulation=4000", "train.micro_batch_size=8")
        process = self.start(*slow)
        process.stdout.readline()  # the run has begun
        process.send_signal(signal.SIGINT)
        deadline = time.monotonic() + harness.WAIT_S
        err = b""
        while b"press again" not in err and time.monotonic() < deadline:
            if select.select([process.stderr], [], [], 1.0)[0]:
                err += os.read(process.stderr.fileno(), 4096)
        process.send_signal(signal.SIGINT)
        self.assertEqual(self.finish(process)[0], 130)

    def test_a_closed_pipe_does_not_end_the_run(self):
        process = self.start(*self.tiny())
        process.stdout.readline()
        process.stdout.close()
        self.assertEqual(process.wait(timeout=harness.WAIT_S), 0)
        self.assertEqual(len(self.events("step")), 20)


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit("usage: cli_test.py PROGRAM SOURCE_DIR [unittest arguments]")
    harness.PROGRAM = str(pathlib.Path(sys.argv[1]).resolve())
    harness.SOURCE = str(pathlib.Path(sys.argv[2]).resolve())
    unittest.main(argv=[sys.argv[0], *sys.argv[3:]])
