#!/usr/bin/env python3
"""What a person writes into a configuration and what the program says to it, end to end.

    tests/cli/settings_test.py PROGRAM SOURCE_DIR
"""
import json
import math
import os
import sys
import unittest

import harness
from harness import CliTest


class Settings(CliTest):
    def test_keys_without_effect_are_refused(self):
        for overrides, words in (
                (("train.optimizer.name=sgd", "train.optimizer.clip_value=1"),
                 ("train.optimizer.clip_value", "means nothing to sgd", "lomo")),
                (("train.optimizer.clip=previous",), ("train.optimizer.clip", "in_backward")),
                (("train.optimizer.name=lion", "train.optimizer.epsilon=1e-6"),
                 ("train.optimizer.epsilon", "adamw")),
                (("train.lr_decay=linear",), ("train.lr_decay", "wsd"))):
            line = self.refuse(*self.tiny(*overrides))
            for word in words:
                self.assertIn(word, line)
        self.assertFalse((self.root / "runs").exists())

    def test_a_default_that_stands_there_is_no_setting(self):
        printed = self.succeed(*self.tiny("train.optimizer.name=sgd"), "--print-config")
        (self.root / "all.json").write_text(printed)
        self.succeed("train", "all.json", "--max-steps", "1", "--quiet")

    def test_what_has_no_effect_for_now_is_told_in_one_line(self):
        said = self.succeed(*self.tiny("train.zero=1", "train.max_steps=1"))
        self.assertEqual([line for line in said.splitlines() if line.startswith("warning")],
                         ["warning: train.zero 1 has no effect with grid.dp 1: there is no replica "
                          "to share with"])
        self.assertIn("train.zero 1", self.succeed(*self.tiny("train.zero=1", verb="plan")))

    def test_errors_in_lists_name_the_element(self):
        for override, word in (
                ('data.train=["text.txt", {"path": "text.txt", "weigth": 2}]',
                 "data.train[1]: unknown key 'weigth'; did you mean 'weight'?"),
                ('eval.evaluators=[{"type": "perplexity", "data": "text.txt"}, {"data": "x"}]',
                 "eval.evaluators[1]: has no type"),
                ('eval.evaluators=[{"type": "generation", "data": "x", "metrics": ["bleu", 1]}]',
                 "eval.evaluators[0].metrics[1]"),
                ('train.optimizer.groups=[{"pattern": "*"}, {"pattern": "*", "lr_scale": -1}]',
                 "train.optimizer.groups[1].lr_scale: expected a number >= 0"),
                ('output.monitors=["csv", "wandb"]', "output.monitors[1]")):
            self.assertIn(word, self.refuse(*self.tiny(override)))

    def test_evaluations_and_checkpoints_by_epochs(self):
        self.succeed(*self.tiny("train.max_steps=0", "train.epochs=2", "eval.every_epochs=0.4",
                                "checkpoint.every_epochs=0.75", "checkpoint.keep_last=0",
                                "data.validation_fraction=0.1", "train.micro_batch_size=8",
                                "train.accumulation=2"), "--quiet")
        epochs = [0.0] + [event["epoch"] for event in self.events("step")]
        last = len(epochs) - 1

        def reached(every):
            return [step for step in range(1, last + 1)
                    if math.floor(epochs[step] / every) > math.floor(epochs[step - 1] / every)]
        self.assertGreater(len(reached(0.4)), 4)
        self.assertEqual([event["step"] for event in self.events("evaluation")],
                         sorted({*reached(0.4), last}))
        saved = [event["step"] for event in self.events("save") if event["kind"] == "checkpoint"]
        self.assertEqual(saved, sorted({*reached(0.75), last}))
        self.assertIn("not together with eval.every_steps", self.refuse(
            *self.tiny("eval.every_epochs=1", "eval.every_steps=5")))
        self.assertIn("not together with checkpoint.every_steps", self.refuse(
            *self.tiny("checkpoint.every_epochs=1", "checkpoint.every_steps=5")))

    def test_a_weighted_mix_is_counted(self):
        harness.write_text(self.root / "b.txt", lines=300)
        sources = json.dumps([{"path": "text.txt", "weight": 3, "name": "prose"},
                              {"path": "b.txt", "weight": 1}])
        said = self.succeed(*self.tiny(f"data.train={sources}", "train.max_steps=20"))
        self.assertRegex(said, r"(?m)^source 'prose': 1 documents, [\d.]+k tokens in \d+ rows, "
                               r"weight 3: 75\.0 % of the rows drawn$")
        self.assertRegex(said, r"(?m)^source 'b.txt': .*weight 1: 25\.0 %")
        self.assertRegex(said, r"(?m)^source +'b.txt': \d+\.\d\d epochs$")
        start = self.events("start")[0]["sources"]
        self.assertEqual([source["name"] for source in start], ["prose", "b.txt"])
        self.assertEqual([source["share"] for source in start], [0.75, 0.25])
        ends = self.events("end")[0]["source_epochs"]
        drawn = [ends[source["name"]] * source["rows"] for source in start]
        rows = 20 * 2 * 4
        self.assertAlmostEqual(sum(drawn), rows, places=6)
        self.assertLess(abs(drawn[0] - 0.75 * rows), 4)
        plain = self.succeed(*self.tiny("train.max_steps=1", "output.directory=plain"))
        self.assertNotIn("source ", plain)


if __name__ == "__main__":
    harness.PROGRAM, harness.SOURCE = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])
    unittest.main(argv=[sys.argv[0], *sys.argv[3:]])
