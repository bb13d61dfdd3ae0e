#!/usr/bin/env python3
"""Makes the model goldens: tiny random Hugging Face models and what PyTorch says about them.

Usage:
  make_model_goldens.py            writes into the folder of this script
  make_model_goldens.py --check    regenerates into a temporary folder and compares every byte

Needs torch, transformers and safetensors (versions in README.md). Everything is computed in
float32 with eager attention on one thread; the seeds are fixed, so two runs on one machine give
identical bytes. README.md describes every file and tensor.
"""

import argparse
import filecmp
import json
import math
import os
import pathlib
import sys
import tempfile

import torch
import torch.nn.functional as F
import transformers
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModelForCausalLM

VOCAB, LAYERS, HEADS, MAX_POSITION = 96, 3, 4, 64
BATCH, SEQUENCE, PROMPT, NEW_TOKENS = 2, 16, 5, 12
DOCUMENT_LENGTHS = (7, 4, 10)
EOS = 2
MIN_MARGIN = 1e-3

COMMON = dict(vocab_size=VOCAB, num_hidden_layers=LAYERS, num_attention_heads=HEADS,
              max_position_embeddings=MAX_POSITION, bos_token_id=1, eos_token_id=EOS,
              hidden_size=32, intermediate_size=64, tie_word_embeddings=False)
# With head_dim 8 and theta 200 the wavelengths are 6.3, 23.6, 88.9 and 334: one below, one
# between and two above the thresholds 8 and 32, so every branch of the scaling is used.
LLAMA3_ROPE = dict(rope_type="llama3", rope_theta=200.0, factor=4.0, low_freq_factor=1.0,
                   high_freq_factor=4.0, original_max_position_embeddings=32)


def rope(theta):
    return dict(rope_type="default", rope_theta=theta)


# name: (model_type, seed, config)
FAMILIES = {
    "llama2": ("llama", 11, dict(num_key_value_heads=4, rms_norm_eps=1e-5,
                                 rope_parameters=rope(10000.0))),
    "llama3": ("llama", 12, dict(num_key_value_heads=2, rms_norm_eps=1e-5,
                                 rope_parameters=LLAMA3_ROPE)),
    "llama3_tied": ("llama", 13, dict(num_key_value_heads=2, rms_norm_eps=1e-5,
                                      num_hidden_layers=2, tie_word_embeddings=True,
                                      rope_parameters=LLAMA3_ROPE)),
    "mistral": ("mistral", 14, dict(num_key_value_heads=2, rms_norm_eps=1e-5, sliding_window=None,
                                    rope_parameters=rope(1000000.0))),
    "qwen2": ("qwen2", 15, dict(num_key_value_heads=2, rms_norm_eps=1e-6, hidden_size=40,
                                intermediate_size=48, tie_word_embeddings=True,
                                rope_parameters=rope(1000000.0))),
    "qwen3": ("qwen3", 16, dict(num_key_value_heads=1, rms_norm_eps=1e-6, head_dim=12,
                                rope_parameters=rope(1000000.0))),
    "gpt2": ("gpt2", 17, dict(n_embd=32, n_layer=LAYERS, n_head=HEADS, n_positions=MAX_POSITION,
                              n_inner=64, resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0,
                              activation_function="gelu_new", tie_word_embeddings=True)),
}


def make_config(name):
    model_type, _, own = FAMILIES[name]
    if model_type == "gpt2":
        common = {key: COMMON[key] for key in ("vocab_size", "bos_token_id", "eos_token_id")}
    else:
        common = COMMON
    return AutoConfig.for_model(model_type, **{**common, **own})


def randomize(model, generator):
    """Random values everywhere, norms and biases too, at scales which keep activations near 1."""
    tied = model.config.tie_word_embeddings
    for name, parameter in model.named_parameters():
        noise = torch.randn(parameter.shape, generator=generator)
        if name.endswith(("embed_tokens.weight", "wte.weight", "wpe.weight")):
            value = noise * (0.4 if tied else 0.8)
        elif name.endswith("bias"):
            value = noise * 0.2
        elif parameter.dim() == 1:
            value = 1.0 + 0.3 * noise
        else:
            is_conv1d = model.config.model_type == "gpt2"
            fan_in = parameter.shape[0] if is_conv1d else parameter.shape[1]
            gain = 1.5 if name.startswith("lm_head") else 1.2
            value = noise * gain / math.sqrt(fan_in)
        parameter.data.copy_(value)


