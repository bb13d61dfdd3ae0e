#!/usr/bin/env python3
"""Adapters through the program, end to end.

    tests/cli/adapter_test.py PROGRAM SOURCE_DIR
"""
import json
import os
import re
import sys
import unittest

import harness
from harness import CliTest

LORA = ("tuning.method=lora", 'tuning.targets=["all-linear"]', "tuning.rank=4")


class Adapter(CliTest):
    def train(self, output, *overrides, steps=20):
        self.succeed(*self.tiny(*LORA, f"train.max_steps={steps}", *overrides), "--output", output,
                     "--quiet")
        return self.events("end", output)[-1]

    def test_an_adapter_is_used_merged_and_switched(self):
        self.train("one")
        self.train("two", "tuning.rank=2", "train.lr=0.1")
        base, one, two = "one/base", "one/adapter", "two/adapter"
        config = json.loads((self.root / one / "adapter_config.json").read_text())
        self.assertEqual((config["peft_type"], config["r"], config["target_modules"]),
                         ("LORA", 4, "all-linear"))
        self.assertFalse((self.root / "one/model").exists())

        said = ["--prompt", "The cat", "--greedy", "--max-tokens", "8"]
        alone = self.succeed("generate", base, *said)
        with_one = self.succeed("generate", base, *said, "--adapter", one)
        with_two = self.succeed("generate", base, *said, "--adapter", two)
        self.assertEqual(len({alone, with_one, with_two}), 3)
        both = ["--adapter", f"a={one}", "--adapter", f"b={two}"]
        self.assertEqual(self.succeed("generate", base, *said, *both, "--use", "a"), with_one)
        self.assertEqual(self.succeed("generate", base, *said, *both, "--use", "b"), with_two)
        self.assertIn("--use: say which of the adapters: a, b",
                      self.refuse("generate", base, *said, *both))
        self.assertIn("there are a, b; did you mean",
                      self.refuse("generate", base, *said, *both, "--use", "aa"))

        self.succeed("adapter", "merge", base, one, "--out", "merged")
        self.assertEqual(self.succeed("generate", "merged", *said), with_one)
        self.assertIn("nowhere", self.refuse("adapter", "merge", base, "nowhere", "--out", "x"))
        self.assertFalse((self.root / "x").exists())
        self.assertIn("is there already",
                      self.refuse("adapter", "merge", base, one, "--out", "two"))
        self.assertTrue((self.root / "two/adapter").exists())

    def test_a_run_does_not_replace_the_model_it_begins_with(self):
        self.train("first", "tuning.save_merged=true")
        own = self.tiny("model.fresh=null", "model.path=first/model",
                        "model.tokenizer_vocab_size=0")
        self.assertIn("its own model", self.refuse(*own, "--output", "./first/"))

    def test_an_adapter_of_another_model_is_refused(self):
        validation = "data.validation_fraction=0.1"
        self.train("one", validation)
        self.train("two", validation, "train.seed=5")  # other weights, the same shape
        base, adapter = "two/base", "one/adapter"
        merge = ["adapter", "merge", base, adapter, "--out", "merged"]
        uses = (["generate", base, "--prompt", "The", "--adapter", adapter], merge,
                [*self.tiny(validation, verb="evaluate"), "--model", base, "--adapter", adapter],
                [*self.tiny(validation, "model.fresh=null", f"model.path={base}",
                            "model.tokenizer_vocab_size=0", f"tuning.adapter={adapter}"),
                 "--output", "next"])
        for arguments in uses:
            line = self.refuse(*arguments)
            self.assertIn("one/base", line)
            self.assertIn("other weights", line)
            self.assertIn("collie_base.json", line)
        self.assertFalse((self.root / "merged").exists())
        # The right base in another type and place is no other model.
        self.succeed("adapter", "merge", "one/base", adapter, "--out", "whole")
        os.rename(self.root / "one/base", self.root / "moved")
        self.succeed("generate", "moved", "--prompt", "The", "--adapter", adapter)
        # Without our file there is only the name that PEFT writes: a word of doubt.
        os.rename(self.root / adapter / "collie_base.json", self.root / "aside.json")
        done = self.run_program("generate", base, "--prompt", "The", "--adapter", "two/adapter")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        os.rename(self.root / "moved", self.root / "one/base")
        for arguments in uses[:3]:
            done = self.run_program(*arguments)
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertRegex(done.stderr, r"^warning: one/adapter: .*'one/base', whose weights are "
                                          r"not those of two/base\n$")

    def test_adapters_and_tuned_runs_are_inspected(self):
        self.train("run", "tuning.save_merged=true")
        run = self.succeed("inspect", "run")
        for label, name in (("adapter", "adapter"), ("base", "base"), ("merged model", "model")):
            self.assertRegex(run, rf"(?m)^{label} +run/{name}$")
        adapter = self.succeed("inspect", "run/adapter", "--tensors")
        for expected in ("LORA", "run/base", r"(?m)^r +4$", "all-linear", "lora_A", r"\(8192\)"):
            self.assertRegex(adapter, expected)
        os.remove(self.root / "run/adapter/adapter_model.safetensors")
        self.assertIn("adapter_model", self.refuse("inspect", "run/adapter"))

    def test_what_is_no_model_or_cannot_merge_is_named(self):
        self.train("run")
        for arguments in (["generate", "run/adapter", "--prompt", "The"],
                          ["adapter", "merge", "run/adapter", "run/adapter", "--out", "x"],
                          [*self.tiny("data.validation_fraction=0.1", verb="evaluate"), "--model",
                           "run/adapter"]):
            self.assertIn("run/adapter: is an adapter, not a model", self.refuse(*arguments))
        line = self.refuse(*self.tiny("data.validation_fraction=0.1", "output.directory=run",
                                      verb="evaluate"))
        self.assertIn("--adapter", line)
        self.succeed(*self.tiny("tuning.method=prefix", "tuning.virtual_tokens=2",
                                "train.max_steps=1"), "--output", "prefix", "--quiet")
        line = self.refuse("adapter", "merge", "prefix/base", "prefix/adapter", "--out", "x")
        for word in ("prefix/adapter", "prefix tuning", "only lora and ia3"):
            self.assertIn(word, line)

    def test_evaluation_beside_a_model(self):
        end = self.train("run", "data.validation_fraction=0.1")
        evaluate = self.tiny("data.validation_fraction=0.1", verb="evaluate")
        seen = self.succeed(*evaluate, "--model", "run/base", "--adapter", "run/adapter")
        self.assertIn(f"{end['validation_loss']:.5f}"[:-1], seen)
        alone = self.succeed(*evaluate, "--model", "run/base")
        self.assertNotEqual(seen.splitlines()[0], alone.splitlines()[0])

    def test_a_killed_run_goes_on(self):
        expected = self.train("whole")["parameter_hash"]
        arguments = [*self.tiny(*LORA, "checkpoint.every_steps=2"), "--output", "killed"]
        process = self.start(*arguments)
        for line in process.stdout:
            match = re.match(r"step +(\d+)/", line)
            if match and int(match.group(1)) >= 5:
                break
        process.kill()
        process.wait()
        self.succeed(*arguments)
        self.assertEqual(self.events("end", "killed")[-1]["parameter_hash"], expected)

    def test_a_plan_names_what_is_trained(self):
        plan = self.succeed(*self.tiny(*LORA, verb="plan"))
        shapes = [(32, 32), (16, 32), (16, 32), (32, 32), (64, 32), (64, 32), (32, 64)]
        trained = 4 * sum(4 * (rows + cols) for rows, cols in shapes)
        self.assertRegex(plan, rf"trained +.*\({trained}\)")
        self.assertNotIn("trained", self.succeed(*self.tiny(verb="plan")))

    def test_what_cannot_be_used(self):
        for override, word in (("tuning.targets=[\"q_porj\"]", "q_proj"),
                               ("tuning.rank=1000", "tuning.rank"),
                               ("tuning.adapter=nowhere", "nowhere"),
                               ("tuning.methd=lora", "tuning.method"),
                               ("tuning.dropout=1", "tuning.dropout")):
            self.assertIn(word, self.refuse(*self.tiny("tuning.method=lora", override)))


if __name__ == "__main__":
    harness.PROGRAM, harness.SOURCE = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])
    unittest.main(argv=[sys.argv[0], *sys.argv[3:]])
