#!/usr/bin/env python3
"""Writes optimizers.safetensors: parameters after fifty steps of every optimizer, in double.

Usage:
  make_optimizers.py            writes into the folder of this script
  make_optimizers.py --check    recomputes and compares every byte

Needs torch, transformers, lion-pytorch and safetensors. Tensors are named case/parameter, float32.
AdamW and SGD are torch.optim's, Muon is torch.optim.Muon with its iteration in double in place of
bfloat16, Adafactor is transformers', Lion is lion-pytorch's. Adan, Sophia-G, LOMO and AdaLomo have no
package that has this rule and runs without a GPU; they are written down here from their papers.

Gradients and initial values come from an integer generator, so that a test makes the same ones.
"""
import argparse
import pathlib
import sys

import torch
from lion_pytorch import Lion
from safetensors.torch import save
from transformers.optimization import Adafactor

STEPS = 50
SHAPES = {"embedding": (10, 16), "layers.0.matrix": (24, 16), "layers.0.wide": (8, 24),
          "layers.0.vector": (20,)}
MATRICES = ("layers.0.matrix", "layers.0.wide")
MASK = (1 << 64) - 1


def draws(seed, count):
    """Multiples of 2^-22 in [-1, 1), exact in float32."""
    state, values = seed, []
    for _ in range(count):
        state = (state * 6364136223846793005 + 1442695040888963407) & MASK
        values.append(((state >> 41) - (1 << 22)) / (1 << 22))
    return values


def tensor(seed, name, scale):
    count = torch.Size(SHAPES[name]).numel()
    place = list(SHAPES).index(name)
    values = torch.tensor(draws(1000 * seed + place, count), dtype=torch.float64)
    return (scale * values).reshape(SHAPES[name])


def gradient(step, name):
    """Of sizes that change with the step, and with a part that stays."""
    return (0.5 + step % 5) * tensor(step, name, 0.125) + tensor(1_000_001, name, 0.125)


class Adan:
    """Xie et al. 2022; betas are what is kept."""

    def __init__(self, values, lr, betas, eps, decay, proximal):
        self.values, self.lr, self.betas, self.eps = values, lr, betas, eps
        self.decay, self.proximal, self.state = decay, proximal, {}

    def update(self, t, name, p, g):
        b1, b2, b3 = self.betas
        m, v, n, previous = self.state.get(name, (0 * g, 0 * g, 0 * g, g))
        d = g - previous
        m, v, n = b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * d, b3 * n + (1 - b3) * (g + b2 * d) ** 2
        self.state[name] = (m, v, n, g)
        root = (n / (1 - b3 ** t)).sqrt() + self.eps
        move = self.lr * (m / (1 - b1 ** t) + b2 * v / (1 - b2 ** t)) / root
        wd = self.lr * self.decay[name]
        return (p - move) / (1 + wd) if self.proximal else p * (1 - wd) - move


class Sophia:
    """Liu et al. 2023, Algorithm 3; the curvature is estimated every tenth step from gradients of
    4096 drawn labels."""

    def __init__(self, lr, betas, rho, decay):
        self.lr, self.betas, self.rho, self.decay, self.state = lr, betas, rho, decay, {}

    def update(self, t, name, p, g):
        b1, b2 = self.betas
        m, h = self.state.get(name, (0 * g, 0 * g))
        if (t - 1) % 10 == 0:
            h = b2 * h + (1 - b2) * 4096 * gradient(2000 + t, name) ** 2
        m = b1 * m + (1 - b1) * g
        self.state[name] = (m, h)
        ratio = (m.abs() / (self.rho * h + 1e-15)).clamp(max=1)
        return p * (1 - self.lr * self.decay[name]) - self.lr * m.sign() * ratio


class Lomo:
    """Lv et al. 2023."""

    def __init__(self, lr, clip, decay):
        self.lr, self.clip, self.decay = lr, clip, decay

    def update(self, t, name, p, g):
        return p * (1 - self.lr * self.decay[name]) - self.lr * g.clamp(-self.clip, self.clip)


class AdaLomo:
    """Lv et al. 2023, as the authors' code has it."""

    def __init__(self, lr, clip, decay):
        self.lr, self.clip, self.decay, self.state = lr, clip, decay, {}

    def update(self, t, name, p, g):
        g = g.clamp(-self.clip, self.clip)
        beta, q = 1 - t ** -0.8, g * g + 1e-30
        if g.dim() == 2:
            r, c = self.state.get(name, (0, 0))
            r, c = beta * r + (1 - beta) * q.mean(1), beta * c + (1 - beta) * q.mean(0)
            self.state[name] = (r, c)
            u = g * ((r / r.mean())[:, None] * c[None, :]).rsqrt()
        else:
            v = beta * self.state.get(name, 0) + (1 - beta) * q
            self.state[name] = v
            u = g * v.rsqrt()
        u = u / max(1.0, u.square().mean().sqrt().item())
        lr = self.lr * max(1e-3, p.square().mean().sqrt().item())
        return p * (1 - lr * self.decay[name]) - lr * u


