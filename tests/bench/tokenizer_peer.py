#!/usr/bin/env python3
"""The same measurement with Hugging Face tokenizers on one thread.

usage: RAYON_NUM_THREADS=1 TOKENIZERS_PARALLELISM=false tokenizer_peer.py [--dump DIR] TOKENIZER FILE...
With --dump the ids that tokenizer_bench wrote into DIR are compared with the peer's.
"""

import os

os.environ["RAYON_NUM_THREADS"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"

import argparse
import array
import pathlib
import sys
import time

import tokenizers


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


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--dump")
    parser.add_argument("tokenizer")
    parser.add_argument("files", nargs="+")
    arguments = parser.parse_args()
    different = 0
    for file in map(pathlib.Path, arguments.files):
        text = file.read_bytes().decode("utf-8")
        megabytes = file.stat().st_size / 1e6
        first, again, decode = [], [], []
        for _ in range(3):
            tokenizer = load(arguments.tokenizer)
            # encode_batch_fast leaves out the offsets, which the other side does not compute.
            encode = lambda: tokenizer.encode_batch_fast([text], add_special_tokens=False)[0]
            seconds, encoding = timed(encode)
            first.append(seconds)
            again.append(timed(encode)[0])
            ids = encoding.ids
            decode.append(timed(lambda: tokenizer.decode(ids, skip_special_tokens=False))[0])
        print(f"peer   {file.name:<22} {len(ids):>8} tokens  encode {megabytes / min(first):7.1f} MB/s "
              f"first, {megabytes / min(again):7.1f} MB/s again  decode "
              f"{megabytes / min(decode):7.1f} MB/s")
        if arguments.dump:
            ours = array.array("i")
            ours.frombytes((pathlib.Path(arguments.dump) / f"{file.name}.ids").read_bytes())
            same = ours.tolist() == ids
            different += not same
            print(f"       {'identical ids' if same else 'DIFFERENT IDS'}")
    sys.exit(different > 0)


if __name__ == "__main__":
    main()
