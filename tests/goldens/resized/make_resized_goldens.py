#!/usr/bin/env python3
"""Makes the goldens of a vocabulary that was resized: transformers' resize_token_embeddings on the
tiny models beside, and the logits of a text that uses the new tokens.

Usage:
  make_resized_goldens.py            writes <model>.safetensors into the folder of this script
  make_resized_goldens.py --check    recomputes and compares every byte

transformers draws new rows around the mean of the old ones with 1e-9 of their covariance. That they
are so near is checked here, and the noise is taken out. Needs torch, transformers and safetensors; float32, eager attention,
one thread, fixed seeds.
"""

import argparse
import os
import pathlib
import sys

import torch
import transformers
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

HERE = pathlib.Path(__file__).resolve().parent
MODELS = HERE.parent / "models"
NEW_ROWS = 7  # 96 + 7: no multiple of the tensor shards


@torch.no_grad()
def take_noise_out(weight, old):
    mean, deviation = weight[:old].mean(0), weight[:old].std(0)
    distance = ((weight[old:] - mean).abs() / deviation).max().item()
    if not 0.0 < distance < 6.0 * 1e-9 ** 0.5:
        sys.exit(f"new rows are {distance:.1e} standard deviations from the mean")
    weight[old:] = mean


def make(name):
    torch.manual_seed(5)
    model = AutoModelForCausalLM.from_pretrained(MODELS / name, attn_implementation="eager",
                                                 dtype=torch.float32).eval()
    old = model.config.vocab_size
    model.resize_token_embeddings(old + NEW_ROWS, mean_resizing=True)
    tables = {model.get_input_embeddings().weight, model.get_output_embeddings().weight}
    for weight in tables:  # one where they are tied
        take_noise_out(weight, old)
    ids = torch.tensor([[3, old, 17, old + NEW_ROWS - 1, old + 2, 5, 41, old + 4]])
    with torch.no_grad():
        logits = model(input_ids=ids).logits
    return {"input_ids": ids, "logits": logits[0].contiguous()}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="compare instead of writing")
    is_check = parser.parse_args().check
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    transformers.logging.set_verbosity_error()
    for name in ("llama3", "gpt2"):
        made, path = make(name), HERE / f"{name}.safetensors"
        if not is_check:
            save_file(made, path)
            continue
        stored = load_file(path)
        if any(not torch.equal(value, stored[key]) for key, value in made.items()):
            sys.exit(f"{path.name} differs")


if __name__ == "__main__":
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    main()
