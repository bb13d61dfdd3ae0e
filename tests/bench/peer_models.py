"""Plain PyTorch models for the peer bench; needs nothing but torch (1.13 or newer).

Written as a careful user would for speed: fused query/key/value and gate/up products, tables for
the rotary embedding, the fused attention of torch where it has one and otherwise one baddbmm which
adds the causal mask and scales, no dropout, residual stream in float32 under autocast.
Legend: B batch, S sequence, D hidden, H heads, F ffn, V vocabulary.
"""

import dataclasses
import math

import torch
import torch.nn as nn
import torch.nn.functional as F

HAS_SDPA = hasattr(F, "scaled_dot_product_attention")
HAS_RMS_NORM = hasattr(F, "rms_norm")
HAS_CHUNKED_HEAD = hasattr(nn, "LinearCrossEntropyOptions")
GPT2_POSITIONS = 1024
HEADS = ("plain", "blocked") + (("chunked",) if HAS_CHUNKED_HEAD else ())


@dataclasses.dataclass(frozen=True)
class Shape:
    family: str
    layers: int
    hidden: int
    heads: int
    ffn: int
    vocab: int
    batch: int
    sequence: int


# The LLaMA ones have tied embeddings, so that the 22.9M and 12.2M parameters are also those which
# take part in matrix products: 6 * (4 * 384^2 + 3 * 384 * 1024) + V * 384, plus the norms.
MODELS = {
    "llama_23m": Shape("llama", 6, 384, 6, 1024, 32000, 4, 512),
    "llama_12m": Shape("llama", 6, 384, 6, 1024, 4096, 2, 64),
    "gpt2_124m": Shape("gpt2", 12, 768, 12, 3072, 50257, 4, 256),
}


class RmsNorm(nn.Module):
    def __init__(self, hidden):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(hidden))

    def forward(self, x):
        if HAS_RMS_NORM:
            return F.rms_norm(x, self.weight.shape, self.weight, 1e-5)
        return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + 1e-5) * self.weight


def make_norm(shape):
    return RmsNorm(shape.hidden) if shape.family == "llama" else nn.LayerNorm(shape.hidden)


def causal_attention(q, k, v, mask):
    """q, k, v [B, H, S, head_dim]; mask [1, S, S] is 0 or minus infinity, used without SDPA."""
    if HAS_SDPA:
        return F.scaled_dot_product_attention(q, k, v, is_causal=True)
    batch, heads, length, size = q.shape
    q, k, v = (part.reshape(batch * heads, length, size) for part in (q, k, v))
    scores = torch.baddbmm(mask, q, k.transpose(1, 2), beta=1, alpha=1 / math.sqrt(size))
    return torch.bmm(scores.softmax(-1), v).view(batch, heads, length, size)


def rotate(x, cos, sin):
    """Half-split rotary embedding, cos and sin [S, head_dim] with the sign folded into sin."""
    first, second = x.chunk(2, -1)
    return x * cos + torch.cat((second, first), -1) * sin


class Attention(nn.Module):
    def __init__(self, shape):
        super().__init__()
        self.heads, self.rotary = shape.heads, shape.family == "llama"
        bias = shape.family == "gpt2"
        self.qkv = nn.Linear(shape.hidden, 3 * shape.hidden, bias=bias)
        self.out = nn.Linear(shape.hidden, shape.hidden, bias=bias)

    def forward(self, x, tables):
        batch, length, hidden = x.shape
        q, k, v = (part.view(batch, length, self.heads, -1).transpose(1, 2)
                   for part in self.qkv(x).split(hidden, -1))
        if self.rotary:
            cos, sin = tables["cos"].to(q.dtype), tables["sin"].to(q.dtype)
            q, k = rotate(q, cos, sin), rotate(k, cos, sin)
        y = causal_attention(q, k, v, tables["mask"])
        return self.out(y.transpose(1, 2).reshape(batch, length, hidden))


class SwiGlu(nn.Module):
    def __init__(self, shape):
        super().__init__()
        self.gate_up = nn.Linear(shape.hidden, 2 * shape.ffn, bias=False)
        self.down = nn.Linear(shape.ffn, shape.hidden, bias=False)

    def forward(self, x):
        gate, up = self.gate_up(x).chunk(2, -1)
        return self.down(F.silu(gate) * up)