def initial():
    return {name: tensor(0, name, 1.0) for name in SHAPES}


def run_rule(rule):
    values = initial()
    for t in range(1, STEPS + 1):
        values = {n: rule.update(t, n, p, gradient(t, n)) for n, p in values.items()}
    return values


def run_torch(make):
    """make(matrices, others) -> optimizers; each takes a list of parameters with .name."""
    parameters = {n: torch.nn.Parameter(v) for n, v in initial().items()}
    decayed = [p for n, p in parameters.items() if "vector" not in n]
    rest = [parameters["layers.0.vector"]]
    hidden = [parameters[n] for n in MATRICES]
    optimizers = make(decayed, rest, hidden, parameters["embedding"])
    for t in range(1, STEPS + 1):
        for name, parameter in parameters.items():
            parameter.grad = gradient(t, name)
        for optimizer in optimizers:
            optimizer.step()
    return {n: p.detach() for n, p in parameters.items()}


def groups(decayed, rest, decay):
    return [dict(params=decayed, weight_decay=decay), dict(params=rest, weight_decay=0.0)]


def run_grouped(optimizer, decay, **options):
    return run_torch(lambda d, r, *_: [optimizer(groups(d, r, decay), **options)])


def run_muon(adjust):
    """torch's iteration asks for bfloat16; here it stays in double."""
    bfloat16 = torch.bfloat16
    torch.bfloat16 = torch.float64
    try:
        return run_torch(lambda decayed, rest, hidden, embedding: [
            torch.optim.Muon(hidden, lr=0.02, weight_decay=0.1, momentum=0.95, adjust_lr_fn=adjust),
            torch.optim.AdamW(groups([embedding], rest, 0.1), lr=0.02, betas=(0.9, 0.95), eps=1e-10)])
    finally:
        torch.bfloat16 = bfloat16


def cases():
    decay = {n: 0.1 if "vector" not in n else 0.0 for n in SHAPES}
    sgd, adafactor = torch.optim.SGD, Adafactor
    fixed = dict(lr=0.01, relative_step=False, scale_parameter=True)
    return {
        "sgd": run_grouped(sgd, 0.1, lr=0.05),
        "sgd_momentum": run_grouped(sgd, 0.1, lr=0.05, momentum=0.9),
        "sgd_dampening": run_grouped(sgd, 0.1, lr=0.05, momentum=0.8, dampening=0.25),
        "sgd_nesterov": run_grouped(sgd, 0.1, lr=0.05, momentum=0.9, nesterov=True),
        "adamw": run_grouped(torch.optim.AdamW, 0.1, lr=0.01, betas=(0.9, 0.95)),
        "lion": run_grouped(Lion, 0.1, lr=0.01, betas=(0.9, 0.99)),
        "adan": run_rule(Adan({}, 0.01, (0.98, 0.92, 0.99), 1e-8, decay, True)),
        "adan_no_prox": run_rule(Adan({}, 0.01, (0.98, 0.92, 0.99), 1e-8, decay, False)),
        "sophia": run_rule(Sophia(0.01, (0.965, 0.99), 0.04, decay)),
        "adafactor": run_grouped(adafactor, 0.1, **fixed),
        "adafactor_beta1": run_grouped(adafactor, 0.1, beta1=0.9, **fixed),
        "adafactor_relative": run_grouped(adafactor, 0.1, relative_step=True, warmup_init=False),
        "muon": run_muon("original"),
        "muon_adamw": run_muon("match_rms_adamw"),
        "lomo": run_rule(Lomo(0.05, 0.25, decay)),
        "adalomo": run_rule(AdaLomo(0.05, 0.25, decay)),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="compare instead of writing")
    torch.set_num_threads(1)
    tensors = {f"{case}/{name}": value.to(torch.float32).contiguous()
               for case, values in cases().items() for name, value in values.items()}
    path = pathlib.Path(__file__).resolve().with_name("optimizers.safetensors")
    made = save(tensors)
    if parser.parse_args().check:
        if path.read_bytes() != made:
            sys.exit(f"make_optimizers: {path} differs")
        print("1 file is byte-identical")
        return
    path.write_bytes(made)
    print(f"{len(tensors)} tensors, {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
