#!/usr/bin/env python3
"""How far PyTorch's own bfloat16 is from the float32 goldens: what the bf16 golden tests can ask.

    python3 tests/goldens/models/measure_bf16_error.py

Two sets of goldens: golden.safetensors, whose weights bfloat16 cannot represent, and
bf16.safetensors, whose weights it can (make_bf16_goldens.py says how they are made). For each
family: float32 arithmetic on the rounded weights (first set only), pure bfloat16, and autocast.
Printed are the relative error of the loss, of all gradients as one vector, and of the worst single
gradient tensor.
"""

import contextlib
import pathlib

import torch
from make_bf16_goldens import make_bf16_model
from make_model_goldens import FAMILIES, make_model
from safetensors.torch import load_file

HERE = pathlib.Path(__file__).resolve().parent


def rounded_weights(model):
    for parameter in model.parameters():
        parameter.data = parameter.data.bfloat16().float()
    return model


def in_bfloat16(model):
    for parameter in model.parameters():  # model.bfloat16() would round the rotary frequencies too
        parameter.data = parameter.data.bfloat16()
    return model


def gradients(model, batch, autocast):
    model.set_attn_implementation("sdpa")
    context = torch.autocast("cpu", dtype=torch.bfloat16) if autocast else contextlib.nullcontext()
    with context:
        logits = model(input_ids=batch["input_ids"], use_cache=False).logits
    loss = torch.nn.functional.cross_entropy(logits.float().flatten(0, 1), batch["labels"].flatten())
    loss.backward()
    return loss.item(), {n: p.grad.float() for n, p in model.named_parameters()}


def report(what, model, batch, golden, autocast=False):
    loss, found = gradients(model, batch, autocast)
    expected = {name: golden["grad/" + name].float() for name in found}
    errors = {name: (found[name] - expected[name]).norm() / expected[name].norm() for name in found}
    worst = max(errors, key=errors.get)
    squares = sum((found[n] - expected[n]).norm() ** 2 for n in found)
    total = (squares / sum(e.norm() ** 2 for e in expected.values())).sqrt()
    loss_error = abs(loss - golden["loss"].item()) / loss
    print(f"{what:36} loss {loss_error:.1e} all {total:.2e} worst {errors[worst]:.1e} ({worst})")


def main():
    torch.set_num_threads(1)
    for family in FAMILIES:
        batch = load_file(HERE / family / "golden.safetensors")
        report(f"{family} rounded weights", rounded_weights(make_model(family)[0]), batch, batch)
        report(f"{family} pure bfloat16", in_bfloat16(make_model(family)[0]), batch, batch)
        report(f"{family} autocast", make_model(family)[0], batch, batch, autocast=True)
        golden = load_file(HERE / family / "bf16.safetensors")
        exact = f"{family} exact weights,"
        report(f"{exact} pure bfloat16", in_bfloat16(make_bf16_model(family)), batch, golden)
        report(f"{exact} autocast", make_bf16_model(family), batch, golden, autocast=True)


if __name__ == "__main__":
    main()
