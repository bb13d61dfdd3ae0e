#!/usr/bin/env python3
"""Makes the adapter goldens: PEFT adapters of the tiny models beside, and what PEFT says about them.

Usage:
  make_peft_goldens.py            writes into the folder of this script
  make_peft_goldens.py --check    recomputes and compares every byte

Each folder holds an adapter as PEFT's save_pretrained writes it and golden.safetensors: logits and
loss of the batch of ../models/<model>/golden.safetensors with the adapter, and grad/<name> of each
trained parameter under its name in adapter_model.safetensors. Where something is dropped in
training, gradients and train_loss are of training and the rest is not: every dropout module of
PEFT's and, in the folders dropout_*, of the model is replaced by one with the masks that
kernels/dropout.hpp defines, written anew here. For p-tuning, whose net PEFT does not
save, parameter/<name> are its weights. PEFT has no Houlsby adapters: theirs are computed in float64
by the paper's rule (Houlsby et al. 2019, figure 2) with hooks on the model. Needs torch, transformers, peft and
safetensors, and xxhash; float32, eager attention, one thread, fixed seeds.
"""

import argparse
import filecmp
import functools
import json
import os
import pathlib
import sys
import tempfile

import peft
import torch
import torch.nn.functional as F
import transformers
import xxhash
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

HERE = pathlib.Path(__file__).resolve().parent
MODELS = HERE.parent / "models"
ALL_LINEAR = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


# Of the masks, as the test has them.
SEED = 77
MODEL_DROPOUT = 0.15


def lora(**options):
    return peft.LoraConfig(task_type="CAUSAL_LM",
                           **{"r": 4, "lora_alpha": 8, "lora_dropout": 0.0, **options})


def ia3(**options):
    return peft.IA3Config(task_type="CAUSAL_LM", **options)


def virtual(config, **options):
    return config(task_type="CAUSAL_LM", num_virtual_tokens=3, **options)


# folder: (model, configuration)
CASES = {
    "lora_llama3": ("llama3", lora(target_modules=ALL_LINEAR)),
    "lora_llama2_saved": ("llama2", lora(target_modules=["q_proj", "down_proj"],
                                         modules_to_save=["lm_head", "norm"])),
    "lora_qwen3_rs": ("qwen3", lora(target_modules=["q_proj", "v_proj"], use_rslora=True, r=3)),
    "lora_qwen2_bias": ("qwen2", lora(target_modules=["k_proj", "o_proj"], bias="lora_only")),
    "lora_gpt2": ("gpt2", lora(target_modules=["c_attn", "c_fc", "c_proj"])),
    "dora_llama3": ("llama3", lora(target_modules=ALL_LINEAR, use_dora=True, r=2)),
    "dora_qwen2_bias": ("qwen2", lora(target_modules=["q_proj", "v_proj"], use_dora=True,
                                      bias="lora_only", r=3)),
    "dora_gpt2": ("gpt2", lora(target_modules=["c_attn", "c_proj"], use_dora=True, r=2)),
    "lora_llama3_dropout": ("llama3", lora(target_modules=ALL_LINEAR, lora_dropout=0.25, r=2)),
    "dora_llama3_dropout": ("llama3", lora(target_modules=ALL_LINEAR, use_dora=True, r=2,
                                           lora_dropout=0.2)),
    "dora_gpt2_dropout": ("gpt2", lora(target_modules=["c_attn", "c_proj"], use_dora=True, r=2,
                                       lora_dropout=0.2)),
    "lora_llama2_ends": ("llama2", lora(target_modules=["embed_tokens", "q_proj", "lm_head"],
                                        r=3, use_rslora=True)),
    "lora_llama2_ends_dropout": ("llama2", lora(target_modules=["embed_tokens", "lm_head"], r=2,
                                                lora_dropout=0.2)),
    "lora_qwen2_tied_ends": ("qwen2", lora(target_modules=["embed_tokens", "lm_head"], r=2)),
    "lora_qwen3_patterns": ("qwen3", lora(
        target_modules=["q_proj", "v_proj", "down_proj"], layers_to_transform=[0, 2],
        rank_pattern={"v_proj": 2, "layers.2.self_attn.q_proj": 5},
        alpha_pattern={"down_proj": 3}, exclude_modules=["layers.0.mlp.down_proj"],
        init_lora_weights="gaussian")),
    "lora_gpt2_patterns": ("gpt2", lora(target_modules="all-linear", r=2,
                                        rank_pattern={"mlp.c_proj": 3})),
    "dropout_gpt2": ("gpt2", lora(target_modules=["wte", "c_attn"], r=2, lora_dropout=0.1)),
    "dropout_llama3": ("llama3", lora(target_modules=["embed_tokens", "v_proj", "down_proj"],
                                      r=2)),
    "ia3_qwen2": ("qwen2", ia3()),
    "ia3_gpt2": ("gpt2", ia3()),
    "ia3_llama3_all": ("llama3", ia3(target_modules=["q_proj", "o_proj", "up_proj", "down_proj"],
                                     feedforward_modules=["o_proj"])),
    "prompt_llama2": ("llama2", virtual(peft.PromptTuningConfig)),
    "prompt_gpt2": ("gpt2", virtual(peft.PromptTuningConfig)),
    "p_tuning_llama3": ("llama3", virtual(peft.PromptEncoderConfig, encoder_hidden_size=24)),
    "prefix_qwen3": ("qwen3", virtual(peft.PrefixTuningConfig)),
    "prefix_gpt2": ("gpt2", virtual(peft.PrefixTuningConfig)),
    "houlsby_llama3": ("llama3", {"peft_type": "HOULSBY", "bottleneck": 5}),
    "houlsby_gpt2": ("gpt2", {"peft_type": "HOULSBY", "bottleneck": 4}),
}


