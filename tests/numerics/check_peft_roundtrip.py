#!/usr/bin/env python3
"""Checks that Hugging Face's peft loads an adapter written here and computes the same.

Run by hand, with a Python that has torch, transformers, peft and safetensors:

  check_peft_roundtrip.py BASE ADAPTER
      loads strictly (a tensor that is missing, unexpected or misshapen fails) and compares the
      logits with those without the adapter, which must differ
  ... --merged DIR
      compares peft's logits, and those after its merge_and_unload, with transformers' on DIR, which
      "adapter merge" or tuning.save_merged wrote
  ... --reference ADAPTER
      compares with the logits of another adapter directory, e.g. the one it was made from
  ... --rows FILE.json --loss X
      compares the mean loss over rows of ids ({"ids": [[...]], "labels": [[...]]}, -100 ignored)

The tolerance is relative: norm of difference over norm of what is expected. Computation is float32.
Exit code: 0 everything matches, 1 a mismatch, 2 wrong usage or unreadable files.
"""

import argparse
import json
import pathlib
import sys

# Before transformers: it keeps that offline.
from roundtrip import Mismatch, compare_logits, exit_code_of, relative

import peft
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM


def load_base(folder):
    return AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, attn_implementation="eager").eval()


def load_with_adapter(base, adapter):
    model = peft.PeftModel.from_pretrained(load_base(base), str(adapter)).eval()
    wanted = peft.get_peft_model_state_dict(model)
    stored = load_file(adapter / "adapter_model.safetensors")
    if wanted.keys() != stored.keys():
        raise Mismatch(f"{adapter}: tensors differ: {sorted(wanted.keys() ^ stored.keys())[:8]}")
    for name, tensor in stored.items():
        if not torch.equal(wanted[name].float(), tensor.float()):
            raise Mismatch(f"{adapter}: peft has other values of {name}")
    print(f"{adapter.name}: {len(stored)} tensors, "
          f"{sum(tensor.numel() for tensor in stored.values())} numbers, loaded strictly")
    return model


@torch.no_grad()
def logits_of(model, ids):
    logits = model(input_ids=ids, use_cache=False).logits
    return logits[:, -ids.shape[1]:]  # those of virtual tokens come before


@torch.no_grad()
def compare_loss(model, args):
    rows = json.loads(args.rows.read_text())
    labels = torch.tensor(rows["labels"])
    logits = logits_of(model, torch.tensor(rows["ids"]))
    loss = torch.nn.functional.cross_entropy(logits.reshape(-1, logits.shape[-1]),
                                             labels.reshape(-1), ignore_index=-100).item()
    print(f"loss: {loss:.6f}, expected {args.loss:.6f}")
    if not abs(loss - args.loss) <= args.tolerance * abs(args.loss):
        raise Mismatch(f"loss {loss:.6f} is not {args.loss:.6f}")


def check(args):
    model = load_with_adapter(args.base, args.adapter)
    ids = torch.arange(2 * 12).reshape(2, 12) % model.config.vocab_size
    logits = logits_of(model, ids)
    effect = relative(logits, logits_of(load_base(args.base), ids))
    print(f"the adapter changes the logits by {effect:.2e}")
    if not effect > 10 * args.tolerance:
        raise Mismatch("the adapter changes nothing, so nothing has been compared")
    if args.reference:
        compare_logits(logits, logits_of(load_with_adapter(args.base, args.reference), ids),
                args.tolerance, "logits against the reference adapter")
    if args.rows:
        compare_loss(model, args)
    if args.merged:
        merged = logits_of(load_base(args.merged), ids)
        compare_logits(merged, logits, args.tolerance, "merged model against the adapter in peft")
        compare_logits(merged, logits_of(model.merge_and_unload(), ids), args.tolerance,
                "merged model against merge_and_unload")


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("base", type=pathlib.Path)
    parser.add_argument("adapter", type=pathlib.Path)
    parser.add_argument("--merged", type=pathlib.Path)
    parser.add_argument("--reference", type=pathlib.Path)
    parser.add_argument("--rows", type=pathlib.Path)
    parser.add_argument("--loss", type=float)
    parser.add_argument("--tolerance", type=float, default=1e-5)
    args = parser.parse_args()
    if (args.rows is None) != (args.loss is None):
        parser.error("--rows and --loss belong together")
    return args


if __name__ == "__main__":
    sys.exit(exit_code_of(check, parse_arguments()))
