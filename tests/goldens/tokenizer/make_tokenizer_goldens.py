#!/usr/bin/env python3
"""Makes the tokenizer goldens with Hugging Face tokenizers (0.23.3 made the committed ones).

usage: make_tokenizer_goldens.py    (writes beside itself)

train.txt is the free text that the small tokenizers are trained on (Universal Declaration of Human
Rights, public domain). Each folder is a tokenizer in the configuration of a real family; cases.json
holds texts with the ids and the decoded texts that the library gives for each of them.
"""

import json
import pathlib
import random

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers
from tokenizers import pre_tokenizers, processors, trainers

HERE = pathlib.Path(__file__).parent
LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|"
          r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
QWEN = LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}")
END = "<|endoftext|>"


def train(tokenizer, size, specials, alphabet=()):
    trainer = trainers.BpeTrainer(vocab_size=size, special_tokens=specials, show_progress=False,
                                  initial_alphabet=list(alphabet))
    tokenizer.train_from_iterator([(HERE / "train.txt").read_text()], trainer)


def split_and_bytes(pattern):
    return pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(pattern), "isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])


def byte_level(size, pre_tokenizer, specials, normalizer=None):
    tokenizer = Tokenizer(models.BPE())
    if normalizer is not None:
        tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = pre_tokenizer
    tokenizer.decoder = decoders.ByteLevel()
    train(tokenizer, size, specials, pre_tokenizers.ByteLevel.alphabet())
    return tokenizer


def edited(tokenizer, edit):
    document = json.loads(tokenizer.to_str())
    edit(document)
    return Tokenizer.from_str(json.dumps(document))


def gpt2():
    return byte_level(600, pre_tokenizers.ByteLevel(add_prefix_space=False), [END])


def llama3():
    specials = ["<|begin_of_text|>", "<|end_of_text|>", "<|eot_id|>"]
    tokenizer = byte_level(700, split_and_bytes(LLAMA3), specials)
    tokenizer.post_processor = processors.Sequence([
        processors.ByteLevel(trim_offsets=False),
        processors.TemplateProcessing(single="<|begin_of_text|> $A",
                                      pair="<|begin_of_text|> $A <|begin_of_text|> $B",
                                      special_tokens=[("<|begin_of_text|>", 0)])])

    def edit(document):
        model = document["model"]
        model["ignore_merges"] = True
        # A token that no merge makes: only ignore_merges finds it.
        model["vocab"]["\u0120tokenization"] = 700
    return edited(tokenizer, edit)


def qwen():
    tokenizer = byte_level(600, split_and_bytes(QWEN), [], normalizers.NFC())
    tokenizer.add_special_tokens([END, "<|im_start|>", "<|im_end|>"])
    tokenizer.add_tokens([AddedToken(t, normalized=False) for t in ("<think>", "</think>", "<tool")]
                         + [AddedToken("<tool_call>", normalized=False)])
    return tokenizer


def llama2(metaspace):
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    byte_tokens = [f"<0x{byte:02X}>" for byte in range(256)]
    specials = ["<unk>", "<s>", "</s>"]
    train(tokenizer, 760, specials + byte_tokens)

    def edit(document):
        document["added_tokens"] = document["added_tokens"][:len(specials)]
    tokenizer = edited(tokenizer, edit)
    if metaspace:
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    else:
        tokenizer = edited(tokenizer, lambda document: document.update(pre_tokenizer=None))
        tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("\u2581"),
                                                     normalizers.Replace(" ", "\u2581")])
    tokenizer.decoder = decoders.Sequence([decoders.Replace("\u2581", " "), decoders.ByteFallback(),
                                           decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A <s> $B", special_tokens=[("<s>", 1)])
    return tokenizer


def mixed():
    """What the families above do not use."""
    tokenizer = byte_level(
        450, pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True),
                                      pre_tokenizers.Split("-", "merged_with_previous"),
                                      pre_tokenizers.ByteLevel(add_prefix_space=True)]),
        [END], normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()]))
    tokenizer.add_tokens([AddedToken("mixedcase", normalized=True),
                          AddedToken("word", single_word=True, normalized=False),
                          AddedToken("<left>", lstrip=True, normalized=False),
                          AddedToken("<right>", rstrip=True, normalized=False),
                          AddedToken("<both>", lstrip=True, rstrip=True, normalized=False)])

    def edit(document):
        document["model"]["merges"] = [" ".join(pair) for pair in document["model"]["merges"]]
    document = json.loads(tokenizer.to_str())
    edit(document)
    (HERE / "mixed").mkdir(exist_ok=True)
    (HERE / "mixed/tokenizer.json").write_text(compact(document))
    return Tokenizer.from_file(str(HERE / "mixed/tokenizer.json"))


