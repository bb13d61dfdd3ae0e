#!/usr/bin/env python3
"""The measurement of tokenizer_bench with Hugging Face tokenizers on one thread.

  tokenizer_peer.py [--dump DIR] TOKENIZER FILE...

TOKENIZER is a tokenizer.json, or a directory with it or with GPT-2's vocab.json and merges.txt.
Prints one JSON line a file: megabytes a second of processor time, best of five, of the first
encoding by a fresh tokenizer, of a second one, and of decoding. With --dump the ids that
tokenizer_bench wrote into DIR are compared with the peer's; the exit code is 1 where they differ.
"""

import os

os.environ.setdefault("RAYON_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import argparse
import array
import json
import pathlib
import sys
import time

import tokenizers

REPETITIONS = 5


def load(path):
    path = pathlib.Path(path)
    if path.is_dir() and not (path / "tokenizer.json").exists():
        model = tokenizers.models.BPE.from_file(str(path / "vocab.json"), str(path / "merges.txt"))
        tokenizer = tokenizers.Tokenizer(model)
        tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
        tokenizer.decoder = tokenizers.decoders.ByteLevel()
        tokenizer.add_special_tokens(["<|endoftext|>"])
        return tokenizer
    return tokenizers.Tokenizer.from_file(str(path / "tokenizer.json" if path.is_dir() else path))


def timed(function):
    start = time.process_time()
    result = function()
    return time.process_time() - start, result


def measure(path, text):
    """Best seconds of a first and of a second encoding and of decoding, and the ids."""
    first, again, decode = [], [], []
    for _ in range(REPETITIONS):
        tokenizer = load(path)
        # encode_batch_fast leaves out the offsets, which the other side does not compute.
        encode = lambda: tokenizer.encode_batch_fast([text], add_special_tokens=False)[0]
        seconds, encoding = timed(encode)
        first.append(seconds)
        again.append(timed(encode)[0])
        ids = encoding.ids
        decode.append(timed(lambda: tokenizer.decode(ids, skip_special_tokens=False))[0])
    return min(first), min(again), min(decode), ids


def dumped_ids(folder, name):
    ids = array.array("i")
    ids.frombytes((pathlib.Path(folder) / f"{name}.ids").read_bytes())
    return ids.tolist()


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dump", help="folder of the ids of tokenizer_bench")
    parser.add_argument("tokenizer")
    parser.add_argument("files", nargs="+")
    args = parser.parse_args()
    different = 0
    for file in map(pathlib.Path, args.files):
        text, size = file.read_bytes().decode("utf-8"), file.stat().st_size
        first, again, decode, ids = measure(args.tokenizer, text)
        line = dict(mode="tokenizer", peer="huggingface", version=tokenizers.__version__,
                    tokenizer=args.tokenizer, file=file.name, bytes=size, tokens=len(ids),
                    encode_first_mb_per_s=size / 1e6 / first,
                    encode_again_mb_per_s=size / 1e6 / again,
                    decode_mb_per_s=size / 1e6 / decode)
        if args.dump:
            line["same_ids"] = dumped_ids(args.dump, file.name) == ids
            different += not line["same_ids"]
        print(json.dumps(line), flush=True)
    sys.exit(different > 0)


if __name__ == "__main__":
    main()
