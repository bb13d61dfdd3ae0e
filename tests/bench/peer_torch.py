#!/usr/bin/env python3
"""One PyTorch training step, measured fairly: synthetic tokens, AdamW, global norm clipped to 1.

  peer_torch.py --model llama_23m --dtype bfloat16 --threads 2 [--compile] [--head blocked]

Runs on torch 1.13 and on the newest one. Prints one JSON line. What a careful user would tune is
tuned: the script starts itself again with the environment of peer_environment.py (--untuned: leaves
it as it is). Weights are float32; bfloat16 means autocast. The optimizer is fused where torch
offers that on a CPU. See run for the whole table.

A step is: forward, backward, clipping, optimizer, gradients dropped. tokens_per_s_median and _best
are of the timed steps; peak_rss_bytes is the peak of the whole process, compilation included,
steady_peak_rss_bytes the peak during the timed steps only (0 where the kernel cannot tell).
"""

import argparse
import json
import os
import resource
import statistics
import sys
import time

from peer_environment import restart_tuned

DTYPES = ("float32", "bfloat16")
MODEL_NAMES = ("llama_23m", "llama_12m", "gpt2_124m")


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", choices=MODEL_NAMES, default="llama_23m")
    parser.add_argument("--dtype", choices=DTYPES, default="float32")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--batch", type=int, help="default: the model's")
    parser.add_argument("--seq", type=int, help="default: the model's")
    parser.add_argument("--steps", type=int, default=10, help="timed steps")
    parser.add_argument("--warmup", type=int, default=3)
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--head", choices=("auto", "plain", "blocked", "chunked"), default="auto",
                        help="cross-entropy: torch's own, in cache-sized blocks, torch's chunked")
    parser.add_argument("--peer", help="name printed in the line")
    parser.add_argument("--untuned", action="store_true")
    parser.add_argument("--profile", action="store_true", help="print torch's profile to stderr")
    return parser.parse_args()


def make_optimizer(torch, model):
    """AdamW with the best implementation there is; norms and biases are not decayed."""
    groups = [dict(params=[p for p in model.parameters() if p.dim() >= 2], weight_decay=0.1),
              dict(params=[p for p in model.parameters() if p.dim() < 2], weight_decay=0.0)]
    settings = dict(lr=3e-4, betas=(0.9, 0.95), eps=1e-8)
    try:
        optimizer = torch.optim.AdamW(groups, fused=True, **settings)
        return optimizer, "fused"
    except (TypeError, RuntimeError):
        return torch.optim.AdamW(groups, foreach=True, **settings), "foreach"


def make_step(torch, model, args):
    optimizer, kind = make_optimizer(torch, model)
    parameters = list(model.parameters())
    forward = torch.compile(model) if args.compile else model
    clip = torch.nn.utils.clip_grad_norm_

    def step(ids, labels):
        with torch.autocast("cpu", torch.bfloat16, enabled=args.dtype == "bfloat16"):
            loss = forward(ids, labels)
        loss.backward()
        clip(parameters, 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return loss.detach()

    return step, kind


def reset_peak():
    try:
        with open("/proc/self/clear_refs", "w", encoding="ascii") as file:
            file.write("5")
        return True
    except OSError:
        return False


def peak_since_reset():
    with open("/proc/self/status", encoding="ascii") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith("VmHWM"))


def blas_in_use():
    with open("/proc/self/maps", encoding="utf-8", errors="replace") as maps:
        names = {os.path.basename(line.split()[-1]) for line in maps if ".so" in line}
    wanted = ("libopenblas", "libblis", "libmkl_core", "libblas")
    found = sorted(name for name in names if name.startswith(wanted))
    return ",".join(found) or "built in"


def measure(torch, args, shape):
    from peer_models import Decoder
    torch.manual_seed(1)
    model = Decoder(shape, args.head)
    step, optimizer = make_step(torch, model, args)
    ids = torch.randint(shape.vocab, (shape.batch, shape.sequence + 1))
    inputs, labels = ids[:, :-1].contiguous(), ids[:, 1:].contiguous()
    first_loss = step(inputs, labels).item()
    for _ in range(args.warmup - 1):
        step(inputs, labels)
    peak_before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    can_reset, seconds = reset_peak(), []
    for _ in range(args.steps):
        begin = time.perf_counter()
        loss = step(inputs, labels).item()
        seconds.append(time.perf_counter() - begin)
    steady = peak_since_reset() if can_reset else 0
    if args.profile:
        print_profile(torch, step, inputs, labels)
    return dict(optimizer=optimizer, first_loss=first_loss, loss=loss, seconds=seconds,
                peak=max(peak_before, steady,
                         resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024),
                steady=steady, parameters=sum(p.numel() for p in model.parameters()))


def print_profile(torch, step, inputs, labels):
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        step(inputs, labels)
    print(profile.key_averages().table(sort_by="self_cpu_time_total", row_limit=25),
          file=sys.stderr)


def report(torch, args, shape, result):
    tokens = shape.batch * shape.sequence
    median, best = statistics.median(result["seconds"]), min(result["seconds"])
    return dict(
        peer=args.peer or f"torch-{torch.__version__.split('+')[0]}"
        + ("-compile" if args.compile else "") + ("-untuned" if args.untuned else ""),
        torch_version=torch.__version__, model=args.model, dtype=args.dtype,
        threads=args.threads, batch=shape.batch, seq=shape.sequence, compile=args.compile,
        tokens_per_s_median=round(tokens / median, 1), tokens_per_s_best=round(tokens / best, 1),
        peak_rss_bytes=result["peak"], steady_peak_rss_bytes=result["steady"],
        step_ms_median=round(1e3 * median, 3), step_ms_best=round(1e3 * best, 3),
        loss=result["loss"], first_loss=result["first_loss"], steps=args.steps,
        parameters=result["parameters"], optimizer=result["optimizer"], head=args.head,
        attention="sdpa" if hasattr(torch.nn.functional, "scaled_dot_product_attention")
        else "baddbmm", blas=blas_in_use(), tuned=not args.untuned)


def main():
    args = parse_arguments()
    if not args.untuned:
        restart_tuned(args.threads)
    import dataclasses

    import torch
    from peer_models import HEADS, MODELS
    torch.set_num_threads(args.threads)
    if args.compile and not hasattr(torch, "compile"):
        sys.exit(f"peer_torch: torch {torch.__version__} has no torch.compile")
    if args.head == "auto":
        args.head = "plain" if args.compile else "blocked"
    if args.head not in HEADS:
        sys.exit(f"peer_torch: torch {torch.__version__} has no {args.head} cross-entropy")
    shape = MODELS[args.model]
    shape = dataclasses.replace(shape, batch=args.batch or shape.batch,
                                sequence=args.seq or shape.sequence)
    print(json.dumps(report(torch, args, shape, measure(torch, args, shape))), flush=True)


if __name__ == "__main__":
    main()
