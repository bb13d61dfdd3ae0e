"""Writes the goldens of tests/unit/runtime/safetensors_test.cpp with Hugging Face's own libraries.

mixed.safetensors: every element type, odd sizes, a scalar, an empty tensor, five dimensions.
sharded/: five tensors cut into shards of at most 64 bytes, with the index.
Element i of a tensor is i - 3 (modulo the type's range for unsigned ones; i % 2 for booleans).

Needs: pip install torch safetensors huggingface_hub. Run in this folder.
"""

import torch
from huggingface_hub import save_torch_state_dict
from safetensors.torch import save_file


def counted(dtype, *shape):
    count = 1
    for dim in shape:
        count *= dim
    if dtype == torch.bool:
        return (torch.arange(count) % 2 == 1).reshape(shape)
    return (torch.arange(count) - 3).to(dtype).reshape(shape)


MIXED = {
    "layers.0.weight": counted(torch.float32, 2, 3),
    "flags": counted(torch.bool, 3),
    "bytes": counted(torch.uint8, 5),
    "signed_bytes": counted(torch.int8, 7),
    "shorts": counted(torch.int16, 3),
    "ints": counted(torch.int32, 4),
    "longs": counted(torch.int64, 2),
    "half": counted(torch.float16, 3, 2),
    "brain": counted(torch.bfloat16, 4, 2),
    "double": counted(torch.float64, 3),
    "scalar": counted(torch.float32),
    "empty": counted(torch.float32, 0, 4),
    "five": counted(torch.float32, 1, 2, 1, 2, 1),
    'quote"d \u00fcber': counted(torch.float32, 1),
}

# 48, 24, 96 (over the limit), 40 (with the 24 just the limit) and 40 bytes.
SHARDED = {
    "embed": counted(torch.float32, 3, 4),
    "norm": counted(torch.bfloat16, 12),
    "big": counted(torch.float32, 24),
    "bias": counted(torch.float32, 10),
    "head": counted(torch.float64, 5),
}

if __name__ == "__main__":
    save_file(MIXED, "mixed.safetensors", metadata={"format": "pt"})
    save_torch_state_dict(SHARDED, "sharded", max_shard_size=64, is_main_process=True)