def make_model(name):
    _, seed, _ = FAMILIES[name]
    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_config(make_config(name), attn_implementation="eager",
                                             dtype=torch.float32)
    generator = torch.Generator().manual_seed(seed)
    randomize(model, generator)
    return model.eval(), generator


def random_ids(generator, *shape):
    return torch.randint(3, VOCAB, shape, generator=generator)


def shift_labels(labels):
    """The target of position s is the label of s + 1; the last position has none."""
    return F.pad(labels, (0, 1), value=-100)[:, 1:].contiguous()


def gradients(model):
    return {f"grad/{name}": p.grad.detach().clone() for name, p in model.named_parameters()}


def batch_golden(model, generator):
    input_ids = random_ids(generator, BATCH, SEQUENCE)
    unshifted = input_ids.clone()
    unshifted[0, :4] = -100  # A prompt whose tokens carry no loss.
    unshifted[1, 9] = -100
    unshifted[1, 13:] = -100  # A padded tail.
    labels = shift_labels(unshifted)
    model.zero_grad(set_to_none=True)
    output = model(input_ids=input_ids, labels=unshifted, use_cache=False)
    by_hand = F.cross_entropy(output.logits.view(-1, VOCAB), labels.view(-1))
    require(torch.allclose(output.loss, by_hand, rtol=1e-6), "shifted labels give another loss")
    output.loss.backward()
    return dict(input_ids=input_ids, labels=labels, logits=output.logits.detach(),
                loss=output.loss.detach().reshape(1), **gradients(model))


def packed_golden(model, generator):
    """Each document is run alone; the row's loss is the sum over tokens by the valid tokens."""
    documents = [random_ids(generator, 1, length) for length in DOCUMENT_LENGTHS]
    labels = [shift_labels(ids) for ids in documents]
    labels[1][0, 1] = -100
    valid = sum(int((part != -100).sum()) for part in labels)
    model.zero_grad(set_to_none=True)
    logits, loss = [], 0.0
    for ids, targets in zip(documents, labels):
        logits.append(model(input_ids=ids, use_cache=False).logits)
        loss = loss + F.cross_entropy(logits[-1][0], targets[0], reduction="sum")
    loss = loss / valid
    loss.backward()
    golden = dict(input_ids=torch.cat(documents, 1), labels=torch.cat(labels, 1),
                  position_ids=torch.cat([torch.arange(n) for n in DOCUMENT_LENGTHS])[None],
                  document_lengths=torch.tensor(DOCUMENT_LENGTHS), loss=loss.detach().reshape(1),
                  logits=torch.cat(logits, 1).detach(), **gradients(model))
    check_packed_with_mask(model, golden)
    return golden


def check_packed_with_mask(model, golden):
    """One row with an explicit block-diagonal mask must agree with the separate documents."""
    document = torch.repeat_interleave(torch.arange(len(DOCUMENT_LENGTHS)),
                                       torch.tensor(DOCUMENT_LENGTHS))
    allowed = (document[:, None] == document[None, :]).tril()
    mask = torch.where(allowed, 0.0, torch.finfo(torch.float32).min)[None, None]
    with torch.no_grad():
        output = model(input_ids=golden["input_ids"], position_ids=golden["position_ids"],
                       attention_mask=mask, use_cache=False)
    error = (output.logits - golden["logits"]).abs().max().item()
    require(error < 1e-4, f"packed row and separate documents differ by {error}")


@torch.no_grad()
def greedy_golden(model, generator):
    """Takes the first random prompt whose greedy path is unambiguous and meets no end token."""
    for _ in range(1000):
        prompt = random_ids(generator, 1, PROMPT)
        ids, margin = prompt, math.inf
        for _ in range(NEW_TOKENS):
            best = model(input_ids=ids, use_cache=False).logits[0, -1].topk(2)
            margin = min(margin, (best.values[0] - best.values[1]).item())
            ids = torch.cat([ids, best.indices[:1][None]], 1)
        greedy = ids[0, PROMPT:]
        if margin > MIN_MARGIN and EOS not in greedy and len(greedy.unique()) >= 5:
            break
    else:
        require(False, "no prompt with clear margins")
    generated = model.generate(prompt, attention_mask=torch.ones_like(prompt), do_sample=False,
                               max_new_tokens=NEW_TOKENS, pad_token_id=0)
    require(torch.equal(generated[0, PROMPT:], greedy), "generate() disagrees with the loop")
    return dict(prompt=prompt[0].clone(), greedy=greedy.clone()), margin


