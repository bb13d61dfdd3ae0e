#!/usr/bin/env python3
"""The measurement of tokenizer_shards_bench with Hugging Face tokenizers: files to one file of ids.

  tokenizer_shards_peer.py [--times N] [--threads N] TOKENIZER FILE...

Records are those that collie-actor reads: lines of .jsonl and elements of .json files with "text",
"question" and "answer", or "instruction", "input" and "output", and whole other files. All texts go
to encode_batch_fast in batches of 1000 (it spreads a batch over threads) and the ids as 2 or 4 bytes
to a file that is synced. Prints one JSON line: MB of text a second, best of five, of processor time
with one thread.
"""

import argparse
import json
import os
import pathlib
import tempfile
import time

REPETITIONS, BATCH = 5, 1000
PARTS = ("text", "question", "instruction", "input", "answer", "output")


def texts_of(file):
    text = pathlib.Path(file).read_text(encoding="utf-8")
    if file.endswith(".jsonl"):
        records = map(json.loads, text.splitlines())
    elif file.endswith(".json"):
        records = json.loads(text)
    else:
        return [text]
    return [record[part] for record in records for part in PARTS if record.get(part)]


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("tokenizer")
    parser.add_argument("files", nargs="+")
    args = parser.parse_args()
    os.environ["RAYON_NUM_THREADS"] = str(args.threads)
    os.environ["TOKENIZERS_PARALLELISM"] = "true" if args.threads > 1 else "false"
    import numpy
    import tokenizers
    from tokenizer_peer import load
    tokenizer = load(args.tokenizer)
    width = numpy.uint16 if tokenizer.get_vocab_size() <= 65536 else numpy.uint32
    stages = dict(read=1e30, encode=1e30, write=1e30, whole=1e30)
    clock = time.process_time if args.threads == 1 else time.perf_counter
    for _ in range(REPETITIONS):
        begin = clock()
        texts = [text for file in args.files * args.times for text in texts_of(file)]
        read = clock()
        ids = []
        for first in range(0, len(texts), BATCH):
            ids += [encoding.ids for encoding in tokenizer.encode_batch_fast(
                texts[first:first + BATCH], add_special_tokens=False)]
        encoded = clock()
        with tempfile.TemporaryFile() as out:
            for part in ids:
                out.write(numpy.asarray(part, dtype=width).tobytes())
            out.flush()
            os.fsync(out.fileno())
        end = clock()
        for name, seconds in dict(read=read - begin, encode=encoded - read, write=end - encoded,
                                  whole=end - begin).items():
            stages[name] = min(stages[name], seconds)
    size = sum(len(text.encode()) for text in texts)
    print(json.dumps(dict(mode="tokenize", peer="huggingface", version=tokenizers.__version__,
                          tokenizer=args.tokenizer, threads=args.threads, text_bytes=size,
                          **{f"{name}_mb_per_s": size / 1e6 / seconds
                             for name, seconds in stages.items()},
                          tokens=sum(map(len, ids)))))


if __name__ == "__main__":
    main()
