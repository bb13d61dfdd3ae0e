#!/usr/bin/env python3
"""How far PyTorch's own bfloat16 is from the float32 goldens: the bound of the bf16 golden test.

    python3 tests/goldens/models/measure_bf16_error.py

For each family three variants: float32 arithmetic on weights rounded to bfloat16, pure bfloat16, and
autocast. Printed are the relative error of the loss, of all gradients as one vector, and of the worst
single gradient tensor.
"""

import contextlib
import pathlib

import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

HERE = pathlib.Path(__file__).resolve().parent
FAMILIES = ["llama2", "llama3", "llama3_tied", "mistral", "qwen2", "qwen3", "gpt2"]


def load(family, dtype):
    return AutoModelForCausalLM.from_pretrained(HERE / family, dtype=dtype, attn_implementation="sdpa")


def rounded_weights(family):
    model = load(family, torch.float32)
    for parameter in model.parameters():
        parameter.data = parameter.data.bfloat16().float()
    return model


def gradients(model, golden, autocast):
    context = torch.autocast("cpu", dtype=torch.bfloat16) if autocast else contextlib.nullcontext()
    with context:
        logits = model(input_ids=golden["input_ids"], use_cache=False).logits
    loss = torch.nn.functional.cross_entropy(logits.float().flatten(0, 1), golden["labels"].flatten())
    loss.backward()
    return loss.item(), {n: p.grad.float() for n, p in model.named_parameters()}


def report(family, variant, model, golden, autocast=False):
    loss, found = gradients(model, golden, autocast)
    expected = {name: golden["grad/" + name] for name in found}
    errors = {name: (found[name] - expected[name]).norm() / expected[name].norm() for name in found}
    worst = max(errors, key=errors.get)
    squares = sum((found[n] - expected[n]).norm() ** 2 for n in found)
    total = (squares / sum(e.norm() ** 2 for e in expected.values())).sqrt()
    loss_error = abs(loss - golden["loss"].item()) / loss
    print(f"{family:12} {variant:15} loss {loss_error:.1e} all {total:.1e} "
          f"worst {errors[worst]:.1e} ({worst})")


def main():
    torch.set_num_threads(1)
    for family in FAMILIES:
        golden = load_file(HERE / family / "golden.safetensors")
        report(family, "rounded weights", rounded_weights(family), golden)
        report(family, "pure bfloat16", load(family, torch.bfloat16), golden)
        report(family, "autocast", load(family, torch.float32), golden, autocast=True)


if __name__ == "__main__":
    main()
