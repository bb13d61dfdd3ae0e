#!/usr/bin/env python3
"""Makes sophia/: a whole run of Sophia-G (Liu et al. 2023, Algorithms 2 and 3) in float64.

Usage:
  make_sophia_run.py            writes into the folder sophia/ beside this script
  make_sophia_run.py --check    recomputes and compares with what is there

The model is a small Llama whose float64 forward is written out here and compared with transformers'
float32 one. The data are those of tests/sim/tiny_grid.hpp, with one document a row. Labels of the
estimates are drawn as kernels/label_sample.hpp says, with Philox in Python integers, noise in
float64. Written: initial/, final/, hessian/ (model.safetensors each, float32) and run.json (the mean
loss and the gradient's norm of each step). Needs torch, transformers, safetensors.
"""

import argparse
import json
import math
import pathlib
import sys

import numpy
import torch
from safetensors.torch import load_file, save_file
from transformers import LlamaConfig, LlamaForCausalLM

FOLDER = pathlib.Path(__file__).resolve().parent / "sophia"
VOCABULARY, HIDDEN, INNER, LAYERS, HEADS, GROUPS, SEQUENCE, ROWS = 37, 16, 24, 2, 4, 2, 8, 4
STEPS, INTERVAL, SEED, EPSILON = 24, 3, 23, 1e-5
RATE, BETA1, BETA2, RHO, DECAY, CLIP = 1e-2, 0.965, 0.99, 10.0, 0.1, 0.5
DOMAIN, IGNORED = 0x6C6162656C736D70, -100
MASK32, MASK64 = 2**32 - 1, 2**64 - 1


def row_of(step, row):
    state = ((step * 1000 + row) * 0x9E3779B97F4A7C15 + 1) & MASK64
    ids, labels = [], []
    for token in range(SEQUENCE):
        state = (state * 6364136223846793005 + 1442695040888963407) & MASK64
        ids.append((state >> 33) % 37)
        labels.append(IGNORED if (row + token) % 5 == 0 else (ids[-1] * 7 + 3) % 37)
    return ids, labels


def batch_of(step):
    rows = [row_of(step, row) for row in range(ROWS)]
    return torch.tensor([r[0] for r in rows]), torch.tensor([r[1] for r in rows])


def philox(counter, key):
    c, k = list(counter), list(key)
    for _ in range(10):
        first, second = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [(second >> 32) ^ c[1] ^ k[0], second & MASK32, (first >> 32) ^ c[3] ^ k[1], first & MASK32]
        k = [(k[0] + 0x9E3779B9) & MASK32, (k[1] + 0xBB67AE85) & MASK32]
    return c


