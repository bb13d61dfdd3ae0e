#!/usr/bin/env python3
"""Makes optimizer/adamw.safetensors: torch.optim.AdamW trajectories and learning rate schedules.

Usage:
  make_optimizer_goldens.py            writes into the folder of this script
  make_optimizer_goldens.py --check    recomputes and compares every byte

Needs torch, transformers and safetensors (versions in README.md, which also lists the tensors).
"""

import argparse
import json
import pathlib
import sys
import warnings

import torch
from safetensors.torch import save, save_file
from transformers import get_scheduler

SEED, STEPS, KEPT_STEPS = 71, 50, (1, 10, 50)
# name: (shape, weight decay applies); "norm" and "bias" stand for the parameters without decay.
TENSORS = {"weight": ((6, 8), True), "bias": ((16,), False), "norm": ((5,), False)}
HYPER = dict(lr=3e-3, beta1=0.9, beta2=0.95, eps=1e-8, weight_decay=0.1, max_norm=1.0)
SCHEDULE_STEPS, WARMUP_STEPS, BASE_LR = 100, 10, 1e-3
SCHEDULES = ("constant", "constant_with_warmup", "linear", "cosine")


def make_inputs():
    """Gradients of very different sizes: some steps are clipped, some not, one row is all zero."""
    generator = torch.Generator().manual_seed(SEED)
    initial, grads = {}, {}
    scale = torch.exp(torch.randn(STEPS, generator=generator))
    for name, (shape, _) in TENSORS.items():
        initial[name] = torch.randn(shape, generator=generator)
        noise = torch.randn((STEPS, *shape), generator=generator)
        bias = torch.randn(shape, generator=generator)
        grads[name] = 0.15 * (noise + bias) * scale.view(-1, *[1] * len(shape))
    grads["weight"][:, 0, :] = 0.0
    return initial, grads


def trajectory(initial, grads, dtype, clip):
    parameters = {n: torch.nn.Parameter(v.to(dtype, copy=True)) for n, v in initial.items()}
    groups = [dict(params=[parameters[n] for n, (_, d) in TENSORS.items() if d == decays],
                   weight_decay=HYPER["weight_decay"] if decays else 0.0)
              for decays in (True, False)]
    optimizer = torch.optim.AdamW(groups, lr=HYPER["lr"], eps=HYPER["eps"], foreach=False,
                                  betas=(HYPER["beta1"], HYPER["beta2"]))
    result, norms = {}, []
    for step in range(1, STEPS + 1):
        for name, parameter in parameters.items():
            parameter.grad = grads[name][step - 1].to(dtype, copy=True)
        if clip:
            norms.append(torch.nn.utils.clip_grad_norm_(parameters.values(), HYPER["max_norm"]))
        optimizer.step()
        if step in KEPT_STEPS:
            for name, parameter in parameters.items():
                result[f"step{step}/{name}"] = parameter.detach().clone()
    for name, parameter in parameters.items():
        for moment in ("exp_avg", "exp_avg_sq"):
            result[f"{moment}{STEPS}/{name}"] = optimizer.state[parameter][moment].clone()
    if clip:
        result["grad_norm"] = torch.stack(norms)
    return result


def schedule(name):
    """Entry s is the rate with which update s (from 0) is done."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=BASE_LR)
    scheduler = get_scheduler(name, optimizer, num_warmup_steps=WARMUP_STEPS,
                              num_training_steps=SCHEDULE_STEPS)
    rates = []
    for _ in range(SCHEDULE_STEPS):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return torch.tensor(rates, dtype=torch.float64)


def all_tensors():
    initial, grads = make_inputs()
    # Trajectories copy: torch would otherwise clip and update the stored inputs in place.
    tensors = {f"initial/{n}": v for n, v in initial.items()}
    tensors |= {f"grads/{n}": v for n, v in grads.items()}
    for dtype_name, dtype in (("f32", torch.float32), ("f64", torch.float64)):
        for variant, clip in (("plain", False), ("clipped", True)):
            for name, value in trajectory(initial, grads, dtype, clip).items():
                tensors[f"{variant}/{dtype_name}/{name}"] = value
    tensors |= {f"schedule/{name}": schedule(name) for name in SCHEDULES}
    scalars = {**HYPER, "schedule_base_lr": BASE_LR, "schedule_warmup_steps": WARMUP_STEPS,
               "schedule_steps": SCHEDULE_STEPS}
    tensors |= {f"hyper/{n}": torch.tensor([v], dtype=torch.float64) for n, v in scalars.items()}
    return tensors, {"hyper": json.dumps(scalars)}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="compare instead of writing")
    torch.set_num_threads(1)
    warnings.simplefilter("error")
    tensors, metadata = all_tensors()
    path = pathlib.Path(__file__).resolve().parent / "optimizer" / "adamw.safetensors"
    if parser.parse_args().check:
        if path.read_bytes() != save(tensors, metadata):
            sys.exit(f"make_optimizer_goldens: {path} differs")
        print("1 file is byte-identical")
        return
    path.parent.mkdir(exist_ok=True)
    save_file(tensors, path, metadata)
    path.chmod(0o644)
    clipped = int((tensors["clipped/f64/grad_norm"] > HYPER["max_norm"]).sum())
    print(f"{len(tensors)} tensors, {path.stat().st_size} bytes, "
          f"{clipped} of {STEPS} steps clipped")


if __name__ == "__main__":
    main()