def randomize(model, generator):
    """What starts at zero or one would hide half of the arithmetic."""
    for name, parameter in sorted(model.named_parameters()):
        if not parameter.requires_grad:
            continue
        noise = torch.randn(parameter.shape, generator=generator)
        if "lora_A" in name or "lora_B" in name:
            parameter.data.copy_(noise * 0.3 / parameter.shape[1] ** 0.5)
        else:
            parameter.data.add_(noise * 0.05)


def file_name(name):
    """As get_peft_model_state_dict names it."""
    name = name.replace("lora_magnitude_vector.default.weight", "lora_magnitude_vector")
    return name.replace(".modules_to_save.default", "").replace(".default", "")


def load_model(base, dtype):
    return AutoModelForCausalLM.from_pretrained(MODELS / base, attn_implementation="eager",
                                                dtype=dtype)


def loss_of(model, golden):
    """Logits of the real tokens; the virtual ones have no labels."""
    logits = model(input_ids=golden["input_ids"]).logits
    logits = logits[:, logits.shape[1] - golden["input_ids"].shape[1]:]
    return logits, F.cross_entropy(logits.reshape(-1, logits.shape[-1]), golden["labels"].view(-1))


PLACES = {"self_attn.q_proj": "attention.q", "self_attn.k_proj": "attention.q",
          "self_attn.v_proj": "attention.q", "self_attn.o_proj": "attention.o",
          "mlp.gate_proj": "mlp.gate", "mlp.up_proj": "mlp.gate", "mlp.down_proj": "mlp.down",
          "attn.c_attn": "attention.q", "attn.c_proj": "attention.o", "mlp.c_fc": "mlp.up",
          "mlp.c_proj": "mlp.down", "attn": "attention.dropout", "self_attn": "attention.dropout",
          "mlp": "mlp.dropout"}


def place_of(path):
    """What names the mask: "base_model.model.model.layers.1.mlp.up_proj" is "layers.1.mlp.gate"."""
    parts = path.split(".")
    if "lm_head" in parts:
        return "head"
    layer = next(i for i, part in enumerate(parts) if part.isdigit())
    return f"layers.{parts[layer]}.{PLACES['.'.join(parts[layer + 1:])]}"


