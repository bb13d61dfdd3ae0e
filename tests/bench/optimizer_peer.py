#!/usr/bin/env python3
"""The optimizer steps of optimizer_bench with PyTorch and packages on PyPI, float32.

  optimizer_peer.py [--threads N] [--repeats N] [--parameters MILLIONS] [--only NAME...]

The same matrices and rules as there; where a rule has several implementations, each is a case:
torch.optim fused and foreach, and of lion-pytorch, pytorch-optimizer, adan-pytorch and sophia-opt
what is installed. Prints one JSON line a case. Starts itself again with the environment of
peer_environment.py. torch.optim.Muon iterates in bfloat16, optimizer_bench in float32.
"""

import argparse
import json
import statistics
import sys
import time

from peer_environment import restart_tuned

MUON_SHAPES = [(1024, 1024)] * 4 + [(2816, 1024)] * 2 + [(1024, 2816)]


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--parameters", type=float, default=67.2, help="millions")
    parser.add_argument("--only", nargs="+", help="these optimizers alone")
    return parser.parse_args()


def makers(torch):
    """(optimizer, implementation, function of the parameters)."""
    optim = torch.optim
    for kind in ("fused", "foreach"):
        how = {kind: True}
        yield "lomo", f"SGD {kind}", lambda p, how=how: optim.SGD(p, lr=1e-4, **how)
        yield "sgd", f"SGD {kind}", lambda p, how=how: optim.SGD(p, lr=1e-4, momentum=0.9, **how)
        yield "adamw", f"AdamW {kind}", lambda p, how=how: optim.AdamW(p, lr=1e-4, **how)
    yield "lion", "lion-pytorch", lambda p: imported("lion_pytorch").Lion(p, lr=1e-4)
    for name in ("Lion", "Adan"):
        yield name.lower(), "pytorch-optimizer foreach", lambda p, name=name: getattr(
            imported("pytorch_optimizer"), name)(p, lr=1e-4, foreach=True)
    yield "adan", "adan-pytorch", lambda p: imported("adan_pytorch").Adan(p, lr=1e-4)
    yield "sophia", "sophia-opt", lambda p: imported("sophia_opt").SophiaG(p, lr=1e-4)
    for foreach in (True, False):
        yield ("adafactor", "Adafactor foreach" if foreach else "Adafactor",
               lambda p, foreach=foreach: optim.Adafactor(p, lr=1e-4, foreach=foreach))
    yield "muon", "Muon (bfloat16)", lambda p: optim.Muon(p, lr=1e-4)


def imported(module):
    return __import__(module)


def parameters_of(torch, name, millions):
    side = int((millions * 1e6 / 4) ** 0.5) // 64 * 64
    shapes = MUON_SHAPES if name == "muon" else [(side, side)] * 4
    torch.manual_seed(1)
    parameters = [torch.nn.Parameter(0.02 * torch.randn(shape)) for shape in shapes]
    for parameter in parameters:
        parameter.grad = torch.empty_like(parameter).uniform_(-0.01, 0.01)
    return parameters


def measure(torch, args, name, kind, make):
    parameters = parameters_of(torch, name, args.parameters)
    optimizer = make(parameters)
    repeats = min(args.repeats, 5) if name == "muon" else args.repeats
    seconds = []
    for _ in range(repeats + 2):
        begin = time.perf_counter()
        optimizer.step()
        seconds.append(time.perf_counter() - begin)
    return dict(mode="optimizer", peer="torch", optimizer=name, implementation=kind,
                torch_version=torch.__version__, dtype="float32", threads=args.threads,
                parameters=sum(p.numel() for p in parameters),
                step_ms_median=1e3 * statistics.median(seconds[2:]))


def main():
    args = parse_arguments()
    restart_tuned(args.threads)
    import torch
    torch.set_num_threads(args.threads)
    for name, kind, make in makers(torch):
        if args.only and name not in args.only:
            continue
        try:
            line = measure(torch, args, name, kind, make)
        except (AttributeError, ImportError, RuntimeError, TypeError) as error:
            print(f"optimizer_peer: left out: {name} of {kind}: {error}", file=sys.stderr)
            continue
        print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