def drawn_labels(logits, labels, step):
    """In place of those that are not ignored; the smallest lead of a best over a second best too."""
    seed, drawn, lead = SEED ^ DOMAIN, labels.clone(), math.inf
    key = (seed & MASK32, seed >> 32)
    for row in range(ROWS):
        for position in range(SEQUENCE):
            if labels[row, position] < 0:
                continue
            token = (step * 1000 + row) * SEQUENCE + position
            words = []
            for call in range((VOCABULARY + 3) // 4):
                words += philox((call, token & MASK32, token >> 32, step), key)
            u = (numpy.array(words[:VOCABULARY]) // 2 + 0.5) * 2.0**-31
            scores = logits[row, position].numpy() - numpy.log(-numpy.log1p(-u))
            order = numpy.argsort(scores)
            drawn[row, position] = int(order[-1])
            lead = min(lead, scores[order[-1]] - scores[order[-2]])
    return drawn, lead


def norm(x, gain):
    return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + EPSILON) * gain


def rotate(x):
    half = x.shape[-1] // 2
    rates = 10000.0 ** (-torch.arange(half, dtype=x.dtype) / half)
    angle = torch.arange(SEQUENCE, dtype=x.dtype)[:, None] * rates
    one, two = x[..., :half], x[..., half:]
    return torch.cat([one * angle.cos() - two * angle.sin(), two * angle.cos() + one * angle.sin()], -1)


def heads_of(x, count):
    return x.view(ROWS, SEQUENCE, count, -1).transpose(1, 2)


def forward(p, ids):
    x = p["model.embed_tokens.weight"][ids]
    causal = torch.full((SEQUENCE, SEQUENCE), -math.inf, dtype=x.dtype).triu(1)
    for layer in range(LAYERS):
        w = {k.split(f"layers.{layer}.")[1]: v for k, v in p.items() if f"layers.{layer}." in k}
        n = norm(x, w["input_layernorm.weight"])
        q = rotate(heads_of(n @ w["self_attn.q_proj.weight"].T, HEADS))
        k = rotate(heads_of(n @ w["self_attn.k_proj.weight"].T, GROUPS))
        v = heads_of(n @ w["self_attn.v_proj.weight"].T, GROUPS)
        k, v = (t.repeat_interleave(HEADS // GROUPS, 1) for t in (k, v))
        mixed = torch.softmax(q @ k.mT / math.sqrt(HIDDEN // HEADS) + causal, -1) @ v
        mixed = mixed.transpose(1, 2).reshape(ROWS, SEQUENCE, HIDDEN)
        x = x + mixed @ w["self_attn.o_proj.weight"].T
        n = norm(x, w["post_attention_layernorm.weight"])
        gate, up = n @ w["mlp.gate_proj.weight"].T, n @ w["mlp.up_proj.weight"].T
        x = x + (torch.nn.functional.silu(gate) * up) @ w["mlp.down_proj.weight"].T
    return norm(x, p["model.norm.weight"]) @ p["lm_head.weight"].T


def gradients(p, ids, labels_of_logits):
    """Of the mean loss over the labels that count; with the loss and their number."""
    leaves = {name: value.clone().requires_grad_() for name, value in p.items()}
    logits = forward(leaves, ids)
    labels = labels_of_logits(logits.detach())
    loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), labels.flatten(),
                                             ignore_index=IGNORED)
    found = torch.autograd.grad(loss, list(leaves.values()))
    return dict(zip(leaves, found)), float(loss.detach()), int((labels != IGNORED).sum())


def train(p):
    """Algorithm 3, step t from 1: the estimate where t mod k = 1, and then the update."""
    m = {name: torch.zeros_like(value) for name, value in p.items()}
    h = {name: torch.zeros_like(value) for name, value in p.items()}
    losses, norms, leads, below = [], [], [], 0
    for step in range(STEPS):
        ids, labels = batch_of(step)
        if step % INTERVAL == 0:
            def draw(logits):
                drawn, lead = drawn_labels(logits, labels, step)
                leads.append(lead)
                return drawn
            estimate, _, count = gradients(p, ids, draw)
            for name, g in estimate.items():
                h[name] = BETA2 * h[name] + (1 - BETA2) * count * g * g
        found, loss, _ = gradients(p, ids, lambda _: labels)
        total = math.sqrt(sum(float((g * g).sum()) for g in found.values()))
        scale = min(1.0, CLIP / (total + 1e-6)) if total > CLIP else 1.0
        losses.append(loss)
        norms.append(total)
        for name, g in found.items():
            m[name] = BETA1 * m[name] + (1 - BETA1) * scale * g
            ratio = m[name].abs() / (RHO * h[name] + 1e-15)
            below += int((ratio < 1).sum())
            decay = DECAY if p[name].dim() == 2 else 0.0
            p[name] = p[name] * (1 - RATE * decay) - RATE * m[name].sign() * ratio.clamp(max=1.0)
    share = below / STEPS / sum(value.numel() for value in p.values())
    print(f"loss {losses[0]:.6f} to {losses[-1]:.6f}; smallest lead of a draw {min(leads):.1e}; "
          f"{100 * share:.0f} % of updates are scaled by curvature")
    assert min(leads) > 1e-4, "float32 logits may draw another label: choose another SEED"
    return h, {"losses": losses, "norms": norms}


def initial_model():
    torch.manual_seed(5)
    config = LlamaConfig(vocab_size=VOCABULARY, hidden_size=HIDDEN, intermediate_size=INNER,
                         num_hidden_layers=LAYERS, num_attention_heads=HEADS,
                         num_key_value_heads=GROUPS, max_position_embeddings=16,
                         rms_norm_eps=EPSILON, initializer_range=0.2, tie_word_embeddings=False)
    model = LlamaForCausalLM(config)
    with torch.no_grad():
        for name, value in model.named_parameters():
            if "norm" in name:
                value.normal_(1.0, 0.1)
        ids, _ = batch_of(0)
        values = {name: value.detach().clone() for name, value in model.named_parameters()}
        ours = forward({name: value.double() for name, value in values.items()}, ids)
        worst = float((model(ids).logits - ours).abs().max() / ours.abs().max())
    print(f"transformers' float32 logits differ by {worst:.1e}")
    assert worst < 1e-5
    return values


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="compare instead of writing")
    torch.set_num_threads(1)
    initial = initial_model()
    final = {name: value.double() for name, value in initial.items()}
    hessian, run = train(final)
    models = {"initial": initial, "final": final, "hessian": hessian}
    check = parser.parse_args().check
    for name, tensors in models.items():
        path = FOLDER / name / "model.safetensors"
        tensors = {key: value.float().contiguous() for key, value in tensors.items()}
        if check:
            for key, value in load_file(path).items():
                if not torch.allclose(value, tensors[key], rtol=1e-6, atol=1e-9):
                    sys.exit(f"make_sophia_run: {path}: {key} differs")
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file(tensors, path)
        path.chmod(0o644)
    if not check:
        (FOLDER / "run.json").write_text(json.dumps(run, indent=1) + "\n")
    elif not numpy.allclose(json.loads((FOLDER / "run.json").read_text())["losses"], run["losses"],
                            rtol=1e-9):
        sys.exit("make_sophia_run: the losses differ")


if __name__ == "__main__":
    main()