def require(condition, message):
    if not condition:
        sys.exit(f"make_model_goldens: {message}")


def rewrite_config_as_transformers_4(folder):
    """Most published models carry this older layout: rope_theta, rope_scaling, torch_dtype."""
    path = folder / "config.json"
    config = json.loads(path.read_text())
    scaling = config.pop("rope_parameters")
    config["rope_theta"] = scaling.pop("rope_theta")
    config["rope_scaling"] = scaling
    config["torch_dtype"] = config.pop("dtype")
    path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")


def check_reload(folder, golden):
    model, info = AutoModelForCausalLM.from_pretrained(
        folder, attn_implementation="eager", dtype=torch.float32, output_loading_info=True)
    require(not any(info[key] for key in ("missing_keys", "unexpected_keys", "mismatched_keys")),
            f"{folder.name}: keys do not match after reloading: {info}")
    with torch.no_grad():
        logits = model.eval()(input_ids=golden["input_ids"], use_cache=False).logits
    require(torch.equal(logits, golden["logits"]), f"{folder.name}: reloading changes the logits")


def worst_relative_error_of_float64(model, golden):
    """How far float32 is from the same graph in float64 (its norms stay float32 inside)."""
    exact = AutoModelForCausalLM.from_config(model.config, attn_implementation="eager",
                                             dtype=torch.float64)
    exact.load_state_dict(model.state_dict())
    logits = exact.eval()(input_ids=golden["input_ids"], use_cache=False).logits
    F.cross_entropy(logits.view(-1, VOCAB), golden["labels"].view(-1)).backward()
    return max(((p.grad - golden[f"grad/{name}"].double()).norm() / p.grad.norm()).item()
               for name, p in exact.named_parameters())


def write_half_precision_variants(model, out):
    for name, dtype in (("bf16", torch.bfloat16), ("f16", torch.float16)):
        folder = out / f"llama2_{name}"
        copy = make_model("llama2")[0]
        copy.load_state_dict(model.state_dict())
        copy.to(dtype).save_pretrained(folder)
        (folder / "generation_config.json").unlink()
        stored = load_file(folder / "model.safetensors")
        for key, value in model.state_dict().items():
            require(torch.equal(stored[key], value.to(dtype)), f"{folder.name}: {key} not rounded")


def write_family(name, out):
    model, generator = make_model(name)
    folder = out / name
    model.save_pretrained(folder, max_shard_size="60KB" if name == "llama3" else "1GB")
    if name == "llama3_tied":
        rewrite_config_as_transformers_4(folder)
    golden = batch_golden(model, generator)
    float64_error = worst_relative_error_of_float64(model, golden)
    greedy, margin = greedy_golden(model, generator)
    save_file({**golden, **greedy}, folder / "golden.safetensors")
    if name in ("llama3", "gpt2"):
        save_file(packed_golden(model, generator), folder / "packed.safetensors")
    if name == "llama2":
        write_half_precision_variants(model, out)
    check_reload(folder, golden)
    print(f"{name:12s} loss {golden['loss'].item():.6f}  logits std "
          f"{golden['logits'].std().item():.3f}  smallest gradient norm "
          f"{min(g.norm().item() for k, g in golden.items() if k.startswith('grad/')):.2e}  "
          f"float32 against float64 gradients {float64_error:.1e}  greedy margin {margin:.4f}")


def write_all(out):
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    for name in FAMILIES:
        write_family(name, out)
    for path in data_files(out):
        (out / path).chmod(0o644)


def data_files(folder):
    return sorted(p.relative_to(folder) for p in folder.glob("*/*")
                  if p.suffix in (".json", ".safetensors") and p.parent.name != "optimizer"
                  and p.name != "bf16.safetensors")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="compare instead of writing")
    here = pathlib.Path(__file__).resolve().parent
    if not parser.parse_args().check:
        write_all(here)
        return
    with tempfile.TemporaryDirectory() as temporary:
        fresh = pathlib.Path(temporary)
        write_all(fresh)
        require(data_files(fresh) == data_files(here), "the lists of files differ")
        changed = [str(p) for p in data_files(here)
                   if not filecmp.cmp(fresh / p, here / p, shallow=False)]
        require(not changed, "these files differ: " + ", ".join(changed))
        print(f"{len(data_files(here))} files are byte-identical")


if __name__ == "__main__":
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    main()
