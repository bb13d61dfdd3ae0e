#!/usr/bin/env python3
"""Evaluators and callbacks of a configuration, end to end.

    tests/cli/evaluation_test.py PROGRAM SOURCE_DIR
"""
import json
import pathlib
import random
import sys
import unittest

import harness
from harness import CliTest

NOUNS = "cat dog king queen ship storm river letter garden house".split()


class Evaluation(CliTest):
    def setUp(self):
        super().setUp()
        rng = random.Random(2)
        with open(self.root / "choices.jsonl", "w", encoding="utf-8") as file:
            for _ in range(23):
                options = [f" sees the {rng.choice(NOUNS)}.", f" qqq zz{rng.randrange(99)} x"]
                file.write(json.dumps({"input": f"The {rng.choice(NOUNS)}", "output": options,
                                       "target": 0}) + "\n")
        (self.root / "prompts.jsonl").write_text(
            '{"text": "The cat", "target": " sees"}\n{"input": "The", "target": ["a", "b"]}\n')
        self.evaluators = [
            {"name": "pairs", "type": "classification", "data": "choices.jsonl"},
            {"name": "texts", "type": "generation", "data": ["prompts.jsonl"],
             "max_new_tokens": 4, "every_steps": 10, "metrics": ["decode", "rouge"]}]

    def option(self, evaluators=None):
        return "eval.evaluators=" + json.dumps(evaluators or self.evaluators)

    def test_several_evaluators_during_training_and_alone(self):
        self.succeed(*self.tiny(self.option(), "eval.every_steps=5", "grid.dp=2",
                                "output.monitors=[\"csv\"]"), "--quiet")
        events = self.events("evaluation")
        steps = {name: [e["step"] for e in events if e["evaluator"] == name]
                 for name in ("pairs", "texts")}
        self.assertEqual(steps, {"pairs": [5, 10, 15, 20], "texts": [10, 20]})
        last = [e for e in events if e["evaluator"] == "pairs"][-1]
        self.assertEqual(last["pairs#total"], 23)
        self.assertGreater(last["pairs#acc"], 0.8, "20 steps teach which words there are")
        self.assertIn("texts#rouge1_f", events[-1])
        self.assertIn("pairs#acc", (self.root / "runs/tiny/metrics.csv").read_text())
        decoded = (self.root / "runs/tiny/evaluations/texts/decode.jsonl").read_text().splitlines()
        self.assertEqual(len(decoded), 2)
        self.assertEqual(json.loads(decoded[1])["references"], ["a", "b"])
        said = self.succeed(*self.tiny(self.option(), "grid.pp=1", verb="evaluate"))
        self.assertRegex(said, rf"pairs#acc +{last['pairs#acc']:.6g}\n")
        self.assertRegex(said, r"texts#samples +2\n")

    def test_the_best_model_an_early_end_and_samples(self):
        said = self.succeed(*self.tiny(
            self.option(self.evaluators[:1]), "eval.every_steps=2", "train.lr=0.02",
            "checkpoint.best.metric=pairs#acc", "checkpoint.best.load=true",
            "callbacks.early_stop.metric=pairs#acc", "callbacks.early_stop.patience=2",
            "callbacks.samples.prompts=[\"The \"]", "callbacks.samples.max_tokens=3"))
        values = [(e["pairs#acc"], -e["step"]) for e in self.events("evaluation")]
        best = -max(values)[1]
        kept = [path.name for path in (self.root / "runs/tiny/best").glob("checkpoint-*")]
        self.assertEqual(kept, [f"checkpoint-{best}"])
        end = self.events("end")[0]
        self.assertEqual(end["steps_done"], min(20, best + 4))
        manifest = json.loads((self.root / f"runs/tiny/best/checkpoint-{best}/manifest.json")
                              .read_text())
        self.assertEqual(manifest["run"]["parameter_hash"], end["parameter_hash"])
        self.assertIn("sample after step", said)
        self.assertIn(f"ends after step {end['steps_done']}: pairs#acc was best", said)
        self.assertEqual(len((self.root / "runs/tiny/samples.jsonl").read_text().splitlines()), 1)

    def test_an_extended_run_remembers_the_best_of_its_last_evaluation(self):
        best = ("data.validation_fraction=0.1", "eval.every_steps=2", "checkpoint.best.keep=1",
                "checkpoint.best.metric=validation#loss", "train.lr_schedule=constant")
        self.succeed(*self.tiny(*best, "train.max_steps=4"), "--quiet")
        self.assertTrue((self.root / "runs/tiny/best/checkpoint-4").exists())
        self.succeed(*self.tiny(*best, "train.max_steps=6", "train.lr=50"), "--quiet")
        self.assertTrue((self.root / "runs/tiny/best/checkpoint-4").exists())

    def test_what_is_wrong_is_told_in_one_line(self):
        (self.root / "empty.jsonl").write_text("")
        pair = self.evaluators[0]
        for change, message in (
                ({"data": "empty.jsonl"}, "empty.jsonl: no sample to evaluate with"),
                ({"type": "clasification"}, "did you mean 'classification'?"),
                ({"metrics": "acuracy"}, "did you mean 'accuracy'?"),
                ({"data": "none.jsonl"}, "none.jsonl"),
                ({"evry_steps": 3}, "every_steps")):
            for verb in ("train", "evaluate"):
                line = self.refuse(*self.tiny(self.option([{**pair, **change}]), verb=verb))
                self.assertIn(message, line)
        line = self.refuse(*self.tiny(self.option([pair]), "checkpoint.best.load=true",
                                      "checkpoint.best.metric=pairs#ac"))
        self.assertIn("did you mean 'pairs#acc'?", line)
        line = self.refuse(*self.tiny("callbacks.samples.prompts=a", "limits.memory_bytes=100000"))
        self.assertIn("of it the parameters that texts are written with", line)
        self.assertFalse((self.root / "runs").exists())


if __name__ == "__main__":
    harness.PROGRAM = str(pathlib.Path(sys.argv[1]).resolve())
    harness.SOURCE = str(pathlib.Path(sys.argv[2]).resolve())
    unittest.main(argv=[sys.argv[0], *sys.argv[3:]])