def unknown():
    """Characters that are no tokens: dropped into <unk>, one each; contiguous splits; no decoder."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(r"\s+"), "removed"),
        pre_tokenizers.Split(Regex(r"[,.;]"), "contiguous"),
        pre_tokenizers.Split("a", "merged_with_next")])
    trainer = trainers.BpeTrainer(vocab_size=120, special_tokens=["<unk>"], show_progress=False,
                                  limit_alphabet=40)
    tokenizer.train_from_iterator([(HERE / "train.txt").read_text()], trainer)
    return tokenizer


def random_text(generator, count):
    ranges = [(0, 0x80), (0x80, 0x250), (0x300, 0x370), (0x400, 0x500), (0x590, 0x700),
              (0x900, 0xA00), (0x1100, 0x1200), (0x1E00, 0x2070), (0x2070, 0x2C00),
              (0x3000, 0x3100), (0x4E00, 0x9FFF), (0xAC00, 0xD7A4), (0xF900, 0xFFFE),
              (0x10000, 0x14700), (0x1D000, 0x20000), (0x20000, 0x32000), (0xE0000, 0xE0200)]
    return "".join(chr(generator.randrange(*generator.choice(ranges))) for _ in range(count))


def texts():
    generator = random.Random(2024)
    fixed = [
        "", " ", "a", "Hello world", " Hello  world ", "\n", "\r\n\r\n  \n", "   leading", "trail   ",
        "tabs\tand\t\ttabs \t mixed \n\n\n new   lines \r\n x",
        "I'm we'll they've he'd it's DON'T I'LL 'S '\u017f 't", "x'sy 's's ''s",
        "0 1 12 123 1234 12345 3.14159 1,000,000 \u0661\u0662\u0663 \u00b2\u00b3\u00bd \u2167 \u4e00",
        "All human beings are born free and equal in dignity and rights.", "tokenization tokenization",
        "\u00c5ngstr\u00f6m A\u030angstro\u0308m \u212b e\u0301\u0327 \u1e9b\u0323 q\u0307\u0323",
        "\ud55c\uad6d\uc5b4 \u1112\u1161\u11ab\u1100\u116e\u11a8 \uac00\u11a8",
        "\u4eba\u4eba\u751f\u800c\u81ea\u7531\uff0c\u5728\u5c0a\u4e25\u548c\u6743\u5229\u4e0a\u4e00\u5f8b\u5e73\u7b49\u3002",
        "\u0420\u043e\u0441\u0441\u0438\u0439\u0441\u043a\u0438\u0439 \u0438\u0306 \u0439",
        "\u0645\u0631\u062d\u0628\u0627 \u0628\u0627\u0644\u0639\u0627\u0644\u0645 \u0928\u092e\u0938\u094d\u0924\u0947",
        "\U0001f600\U0001f468\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466 \U0001f1e9\U0001f1ea "
        "\U0001f44d\U0001f3fd \u2764\ufe0f #\ufe0f\u20e3",
        "\u00a0nbsp\u00a0\u2003em\u3000ideographic\u0085nel\u2028ls\u200bzwsp\u180emvs\ufeffbom",
        "\ufb01 \uff21\uff22\uff23 \u2460 \ufdfa \u0130I\u0131 \u03a3\u03c2 \u1e9e",
        "".join(map(chr, range(0x20))) + "\x7f\x80\x9f", "\u0000a\u0000",
        "-a-b--c - d", "a,b;.c a banana,, aa;a", "\u2581 \u2581\u2581a \u2581", "a \u2581b",
        "<|endoftext|>", "x<|endoftext|>y <|im_start|>user\nhi<|im_end|>\n<|im_start|>",
        "<think>\nok\n</think>\n\n<tool_call><tool><tool_", "<|im_end", "<|begin_of_text|>Hi<|eot_id|>",
        "<s> a</s> b</s><s><unk> c <0x41>", "<s>", " <s> ", "mixedcase MixedCase xMIXEDCASEx",
        "word words sword word. (word) \u00e9word word_ word", "a  <left>  b  <right>  c  <both>  d",
        "<both> <both>  <left> <right> ", "\U00011f04\U000323af\u1c89\U0001e4f0 new letters",
        "x" * 90, "ab" * 50, " " * 90 + "x", "\n" * 60, "1" * 60, "!?" * 30,
        "\u00e9" * 45, "\U0001f600" * 12, "freeandequal" * 20,
        "def f(x):\n    return {'a': [x ** 2, -1.5e-3]}  # ok\n\n\nclass A:\n\tpass\n",
        "https://example.org/a?b=c&d=%20#e C:\\dir\\f.txt foo_bar fooBar FOO",
    ]
    return fixed + [random_text(generator, count) for count in (1, 2, 3, 5, 8, 13, 21, 34)]


def compact(document):
    return json.dumps(document, ensure_ascii=False, separators=(",", ":"))


def cases(tokenizer):
    out = []
    for text in texts():
        ids = tokenizer.encode(text, add_special_tokens=False).ids
        out.append({"ids": ids,
                    "with_special": tokenizer.encode(text, add_special_tokens=True).ids,
                    "decoded": tokenizer.decode(ids, skip_special_tokens=False),
                    "skipped": tokenizer.decode(ids, skip_special_tokens=True)})
        for key, same_as in (("with_special", ids), ("decoded", text), ("skipped", text)):
            if out[-1][key] == same_as:
                del out[-1][key]  # keeps the file small
    return out


def main():
    made = {"gpt2": gpt2(), "llama3": llama3(), "qwen": qwen(), "llama2": llama2(False),
            "llama2_metaspace": llama2(True), "mixed": mixed(), "unknown": unknown()}
    for name, tokenizer in made.items():
        folder = HERE / name
        folder.mkdir(exist_ok=True)
        if name == "gpt2":
            tokenizer.model.save(str(folder))
        elif name != "mixed":
            (folder / "tokenizer.json").write_text(compact(json.loads(tokenizer.to_str())))
    (HERE / "qwen/tokenizer_config.json").write_text(json.dumps(
        {"bos_token": None, "eos_token": "<|im_end|>", "pad_token": {"content": END}}))
    document = {"texts": texts(), "cases": {name: cases(t) for name, t in made.items()}}
    (HERE / "cases.json").write_text(compact(document) + "\n")


if __name__ == "__main__":
    main()
