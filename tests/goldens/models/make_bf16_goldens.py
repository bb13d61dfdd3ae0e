#!/usr/bin/env python3
"""Makes <family>/bf16.safetensors: what PyTorch says in float32 on weights that bfloat16 holds.

Usage:
  make_bf16_goldens.py            writes into the folder of this script
  make_bf16_goldens.py --check    recomputes and compares every byte

Needs what make_model_goldens.py needs and its golden.safetensors. README.md describes the tensors.
"""

import argparse
import os
import pathlib

import torch
import torch.nn.functional as F
import transformers
from make_model_goldens import FAMILIES, VOCAB, gradients, make_model, require
from safetensors.torch import load_file, save, save_file

HERE = pathlib.Path(__file__).resolve().parent


def make_bf16_model(name):
    """Weights that bfloat16 holds exactly: rounded, and then the matrices of the layers halved.

    With the gains of randomize() rounding the operands of the forward products alone, which nothing
    in bfloat16 avoids, moves gradients by up to 4e-2; halved, PyTorch's own bfloat16 stays below
    2e-2 in every tensor (measure_bf16_error.py prints both).
    """
    model, _ = make_model(name)
    for key, parameter in model.named_parameters():
        value = parameter.data.bfloat16().float()
        is_layer_matrix = parameter.dim() == 2 and (".layers." in key or ".h." in key)
        parameter.data.copy_(value * 0.5 if is_layer_matrix else value)
    return model


def bf16_golden(name, golden):
    """The batch of golden.safetensors in float32 on make_bf16_model; gradients stored as float16."""
    model = make_bf16_model(name)
    logits = model(input_ids=golden["input_ids"], use_cache=False).logits
    loss = F.cross_entropy(logits.view(-1, VOCAB), golden["labels"].view(-1))
    loss.backward()
    stored = {"loss": loss.detach().reshape(1)}
    for key, value in gradients(model).items():
        stored[key] = value.half()
        error = ((stored[key].float() - value).norm() / value.norm()).item()
        require(error < 5e-4, f"{name}: float16 moves {key} by {error}")
    return stored


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="compare instead of writing")
    is_check = parser.parse_args().check
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    transformers.logging.set_verbosity_error()
    for name in FAMILIES:
        tensors = bf16_golden(name, load_file(HERE / name / "golden.safetensors"))
        path = HERE / name / "bf16.safetensors"
        if is_check:
            require(path.read_bytes() == save(tensors), f"{path} differs")
            continue
        save_file(tensors, path)
        path.chmod(0o644)
    print(f"{len(FAMILIES)} files are {'byte-identical' if is_check else 'written'}")


if __name__ == "__main__":
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    main()
