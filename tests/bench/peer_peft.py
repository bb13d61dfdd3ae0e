#!/usr/bin/env python3
"""One LoRA training step of PEFT on PyTorch, measured as peer_torch.py does: synthetic tokens, AdamW
on the adapters, their norm clipped to 1.

  peer_peft.py --body plain --weights pure --dtype bfloat16 --threads 2 [--compile] [--targets all]

--body stock is GPT-2 of transformers with its own attention choice ("sdpa"), plain the model of
peer_models.py with fused products and the blocked cross-entropy. --targets attention adapts q, k and
v (PEFT's own choice for GPT-2), all every linear layer of the blocks. What bfloat16 means:

  autocast  float32 weights, cast as they are used
  mixed     frozen weights in bfloat16, float32 adapters, autocast (PEFT's default)
  pure      everything in bfloat16

--eval measures a forward in eval mode without gradients, loss included, and --forward the forward of
the training step alone.
"""

import argparse
import contextlib
import dataclasses
import json
import os
import resource
import statistics
import sys
import time

from peer_environment import restart_tuned
from peer_torch import blas_in_use, peak_since_reset, reset_peak

RANK, ALPHA = 8, 16
TARGETS = {("stock", "attention"): ["c_attn"], ("stock", "all"): ["c_attn", "c_proj", "c_fc"],
           ("plain", "attention"): ["qkv"], ("plain", "all"): ["qkv", "out", "up", "down"]}


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", choices=("gpt2_124m",), default="gpt2_124m")
    parser.add_argument("--body", choices=("stock", "plain"), default="plain")
    parser.add_argument("--targets", choices=("attention", "all"), default="attention")
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--weights", choices=("autocast", "mixed", "pure"), default="autocast")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--steps", type=int, default=10, help="timed steps")
    parser.add_argument("--warmup", type=int, default=3)
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--eval", action="store_true")
    parser.add_argument("--forward", action="store_true")
    parser.add_argument("--untuned", action="store_true")
    return parser.parse_args()


def stock_model(shape):
    from transformers import GPT2Config, GPT2LMHeadModel
    config = GPT2Config(vocab_size=shape.vocab, n_embd=shape.hidden, n_layer=shape.layers,
                        n_head=shape.heads, resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0,
                        use_cache=False, attn_implementation="sdpa")
    return GPT2LMHeadModel(config)


def make_model(torch, args, shape):
    import peft
    from peer_models import Decoder
    stock = args.body == "stock"
    model = stock_model(shape) if stock else Decoder(shape, "plain" if args.compile else "blocked")
    if args.dtype == "bfloat16" and args.weights != "autocast":
        model.to(torch.bfloat16)
    config = peft.LoraConfig(r=RANK, lora_alpha=ALPHA, lora_dropout=0.0, fan_in_fan_out=stock,
                             target_modules=TARGETS[args.body, args.targets])
    return peft.get_peft_model(model, config, autocast_adapter_dtype=args.weights != "pure")


def make_step(torch, model, args):
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=3e-4, betas=(0.9, 0.95), weight_decay=0.1, fused=True)
    forward = torch.compile(model) if args.compile else model
    autocast = args.dtype == "bfloat16" and args.weights != "pure"

    def loss_of(ids, labels):
        with torch.autocast("cpu", torch.bfloat16) if autocast else contextlib.nullcontext():
            if args.body == "plain":
                return forward(ids, labels)
            return forward(input_ids=ids, labels=labels).loss

    def evaluate(ids, labels):
        with torch.inference_mode():
            return loss_of(ids, labels)

    def step(ids, labels):
        loss = loss_of(ids, labels)
        if args.forward:
            return loss.detach()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return loss.detach()

    return evaluate if args.eval else step


def measure(torch, args, shape):
    torch.manual_seed(1)
    model = make_model(torch, args, shape)
    model.train(not args.eval)
    step = make_step(torch, model, args)
    ids = torch.randint(shape.vocab, (shape.batch, shape.sequence + 1))
    inputs, labels = ids[:, :-1].contiguous(), ids[:, 1:].contiguous()
    for _ in range(args.warmup):
        loss = step(inputs, labels).item()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    can_reset, seconds, processor = reset_peak(), [], []
    for _ in range(args.steps):
        begin, used = time.perf_counter(), time.process_time()
        loss = step(inputs, labels).item()
        seconds.append(time.perf_counter() - begin)
        processor.append(time.process_time() - used)
    steady = peak_since_reset() if can_reset else 0
    return dict(seconds=seconds, processor=processor, loss=loss, steady=steady,
                peak=max(before, steady),
                trained=sum(p.numel() for p in model.parameters() if p.requires_grad))


def main():
    args = parse_arguments()
    if not args.untuned:
        restart_tuned(args.threads)
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    import peft
    import torch
    from peer_models import MODELS
    torch.set_num_threads(args.threads)
    shape = dataclasses.replace(MODELS[args.model])
    result = measure(torch, args, shape)
    tokens, seconds = shape.batch * shape.sequence, result["seconds"]
    mode = "eval" if args.eval else "forward" if args.forward else "lora"
    print(json.dumps(dict(
        peer=f"peft-{args.body}" + ("-compile" if args.compile else ""), mode=mode,
        peft_version=peft.__version__, torch_version=torch.__version__, model=args.model,
        dtype=args.dtype, weights=args.weights if args.dtype == "bfloat16" else "float32",
        targets=args.targets, threads=args.threads, batch=shape.batch, seq=shape.sequence,
        tokens_per_s_median=round(tokens / statistics.median(seconds), 1),
        tokens_per_s_best=round(tokens / min(seconds), 1), peak_rss_bytes=result["peak"],
        steady_peak_rss_bytes=result["steady"],
        step_ms_median=round(1e3 * statistics.median(seconds), 3),
        step_ms_best=round(1e3 * min(seconds), 3),
        processor_ms_median=round(1e3 * statistics.median(result["processor"]), 3),
        loss=result["loss"], steps=args.steps,
        trained_parameters=result["trained"], blas=blas_in_use(), tuned=not args.untuned)),
          flush=True)


if __name__ == "__main__":
    sys.exit(main())