def philox(counter, key):
    """Philox-4x32-10 (Salmon et al. 2011) of one counter: four words."""
    for _ in range(10):
        first, second = 0xD2511F53 * counter[0], 0xCD9E8D57 * counter[2]
        counter = ((second >> 32) ^ counter[1] ^ key[0], second & 0xFFFFFFFF,
                   (first >> 32) ^ counter[3] ^ key[1], first & 0xFFFFFFFF)
        key = ((key[0] + 0x9E3779B9) & 0xFFFFFFFF, (key[1] + 0xBB67AE85) & 0xFFFFFFFF)
    return counter


@functools.lru_cache(maxsize=None)
def mask(place, probability, rows, sequence, columns):
    """1 / (1 - probability) or 0: element i of the run draws 16 bits, eight of one Philox call."""
    stream = xxhash.xxh3_64_intdigest(place.encode())
    count = rows * sequence * columns
    words = []
    for call in range((count + 7) // 8):
        words += philox((call & 0xFFFFFFFF, call >> 32, stream & 0xFFFFFFFF, stream >> 32),
                        (SEED, 0))
    draws = torch.tensor([half for word in words for half in (word & 0xFFFF, word >> 16)])[:count]
    kept = (draws >= round(probability * 65536)).float() / (1.0 - probability)
    return kept.reshape(rows, sequence, columns)


class MaskedDropout(torch.nn.Module):
    def __init__(self, place, probability):
        super().__init__()
        self.place, self.probability = place, probability

    def forward(self, x):
        return x * mask(self.place, self.probability, *x.shape) if self.training else x


def drop_in_model(model):
    """GPT-2 has the modules; elsewhere they stand behind the same halves of layers."""
    for path, module in list(model.named_modules()):
        name = path.rsplit(".", 1)[-1]
        if hasattr(module, "resid_dropout"):
            module.resid_dropout = MaskedDropout(place_of(path), MODEL_DROPOUT)
        elif name == "mlp" and hasattr(module, "dropout"):
            module.dropout = MaskedDropout(place_of(path), MODEL_DROPOUT)
        elif hasattr(module, "wte"):
            module.drop = MaskedDropout("embedding.dropout", MODEL_DROPOUT)
        elif name in ("self_attn", "mlp", "embed_tokens"):
            is_half = name != "embed_tokens"
            dropout = MaskedDropout(place_of(path) if is_half else "embedding.dropout",
                                    MODEL_DROPOUT)
            module.register_forward_hook(
                lambda module, _, out, dropout=dropout:
                out if not module.training else
                (dropout(out[0]), *out[1:]) if isinstance(out, tuple) else dropout(out))


def replace_dropout(name, model, probability):
    for path, module in list(model.named_modules()):
        dropouts = getattr(module, "lora_dropout", None)
        if dropouts is not None and isinstance(dropouts["default"], torch.nn.Dropout):
            place = "embedding" if path.endswith(("wte", "embed_tokens")) else place_of(path)
            dropouts["default"] = MaskedDropout(place, probability)
    if name.startswith("dropout_"):
        drop_in_model(model)
    model.train()
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.eval()


class Bottleneck(torch.nn.Module):
    def __init__(self, hidden, width):
        super().__init__()
        self.adapter_down = torch.nn.Linear(hidden, width)
        self.adapter_up = torch.nn.Linear(width, hidden)

    def forward(self, z):
        return z + self.adapter_up(F.gelu(self.adapter_down(z)))


def add_bottleneck(half, hidden, width, hooks):
    bottleneck = Bottleneck(hidden, width).double()
    half.adapter_down, half.adapter_up = bottleneck.adapter_down, bottleneck.adapter_up

    def after(module, inputs, output):
        if isinstance(output, tuple):
            return (bottleneck(output[0]), *output[1:])
        return bottleneck(output)

    hooks.append(half.register_forward_hook(after))


def make_houlsby(name, out):
    base, config = CASES[name]
    torch.manual_seed(len(name))
    model = load_model(base, torch.float64).eval().requires_grad_(False)
    hooks = []
    for path, module in list(model.named_modules()):
        if path.endswith((".self_attn", ".attn", ".mlp")):
            add_bottleneck(module, model.config.hidden_size, config["bottleneck"], hooks)
    trained = {key: value for key, value in model.named_parameters() if ".adapter_" in key}
    for value in trained.values():  # what float32 holds exactly
        value.data.copy_(value.data.float())
    golden = load_file(MODELS / base / "golden.safetensors")
    logits, loss = loss_of(model, golden)
    loss.backward()
    stored = {"logits": logits.detach().float(), "loss": loss.detach().float().reshape(1)}
    folder = out / name
    folder.mkdir(exist_ok=True)
    files = {f"base_model.model.{key}": value for key, value in trained.items()}
    stored.update({f"grad/{key}": value.grad.float() for key, value in files.items()})
    save_file({key: value.detach().float().contiguous() for key, value in files.items()},
              folder / "adapter_model.safetensors")
    config = {**config, "task_type": "CAUSAL_LM", "base_model_name_or_path": f"../{base}",
              "inference_mode": True, "modules_to_save": None}
    (folder / "adapter_config.json").write_text(json.dumps(config, indent=2) + "\n")
    save_file(stored, folder / "golden.safetensors")
    print(f"{name:20} loss {loss.item():.6f} (without {golden['loss'].item():.6f})")


def make(name, out):
    base, config = CASES[name]
    if isinstance(config, dict):
        return make_houlsby(name, out)
    torch.manual_seed(len(name))
    model = peft.get_peft_model(load_model(base, torch.float32), config)
    randomize(model, torch.Generator().manual_seed(1000 + sum(map(ord, name))))
    golden = load_file(MODELS / base / "golden.safetensors")
    model.eval()
    logits, loss = loss_of(model, golden)
    stored = {"logits": logits.detach().clone(), "loss": loss.detach().reshape(1)}
    if "dropout" in name:
        replace_dropout(name, model, config.lora_dropout)
        loss = loss_of(model, golden)[1]
        stored["train_loss"] = loss.detach().reshape(1)
    loss.backward()
    model.eval()
    has_net = isinstance(config, peft.PromptEncoderConfig)
    for key, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        key = file_name(key)
        if config.is_prompt_learning and not has_net:
            key = "prompt_embeddings"
        stored["grad/" + key] = parameter.grad.clone()
        if has_net:
            stored["parameter/" + key] = parameter.detach().clone()
    folder = out / name
    model.save_pretrained(folder, save_embedding_layers=False)
    saved = set(load_file(folder / "adapter_model.safetensors"))
    trained = {key[5:] for key in stored if key.startswith("grad/")}
    if saved != trained and not has_net:
        sys.exit(f"{name}: saved {sorted(saved - trained)}, trained {sorted(trained - saved)}")
    (folder / "README.md").unlink()
    # PEFT writes sets in any order, and the path of this machine.
    written = json.loads((folder / "adapter_config.json").read_text())
    written["base_model_name_or_path"] = f"../{base}"
    for key, value in written.items():
        written[key] = sorted(value) if isinstance(value, list) else value
    (folder / "adapter_config.json").write_text(json.dumps(written, indent=2) + "\n")
    save_file(stored, folder / "golden.safetensors")
    print(f"{name:20} loss {loss.item():.6f} (without {golden['loss'].item():.6f})")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="compare instead of writing")
    is_check = parser.parse_args().check
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    transformers.logging.set_verbosity_error()
    with tempfile.TemporaryDirectory() as scratch:
        out = pathlib.Path(scratch) if is_check else HERE
        for name in CASES:
            make(name, out)
            if is_check:
                for path in (out / name).iterdir():
                    if not filecmp.cmp(path, HERE / name / path.name, shallow=False):
                        sys.exit(f"{name}/{path.name} differs")


if __name__ == "__main__":
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    main()
