#!/usr/bin/env python3
"""collie-actor-node tokenize, end to end.

    tests/cli/tokenize_test.py PROGRAM SOURCE_DIR
"""
import array
import json
import os
import sys
import unittest

import harness
from harness import CliTest


class Tokenize(CliTest):
    def tokenize(self, *arguments, output="tokens"):
        return self.succeed(*self.tiny(verb="tokenize"), "--output", output, *arguments)

    def test_a_run_on_shards_is_the_run_on_files(self):
        said = self.tokenize()
        self.assertRegex(said, r"documents +1 of 1 records")
        self.assertRegex(said, r"time .* MB/s")
        manifest = json.loads((self.root / "tokens/manifest.json").read_text())
        shard = manifest["shards"][0]
        ids = array.array("H")
        ids.frombytes((self.root / "tokens" / (shard["name"] + ".tokens")).read_bytes())
        self.assertEqual(len(ids), manifest["tokens"])
        self.assertLess(max(ids), manifest["vocabulary_size"])

        tokenizer = ("model.tokenizer=tokens", "model.tokenizer_vocab_size=0")
        hashes = []
        for run, train in (("files", "text.txt"), ("shards", "tokens")):
            self.succeed(*self.tiny(f"output.directory=runs/{run}", "train.max_steps=3",
                                    "train.epochs=0", f"data.train={train}", *tokenizer),
                         "--quiet")
            hashes.append([event["loss"] for event in self.events("step", f"runs/{run}")])
        self.assertEqual(len(hashes[0]), 3)
        self.assertEqual(hashes[0], hashes[1])

    def test_the_output_does_not_depend_on_threads(self):
        for name in "ab":
            (self.root / f"{name}.jsonl").write_text(
                "".join(json.dumps({"input": f"{name}{i}", "output": str(i)}) + "\n"
                        for i in range(3000)))
        self.tokenize(output="learned")
        for threads in "1", "3":
            self.succeed("tokenize", "a.jsonl", "b.jsonl", "--tokenizer", "learned", "--threads",
                         threads, "--shard-tokens", "5000", "--output", "t" + threads)
        names = sorted(os.listdir(self.root / "t1"))
        self.assertEqual(names, sorted(os.listdir(self.root / "t3")))
        self.assertIn("shard-00003.mask", names)
        for name in names:
            self.assertEqual((self.root / "t1" / name).read_bytes(),
                             (self.root / "t3" / name).read_bytes(), name)

    def test_weighted_sources(self):
        sources = json.dumps([{"path": "text.txt", "weight": 3, "name": "prose"},
                              {"path": "b.txt", "weight": 1}])
        harness.write_text(self.root / "b.txt", lines=300)
        self.tokenize("--set", f"data.train={sources}", "--source", "prose", output="prose")
        line = self.refuse(*self.tiny(verb="tokenize"), "--set", f"data.train={sources}",
                           "--source", "pros", "--output", "x")
        self.assertIn("did you mean", line)
        self.succeed(*self.tiny(f"data.train={sources}", "train.max_steps=2", "train.epochs=0"),
                     "--quiet")
        self.assertIn("prose", self.refuse(*self.tiny(
            f"data.train={sources.replace('b.txt', 'c.txt')[:-1]}"
            ', {"path": "b.txt", "name": "prose"}]')))
        self.assertIn("data.train[0].weight",
                      self.refuse(*self.tiny('data.train=[{"path": "a", "weight": 0}]')))

    def test_what_cannot_be_used(self):
        self.tokenize()
        tiny = self.tiny("data.train=tokens")
        self.assertIn("set model.tokenizer", self.refuse(*tiny))
        tokenizer = ("model.tokenizer=tokens", "model.tokenizer_vocab_size=0")
        shard = self.root / "tokens/shard-00000.tokens"
        whole = shard.read_bytes()
        shard.write_bytes(whole[:-2])
        self.assertIn("shard-00000.tokens", self.refuse(*self.tiny("data.train=tokens", *tokenizer)))
        shard.write_bytes(bytes([whole[0] ^ 1]) + whole[1:])
        self.assertIn("its hash", self.refuse(*self.tiny("data.train=tokens", *tokenizer)))
        shard.write_bytes(whole)
        (self.root / "other").mkdir()
        harness.write_text(self.root / "other/text.txt", lines=40)
        self.succeed(*self.tiny("data.train=other/text.txt", verb="tokenize"), "--output", "second")
        self.assertIn("another tokenizer", self.refuse(*self.tiny(
            "data.train=tokens", "model.tokenizer=second", "model.tokenizer_vocab_size=0")))
        self.assertIn("name a new directory", self.refuse(
            *self.tiny(verb="tokenize"), "--output", "other"))
        self.assertIn("--tokenizer", self.refuse("tokenize", "a", "b", "--output", "x"))
        self.assertIn("none.txt", self.refuse(
            *self.tiny("data.train=none.txt", verb="tokenize"), "--output", "x"))
        self.assertFalse((self.root / "x").exists())

    def test_what_tokenize_did_not_write_is_not_deleted(self):
        self.tokenize()
        self.tokenize()  # its own files it replaces
        for name in ("notes.txt", "shard-00007.tokens"):
            (self.root / "tokens" / name).write_text("mine")
            line = self.refuse(*self.tiny(verb="tokenize"), "--output", "tokens")
            self.assertIn(name, line)
            self.assertEqual((self.root / "tokens" / name).read_text(), "mine")
            self.assertIn(name, self.succeed("inspect", "tokens"))
            (self.root / "tokens" / name).unlink()
        self.tokenize()
        self.assertEqual(os.listdir(self.root).count("tokens"), 1)

    def test_tokens_are_inspected(self):
        self.tokenize()
        said = self.succeed("inspect", "tokens")
        self.assertRegex(said, r"documents +1 of 1 records")
        self.assertIn("all hashes are right", said)
        self.assertRegex(said, r"tokenizer +300 tokens")
        shard = self.root / "tokens/shard-00000.tokens"
        whole = shard.read_bytes()
        shard.write_bytes(bytes([whole[0] ^ 1]) + whole[1:])
        self.assertIn("its hash", self.refuse("inspect", "tokens"))
        self.assertIn("not checked", self.succeed("inspect", "tokens", "--no-verify"))

    def test_chats_are_bound_to_their_template(self):
        chats = [{"messages": [{"role": "user", "content": f"Say {word}."},
                               {"role": "assistant", "content": word}]}
                 for word in ("cat", "dog", "ship")] * 20
        (self.root / "chats.jsonl").write_text("".join(json.dumps(chat) + "\n" for chat in chats))
        for name, mark in (("a.jinja", "#"), ("b.jinja", "%")):
            (self.root / name).write_text(
                "{% for m in messages %}" + mark + "{{ m.role }}: {{ m.content }}\n{% endfor %}")
        self.tokenize(output="learned")
        for output, template in (("chats", "a.jinja"), ("plain", "plain")):
            self.succeed("tokenize", "chats.jsonl", "--tokenizer", "learned", "--output", output,
                         "--set", f"data.chat_template={template}")
        tokenizer = ("model.tokenizer=learned", "model.tokenizer_vocab_size=0", "train.max_steps=1")

        def run(data, template):
            return self.tiny(f"data.train={data}", f"data.chat_template={template}", *tokenizer)
        self.succeed(*run("chats", "a.jinja"), "--quiet")
        for data, template, word in (("chats", "b.jinja", "b.jinja"), ("chats", "plain", "plain"),
                                     ("plain", "a.jinja", "plain form")):
            line = self.refuse(*run(data, template))
            self.assertIn("data.chat_template", line)
            self.assertIn(word, line)
        self.tokenize(output="prose")  # no chats: any template will do
        self.succeed(*run("prose", "b.jinja"), "--quiet")


if __name__ == "__main__":
    harness.PROGRAM, harness.SOURCE = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])
    unittest.main(argv=[sys.argv[0], *sys.argv[3:]])