class GeluMlp(nn.Module):
    def __init__(self, shape):
        super().__init__()
        self.up = nn.Linear(shape.hidden, shape.ffn)
        self.down = nn.Linear(shape.ffn, shape.hidden)

    def forward(self, x):
        return self.down(F.gelu(self.up(x), approximate="tanh"))


class Block(nn.Module):
    def __init__(self, shape):
        super().__init__()
        self.attention_norm, self.mlp_norm = make_norm(shape), make_norm(shape)
        self.attention = Attention(shape)
        self.mlp = SwiGlu(shape) if shape.family == "llama" else GeluMlp(shape)

    def forward(self, x, tables):
        x = x + self.attention(self.attention_norm(x), tables)
        return x + self.mlp(self.mlp_norm(x))


class BlockedCrossEntropy(torch.autograd.Function):
    """Mean cross-entropy over x W^T which turns the logits into their gradient in place.

    The softmax goes over blocks of rows which stay in the cache; the products are whole.
    """

    BLOCK = 64

    @staticmethod
    def forward(ctx, x, weight, labels):
        if torch.is_autocast_cpu_enabled():
            x, weight = x.to(torch.bfloat16), weight.to(torch.bfloat16)
        logits = F.linear(x, weight)
        loss = torch.zeros(())
        for rows, targets in zip(logits.split(BlockedCrossEntropy.BLOCK),
                                 labels.split(BlockedCrossEntropy.BLOCK)):
            targets = targets[:, None]
            log_p = F.log_softmax(rows, -1, dtype=torch.float32)
            loss -= log_p.gather(1, targets).sum()
            gradient = log_p.exp_()
            gradient.scatter_add_(1, targets, torch.full(targets.shape, -1.0))
            rows.copy_(gradient.mul_(1.0 / labels.numel()))
        ctx.save_for_backward(x, weight, logits)
        return loss / labels.numel()

    @staticmethod
    def backward(ctx, scale):
        x, weight, gradient = ctx.saved_tensors
        scale = scale.to(x.dtype)
        dweight = gradient.t().mm(x * scale) if ctx.needs_input_grad[1] else None
        return gradient.mm(weight) * scale, dweight, None


def head_loss(kind, x, weight, labels):
    """x [T, D] and weight [V, D] to the mean cross-entropy of labels [T]."""
    if kind == "blocked":
        return BlockedCrossEntropy.apply(x, weight, labels)
    if kind == "chunked":
        options = nn.LinearCrossEntropyOptions()
        if torch.is_autocast_cpu_enabled():
            x, weight = x.to(torch.bfloat16), weight.to(torch.bfloat16)
        return F.linear_cross_entropy(x, weight, labels, options=options)
    return F.cross_entropy(F.linear(x, weight), labels)


def make_tables(shape):
    length, size = shape.sequence, shape.hidden // shape.heads
    mask = torch.full((1, length, length), -math.inf).triu(1)
    inverse = 10000.0 ** (-torch.arange(0, size, 2) / size)
    angle = torch.outer(torch.arange(length), inverse)
    sin = angle.sin()
    return dict(mask=mask, cos=torch.cat((angle.cos(), angle.cos()), 1),
                sin=torch.cat((-sin, sin), 1))


class Decoder(nn.Module):
    def __init__(self, shape, head):
        super().__init__()
        self.head = head
        self.embedding = nn.Embedding(shape.vocab, shape.hidden)
        self.positions = (nn.Embedding(GPT2_POSITIONS, shape.hidden)
                          if shape.family == "gpt2" else None)
        self.blocks = nn.ModuleList(Block(shape) for _ in range(shape.layers))
        self.norm = make_norm(shape)
        for name, table in make_tables(shape).items():
            self.register_buffer(name, table, persistent=False)
        self.apply(self.initialize)

    @staticmethod
    def initialize(module):
        if isinstance(module, (nn.Linear, nn.Embedding)):
            nn.init.normal_(module.weight, std=0.02)
        if isinstance(module, nn.Linear) and module.bias is not None:
            nn.init.zeros_(module.bias)

    def forward(self, ids, labels):
        """Mean cross-entropy of labels [B, S] (already shifted) given ids [B, S]."""
        x = self.embedding(ids)
        if self.positions is not None:
            x = x + self.positions.weight[:ids.shape[1]]
        tables = dict(mask=self.mask, cos=self.cos, sin=self.sin)
        for block in self.blocks:
            x = block(x, tables)
        x = self.norm(x).flatten(0, 1)
        return head_loss(self.head, x, self.embedding.weight, labels.flatten())
