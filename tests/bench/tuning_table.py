#!/usr/bin/env python3
"""The tables of tuning, evaluation and tokenising of tests/bench/run: their commands, and their
printing.

  tuning_table.py FILE.jsonl...
"""

import json
import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
MODEL = "gpt2_124m"
# Bodies of the peer: the bench's own GPT-2, eager and compiled, and that of transformers.
BODIES = (("plain",), ("plain", "--compile"), ("stock",))


def lora_commands(args, peer_python):
    """(name, command, expected seconds)"""
    steps = args.steps or (4 if args.quick else 8)
    for dtype in args.dtypes:
        for threads in args.threads:
            shape = ["--model", MODEL, "--dtype", dtype, "--threads", str(threads), "--steps",
                     str(steps), "--warmup", "1"]
            turns = [("collie", [str(args.build / "tests" / "train_bench"), "--mode", "lora"])]
            for body, *rest in BODIES if peer_python else ():
                turns.append((" ".join(("peft", body, *rest)),
                              [peer_python, str(HERE / "peer_peft.py"), "--weights", "mixed",
                               "--body", body, *rest]))
            for name, command in turns if args.quick else [*turns, *turns[::-1]]:
                yield f"lora {dtype} {threads} threads: {name}", command + shape, 8 + 3 * steps


def evaluation_commands(args):
    steps = args.steps or (4 if args.quick else 8)
    for model in args.models:
        for dtype in args.dtypes:
            command = [str(args.build / "tests" / "train_bench"), "--mode", "evaluate", "--model",
                       model, "--dtype", dtype, "--threads", str(max(args.threads)), "--steps",
                       str(steps), "--warmup", "1"]
            yield f"evaluate {model} {dtype}", command, 5 + 3 * steps


def tokenising_commands(args, peer_python):
    for path in args.tokenizers if args.texts else ():
        yield (f"tokenize {path}: collie",
               [str(args.build / "tests" / "tokenizer_shards_bench"), path, *args.texts], 15)
        for threads in (1, 2) if peer_python else ():
            yield (f"tokenize {path}: huggingface, {threads} threads",
                   [peer_python, str(HERE / "tokenizer_shards_peer.py"), "--threads", str(threads),
                    path, *args.texts], 60)


def best(lines):
    return min(lines, key=lambda line: line["step_ms_median"], default=None)


def lora_rows(lines):
    rows = {}
    for line in lines:
        if line.get("mode") == "lora":
            key = line["model"], line["dtype"], line["threads"]
            rows.setdefault(key, {}).setdefault(line["peer"], []).append(line)
    for (model, dtype, threads), peers in rows.items():
        ours = best(peers.pop("collie", []))
        theirs = [best(turns) for turns in peers.values()]
        if ours is None:
            continue
        cells = [f"{model}, {ours['batch']} x {ours['seq']}", dtype, threads,
                 f"{ours['tokens_per_s_median']:.0f}"]
        by_name = {line["peer"]: line for line in theirs}
        for name in ("peft-plain", "peft-plain-compile", "peft-stock"):
            line = by_name.get(name)
            cells.append(f"{line['tokens_per_s_median']:.0f}" if line else "-")
        if theirs:
            lean = min(line["peak_rss_bytes"] for line in theirs)
            fast = min(line["step_ms_median"] for line in theirs)
            cells += [f"{fast / ours['step_ms_median']:.2f}",
                      f"{ours['peak_rss_bytes'] / 2**20:.0f}", f"{lean / 2**20:.0f}",
                      f"{ours['peak_rss_bytes'] / lean:.2f}"]
        else:
            cells += ["-", f"{ours['peak_rss_bytes'] / 2**20:.0f}", "-", "-"]
        yield cells


def evaluation_rows(lines):
    for line in lines:
        if line.get("mode") == "evaluate":
            forward = line["batch"] * line["seq"] / line["forward_step_ms_median"] * 1e3
            yield [f"{line['model']}, {line['batch']} x {line['seq']}", line["dtype"],
                   line["threads"], f"{forward:.0f}", f"{line['tokens_per_s_median']:.0f}",
                   f"{line['speed_ratio']:.2f}"]


def tokenising_rows(lines):
    lines = [line for line in lines if line.get("mode") == "tokenize"]
    for line in lines:
        if line["peer"] == "collie":
            theirs = {other["threads"]: other["whole_mb_per_s"] for other in lines
                      if other["peer"] != "collie" and other["tokenizer"] == line["tokenizer"]}
            one, two = line["whole_mb_per_s_1"], line["whole_mb_per_s_2"]
            yield [pathlib.Path(line["tokenizer"]).name, f"{line['text_bytes'] / 1e6:.1f}",
                   f"{one:.1f}", f"{two:.1f}",
                   f"{theirs[1]:.1f}" if 1 in theirs else "-",
                   f"{theirs[2]:.1f}" if 2 in theirs else "-"]


def print_tuning(lines, table):
    """Prints with the function table of bench_table.py."""
    table(("LoRA step", ", rank 8 on q, k and v, tokens/s (median), against peft on PyTorch:"),
          ("model", "dtype", "threads", "collie-actor", "peft, eager", "compiled",
           "transformers' own", "over the fastest", "process, MiB", "leanest peft, MiB", "ratio"),
          list(lora_rows(lines)))
    table(("Evaluation", " as actors beside the forward of training as a plain loop, tokens/s:"),
          ("model", "dtype", "threads", "forward of training", "evaluation",
           "median of ratios"), list(evaluation_rows(lines)))
    table(("Text to token shards", ", MB of text a second:"),
          ("tokenizer", "MB", "1 thread", "2 threads", "Hugging Face, 1", "2"),
          list(tokenising_rows(lines)))


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    import bench_table
    texts = [pathlib.Path(name).read_text(encoding="utf-8") for name in sys.argv[1:]]
    print_tuning([json.loads(line) for text in texts for line in text.splitlines()
                  if line.startswith("{")], bench_table.table)
