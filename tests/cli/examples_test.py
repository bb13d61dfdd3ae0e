#!/usr/bin/env python3
"""The examples that train, run for real on tiny models.

    tests/cli/examples_test.py EXAMPLES_DIR SOURCE_DIR
"""
import json
import pathlib
import random
import sys
import unittest

import harness
from harness import CliTest

EXAMPLES = None
WORDS = {" good": ("fine", "great", "lovely"), " bad": ("awful", "dull", "poor")}


class Examples(CliTest):
    def run_example(self, name, *arguments):
        harness.PROGRAM = str(EXAMPLES / name)
        return self.succeed(*arguments)

    def test_dpo_equals_pytorch(self):
        goldens = pathlib.Path(harness.SOURCE, "tests", "goldens")
        config = {"model": {"path": str(goldens / "models/llama3"),
                            "tokenizer": str(goldens / "evaluation/tokenizer.json")},
                  "data": {"train": str(goldens / "evaluation/pairs.jsonl"), "sequence_length": 48},
                  "grid": {"dp": 2, "pp": 3},
                  "train": {"max_steps": 3, "micro_batch_size": 2, "accumulation": 2, "lr": 0.5,
                            "lr_schedule": "constant", "clip_norm": 0,
                            "optimizer": {"name": "sgd", "momentum": 0}}}
        (self.root / "dpo.json").write_text(json.dumps(config))
        self.run_example("example_dpo", "dpo.json")
        expected = json.loads((goldens / "evaluation/expected.json").read_text())["dpo"]
        steps = self.events("step", "runs/run")
        self.assertEqual(len(steps), len(expected))
        for step, wanted in zip(steps, expected):
            for key, value in wanted.items():
                self.assertAlmostEqual(step[key] / value, 1.0, delta=1e-5)

    def test_a_classifier_learns_its_classes(self):
        rng = random.Random(4)
        samples = []
        for _ in range(240):
            label = rng.choice(list(WORDS))
            noun = rng.choice(("film", "book", "song"))
            samples.append((f"the {noun} was {rng.choice(WORDS[label])}:", label))
        with open(self.root / "train.jsonl", "w", encoding="utf-8") as file:
            for text, label in samples[:200]:
                file.write(json.dumps({"input": text, "output": label}) + "\n")
        with open(self.root / "test.jsonl", "w", encoding="utf-8") as file:
            for text, label in samples[200:]:
                file.write(json.dumps({"input": text, "output": list(WORDS),
                                       "target": list(WORDS).index(label)}) + "\n")
        tiny = str(pathlib.Path(harness.SOURCE, "configs", "tiny.json"))
        # A model with its tokenizer, which knows the words.
        self.run_example("example_train", tiny, "data.train=train.jsonl", "data.packing=false",
                         "train.max_steps=2")
        evaluators = json.dumps([{"name": "test", "type": "classification", "data": "test.jsonl",
                                  "metrics": ["accuracy", "classification"]}])
        self.run_example("example_classifier", tiny, *WORDS, "--", "model.fresh=null",
                         "model.tokenizer_vocab_size=0", "model.path=runs/tiny/model",
                         "data.train=train.jsonl", "data.packing=false", "train.max_steps=40",
                         "output.directory=runs/classifier", "grid.dp=2",
                         f"eval.evaluators={evaluators}")
        found = self.events("evaluation", "runs/classifier")[-1]
        self.assertEqual(found["test#total"], 40)
        self.assertGreater(found["test#acc"], 0.95)


if __name__ == "__main__":
    EXAMPLES = pathlib.Path(sys.argv[1]).resolve()
    harness.SOURCE = str(pathlib.Path(sys.argv[2]).resolve())
    unittest.main(argv=[sys.argv[0], *sys.argv[3:]])
