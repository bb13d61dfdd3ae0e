#!/usr/bin/env python3
"""Makes the goldens of evaluators: a tokenizer of single characters, questions with options, and
what PyTorch and transformers say of the tiny Llama in ../models/llama3.

Usage: make_evaluation_goldens.py [--check]   (needs torch, transformers, tokenizers)

expected.json: for each sample the log-likelihood (nats, float64 sums of float32 log softmax) of each
option after its context, acc and acc_norm (lengths in characters without leading space), and the
greedy continuation of each prompt; and loss and gradient norm of the first steps of DPO (Rafailov et
al. 2023, equation 7, a pair's weight its number of tokens) with plain SGD on pairs.jsonl.
"""
import copy
import json
import pathlib
import random
import sys

import torch
from tokenizers import Tokenizer
from transformers import AutoModelForCausalLM

HERE = pathlib.Path(__file__).resolve().parent
LETTERS = "abcdefghijklmnopqrstuvwxyz"
SAMPLES, PROMPTS, NEW_TOKENS = 11, 5, 6
DPO_STEPS, ROWS_A_STEP, BETA, RATE = 3, 8, 0.1, 0.5


def tokenizer_json():
    vocabulary = {"Ġ": 3}
    for place, letter in enumerate(LETTERS):
        vocabulary[letter] = 4 + place
    return {"version": "1.0", "truncation": None, "padding": None,
            "added_tokens": [
                {"id": 2, "content": "<e>", "single_word": False, "lstrip": False, "rstrip": False,
                 "normalized": False, "special": True}],
            "normalizer": None,
            "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True,
                              "use_regex": False},
            "post_processor": None,
            "decoder": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True,
                        "use_regex": False},
            "model": {"type": "BPE", "dropout": None, "unk_token": None,
                      "continuing_subword_prefix": None, "end_of_word_suffix": None,
                      "fuse_unk": False, "byte_fallback": False, "vocab": vocabulary, "merges": []}}


def words(rng, count):
    return " ".join("".join(rng.choice(LETTERS) for _ in range(rng.randint(1, 5)))
                    for _ in range(count))


def make_samples(rng):
    samples = []
    for _ in range(SAMPLES):
        options = {" " + words(rng, rng.randint(1, 3)) for _ in range(rng.randint(2, 4))}
        options = sorted(options)
        samples.append({"input": words(rng, rng.randint(1, 4)), "output": options,
                        "target": rng.randrange(len(options))})
    return samples


def log_likelihood(model, context, option):
    ids = torch.tensor([context + option])
    with torch.no_grad():
        scores = torch.log_softmax(model(ids).logits[0].float(), dim=-1)
    return sum(scores[len(context) + i - 1, token].double().item()
               for i, token in enumerate(option))


def continuation(model, ids):
    ids = list(ids)
    made = []
    for _ in range(NEW_TOKENS):
        with torch.no_grad():
            token = int(model(torch.tensor([ids])).logits[0, -1].argmax())
        if token == 2:
            break
        ids.append(token)
        made.append(token)
    return made


def answer_likelihood(model, context, answer):
    scores = torch.log_softmax(model(torch.tensor([context + answer])).logits[0], dim=-1)
    return sum(scores[len(context) + i - 1, token] for i, token in enumerate(answer))


def dpo_steps(model, encode, rows):
    start, losses = copy.deepcopy(model), []
    for step in range(DPO_STEPS):
        batch = rows[step * ROWS_A_STEP:(step + 1) * ROWS_A_STEP]
        total, tokens = 0.0, 0
        for pair in zip(batch[::2], batch[1::2]):
            gain, weight = 0.0, 0
            for row, sign in zip(pair, (1, -1)):
                context, answer = encode(row["input"]), encode(row["output"])
                with torch.no_grad():
                    before = answer_likelihood(start, context, answer)
                gain = gain + sign * (answer_likelihood(model, context, answer) - before)
                weight += len(answer)
            total = total - weight * torch.nn.functional.logsigmoid(BETA * gain)
            tokens += weight
        loss = total / tokens
        model.zero_grad()
        loss.backward()
        norm = sum((p.grad.double() ** 2).sum() for p in model.parameters()) ** 0.5
        with torch.no_grad():
            for parameter in model.parameters():
                parameter -= RATE * parameter.grad
        losses.append({"loss": loss.item(), "gradient_norm": norm.item()})
    return losses


def files():
    torch.set_num_threads(1)
    tokenizer = Tokenizer.from_str(json.dumps(tokenizer_json()))
    model = AutoModelForCausalLM.from_pretrained(HERE.parent / "models" / "llama3",
                                                 dtype=torch.float32,
                                                 attn_implementation="eager").eval()
    rng = random.Random(5)
    samples = make_samples(rng)
    encode = lambda text: tokenizer.encode(text, add_special_tokens=False).ids
    likelihoods = [[log_likelihood(model, encode(s["input"]), encode(o)) for o in s["output"]]
                   for s in samples]
    best = lambda values: max(range(len(values)), key=lambda i: (values[i], -i))
    acc = [best(v) == s["target"] for v, s in zip(likelihoods, samples)]
    norm = [best([x / len(o.strip()) for x, o in zip(v, s["output"])]) == s["target"]
            for v, s in zip(likelihoods, samples)]
    prompts = [words(rng, rng.randint(1, 4)) for _ in range(PROMPTS)]
    written = [tokenizer.decode(continuation(model, encode(p)), skip_special_tokens=True)
               for p in prompts]
    # One right in two, so that a metric is neither 0 nor 1.
    records = [{"text": p, "target": w if i % 2 == 0 else w + "x"}
               for i, (p, w) in enumerate(zip(prompts, written))]
    pairs = []
    for _ in range(DPO_STEPS * ROWS_A_STEP // 2):
        question = words(rng, rng.randint(1, 4))
        pairs += [{"input": question, "output": " " + words(rng, rng.randint(1, 3))}
                  for _ in range(2)]
    lines = lambda items: "".join(json.dumps(item) + "\n" for item in items)
    expected = {"log_likelihoods": likelihoods, "acc": sum(acc) / len(acc),
                "acc_norm": sum(norm) / len(norm), "new_tokens": NEW_TOKENS, "written": written,
                "dpo": dpo_steps(model, encode, pairs)}
    return {"tokenizer.json": json.dumps(tokenizer_json(), indent=1, ensure_ascii=False) + "\n",
            "choices.jsonl": lines(samples), "prompts.jsonl": lines(records),
            "pairs.jsonl": lines(pairs),
            "expected.json": json.dumps(expected, indent=1) + "\n"}


def main():
    for name, text in files().items():
        path = HERE / name
        if "--check" in sys.argv:
            assert path.read_text(encoding="utf-8") == text, f"{name} differs"
        else:
            path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
