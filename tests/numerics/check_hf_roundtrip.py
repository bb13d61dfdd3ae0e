#!/usr/bin/env python3
"""Checks that Hugging Face transformers loads a saved model directory and computes the same.

Run by hand, with a Python that has torch, transformers and safetensors:

  check_hf_roundtrip.py MODEL_DIR --ids 1,2,3
      loads strictly (missing, unexpected or misshapen tensors fail), prints the logits as JSON
  check_hf_roundtrip.py MODEL_DIR --logits FILE.safetensors [--tolerance 1e-4]
      compares with the tensor "logits" [B, S, V] or [S, V] for the ids in the tensor "input_ids"
      of the same file (or for --ids)
  check_hf_roundtrip.py MODEL_DIR --reference DIR [--exact]
      compares with the model in DIR: the same config keys, the same parameters by name and shape,
      and logits within the tolerance; --exact also wants config values and every stored tensor
      equal to the last bit (a model that was read and written without training)
  ... --text "some text"
      if tokenizer files are there: encodes and decodes it with transformers and, given --reference,
      compares the ids with those of the reference tokenizer

The tolerance is relative: norm of difference over norm of what is expected. Computation is float32.
Exit code: 0 everything matches, 1 a mismatch, 2 wrong usage or unreadable files.
"""

import argparse
import json
import pathlib
import sys

# Before transformers: it keeps that offline.
from roundtrip import Mismatch, compare_logits, exit_code_of

import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "vocab.json")
# What a writer may change without losing anything.
FREE_CONFIG_KEYS = {"transformers_version", "_name_or_path"}


def load_model(folder):
    model, info = AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, attn_implementation="eager", output_loading_info=True)
    for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        if info.get(kind):
            raise Mismatch(f"{folder}: {kind}: {sorted(map(str, info[kind]))[:8]}")
    return model.eval()


def stored_tensors(folder):
    files = sorted(folder.glob("*.safetensors"))
    index = folder / "model.safetensors.index.json"
    if index.exists():
        weight_map = json.loads(index.read_text())["weight_map"]
        files = [folder / name for name in sorted(set(weight_map.values()))]
    tensors = {}
    for file in files:
        tensors.update(load_file(file))
    return tensors


@torch.no_grad()
def compute_logits(model, ids):
    return model(input_ids=ids, use_cache=False).logits


def compare_configs(folder, reference, exact):
    ours, theirs = (json.loads((path / "config.json").read_text()) for path in (folder, reference))
    lost = set(theirs) - set(ours) - FREE_CONFIG_KEYS
    if lost:
        raise Mismatch(f"config.json lost the keys {sorted(lost)}")
    differing = [key for key in theirs if key not in FREE_CONFIG_KEYS and ours[key] != theirs[key]]
    print(f"config.json: {len(theirs)} keys, differing: {differing or 'none'}")
    if exact and differing:
        raise Mismatch(f"config.json: values differ for {differing}")


def compare_stored(folder, reference):
    ours, theirs = stored_tensors(folder), stored_tensors(reference)
    if ours.keys() != theirs.keys():
        raise Mismatch(f"stored tensors differ: {sorted(ours.keys() ^ theirs.keys())[:8]}")
    for name, tensor in theirs.items():
        if ours[name].dtype != tensor.dtype or not torch.equal(ours[name], tensor):
            raise Mismatch(f"stored tensor {name} differs in dtype, shape or value")
    print(f"stored tensors: {len(theirs)} equal to the last bit")


def compare_with_reference(model, ids, args):
    compare_configs(args.model_dir, args.reference, args.exact)
    other = load_model(args.reference)
    ours, theirs = ({n: tuple(p.shape) for n, p in m.named_parameters()} for m in (model, other))
    if ours != theirs:
        differing = sorted(n for n, _ in ours.items() ^ theirs.items())
        raise Mismatch(f"parameters differ in name or shape: {differing[:8]}")
    print(f"parameters: {len(ours)} with the same names and shapes")
    if args.exact:
        compare_stored(args.model_dir, args.reference)
    compare_logits(compute_logits(model, ids), compute_logits(other, ids), args.tolerance,
                   "logits against the reference")


def check_tokenizer(args):
    if not any((args.model_dir / name).exists() for name in TOKENIZER_FILES):
        print("tokenizer: no files, skipped")
        return
    tokenizer = AutoTokenizer.from_pretrained(args.model_dir)
    ids = tokenizer(args.text, add_special_tokens=False).input_ids
    back = tokenizer.decode(ids, clean_up_tokenization_spaces=False)
    print(f"tokenizer: {len(tokenizer)} tokens, {len(ids)} ids for the text")
    if back != args.text:
        raise Mismatch(f"tokenizer: {args.text!r} came back as {back!r}")
    if args.reference and any((args.reference / name).exists() for name in TOKENIZER_FILES):
        expected = AutoTokenizer.from_pretrained(args.reference)(args.text).input_ids
        actual = tokenizer(args.text).input_ids
        if actual != expected:
            raise Mismatch(f"tokenizer: ids {actual}, the reference gives {expected}")


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model_dir", type=pathlib.Path)
    parser.add_argument("--ids", help="comma-separated token ids")
    parser.add_argument("--logits", type=pathlib.Path)
    parser.add_argument("--reference", type=pathlib.Path)
    parser.add_argument("--exact", action="store_true")
    parser.add_argument("--tolerance", type=float, default=1e-4)
    parser.add_argument("--text", default="Hello, world!\n  It's 2024: na\u00efve \u4f60\u597d.")
    args = parser.parse_args()
    for folder in filter(None, (args.model_dir, args.reference)):
        if not (folder / "config.json").is_file():
            parser.error(f"{folder} holds no config.json")
    if args.exact and not args.reference:
        parser.error("--exact needs --reference")
    return args


def choose_ids(args, file_tensors, vocab_size):
    if args.ids:
        return torch.tensor([[int(part) for part in args.ids.split(",")]])
    if "input_ids" in file_tensors:
        return file_tensors["input_ids"].long().reshape(-1, file_tensors["input_ids"].shape[-1])
    return torch.arange(min(16, vocab_size))[None]


def check(args):
    model = load_model(args.model_dir)
    print(f"loaded {type(model).__name__}, {sum(p.numel() for p in model.parameters())} parameters")
    file_tensors = load_file(args.logits) if args.logits else {}
    ids = choose_ids(args, file_tensors, model.config.vocab_size)
    if args.logits:
        compare_logits(compute_logits(model, ids), file_tensors["logits"], args.tolerance,
                       f"logits against {args.logits.name}")
    if args.reference:
        compare_with_reference(model, ids, args)
    if not args.logits and not args.reference:
        print(json.dumps(dict(ids=ids.tolist(), logits=compute_logits(model, ids).tolist())))
    check_tokenizer(args)


if __name__ == "__main__":
    sys.exit(exit_code_of(check, parse_arguments()))
