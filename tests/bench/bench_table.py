#!/usr/bin/env python3
"""Prints the JSON lines of tests/bench/run as Markdown tables: bench_table.py FILE.jsonl

A contestant that had several turns counts with its better one. MFU is against the arithmetic peak
measured in the same process; ratios are against the fastest PyTorch of the row, memory's against
the one that needs least.
"""

import json
import os
import pathlib
import platform
import sys

import optimizer_table
import tuning_table

MIB = 2**20
LLMC = "llm.c"


def key_of(line):
    return line["model"], line["dtype"], line["threads"]


def table(title, columns, rows):
    if not rows:
        return
    print(f"\n**{title[0]}**{title[1]}\n")
    for cells in (columns, ("---",) * len(columns), *rows):
        print("| " + " | ".join(str(cell) for cell in cells) + " |")


def shape_of(line):
    return f"{line['model']}, {line['batch']} x {line['seq']}"


def memory_of(line):
    """Of the timed steps, so that a peer's compilation does not count, where the kernel tells."""
    return line["steady_peak_rss_bytes"] or line["peak_rss_bytes"]


def speed_of(line):
    return line["tokens_per_s_median"]


def best_turns(lines):
    """{key: {contestant: line}} of the better turns, of the rows in which collie had one."""
    best = {}
    for line in lines:
        if line["peer"] == "collie" and line["mode"] != "actors":
            continue
        row = best.setdefault(key_of(line), {})
        known = row.get(line["peer"])
        if known is None or speed_of(line) > speed_of(known):
            row[line["peer"]] = line
    return [row for row in best.values() if "collie" in row]


def torches_of(rows):
    return sorted({name for row in rows for name in row if name.startswith("torch")})


def ratio(value, others, choose):
    return f"{value / choose(others):.2f}" if others else "-"


def print_speed(rows):
    torches = torches_of(rows)
    names = [*torches, *([LLMC] if any(LLMC in row for row in rows) else [])]
    cells = []
    for row in rows:
        ours = row["collie"]
        speed = speed_of(ours)
        cells.append([shape_of(ours), ours["dtype"], ours["threads"], f"{speed:.0f}",
                      f"{100 * ours['mfu']:.0f} %", f"{ours['peak_flops'] / 1e9:.0f}"])
        cells[-1] += [f"{speed_of(row[name]):.0f}" if name in row else "-" for name in names]
        cells[-1].append(ratio(speed, [speed_of(row[n]) for n in torches if n in row], max))
        if LLMC in names:
            cells[-1].append(ratio(speed, [speed_of(row[n]) for n in [LLMC] if n in row], max))
    columns = ["model", "dtype", "threads", "collie-actor", "MFU", "peak GFLOP/s", *names,
               "over the fastest PyTorch", *(["over llm.c"] if LLMC in names else [])]
    table(("Training step", ", tokens/s (median):"), columns, cells)


def print_memory(rows):
    names = [*torches_of(rows), *([LLMC] if any(LLMC in row for row in rows) else [])]
    cells = []
    for row in rows:
        ours = row["collie"]
        memory, planned = memory_of(ours), ours["planned_peak_bytes"]
        cells.append([shape_of(ours), ours["dtype"], ours["threads"], f"{planned / MIB:.0f}",
                      f"{ours['pool_peak_bytes'] / MIB:.0f}",
                      f"{ours['pool_peak_bytes'] / planned:.3f}",
                      f"{memory / MIB:.0f}", f"{memory / planned:.2f}"])
        cells[-1] += [f"{memory_of(row[name]) / MIB:.0f}" if name in row else "-" for name in names]
        theirs = [memory_of(row[name]) for name in names if name in row and name != LLMC]
        cells[-1].append(ratio(memory, theirs, min))
    table(("Peak memory of the training step", ", MiB (what `plan` predicts; the peak of the "
           "model's tensors; the steady resident set of the whole process):"),
          ("model", "dtype", "threads", "plan", "tensors", "tensors over plan", "process",
           "process over plan", *names, "process over the leanest PyTorch"), cells)


def print_cost(lines):
    rows = [(shape_of(line), line["dtype"], line["threads"], f"{line['loop_step_ms_median']:.2f}",
             f"{line['step_ms_median']:.2f}", f"{line['cost_ratio']:.3f}",
             f"{line['cost_ratio_of_pairs']:.3f}")
            for line in lines if line.get("mode") == "compare"]
    table(("The runtime's own cost", ": the same step as actors and as a plain loop over the same "
           "kernels, alternating:"),
          ("model", "dtype", "threads", "plain loop, ms", "actors, ms", "ratio of medians",
           "median of ratios"), rows)


def print_pipeline(lines):
    rows = [(shape_of(line), line["dtype"], f"{line['bound_ms_median']:.1f}",
             f"{line['step_ms_median']:.1f}", f"{line['of_bound']:.2f}")
            for line in lines if line.get("mode") == "pp2"]
    table(("Two pipeline stages", " of one thread, 1F1B, micro-batches of one row:"),
          ("model", "dtype", "bound of the schedule, ms", "actors, ms", "speed of the bound's"),
          rows)


def print_handover(lines):
    rows = [(f"{line['bytes'] / MIB:.0f} MiB", f"{line['round_trip_us_p50']:.1f}",
             f"{line['round_trip_us_p99']:.1f}", f"{line['messages_per_s'] / 1e6:.2f}")
            for line in lines if line.get("mode") == "handover"]
    table(("Hand-over", " of a tensor between two actors (the median is two actors on one "
           "scheduler thread, the 99th percentile a wake-up):"),
          ("tensor", "round trip p50, us", "p99, us", "million messages/s one way"), rows)


WORK = (("encode, fresh", "encode_first_mb_per_s"), ("encode, again", "encode_again_mb_per_s"),
        ("decode", "decode_mb_per_s"))


def print_tokenizers(lines):
    rows, pairs = [], {}
    for line in lines:
        if line.get("mode") == "tokenizer":
            pairs.setdefault((line["tokenizer"], line["file"]), {})[line["peer"]] = line
    for (tokenizer, file), pair in pairs.items():
        if "collie" not in pair:
            continue
        ours, theirs = pair["collie"], pair.get("huggingface")
        path = pathlib.Path(tokenizer)
        name = path.parent.name if path.name == "tokenizer.json" else path.name
        same = "-" if theirs is None else "yes" if theirs["same_ids"] else "NO"
        for work, field in WORK:
            speeds = (f"{theirs[field]:.1f}", f"{ours[field] / theirs[field]:.2f}") \
                if theirs else ("-", "-")
            rows.append((name, file, f"{ours['bytes'] / 1e6:.2f}", work, f"{ours[field]:.1f}",
                         *speeds, same))
    table(("Tokenizers", " on one thread, MB of text a second:"),
          ("tokenizer", "text", "MB", "work", "collie-actor", "Hugging Face", "ratio", "same ids"),
          rows)


def processor():
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        names = (line.split(":", 1)[1].strip() for line in file if line.startswith("model name"))
        return next(names, platform.machine())


def versions(lines):
    for line in lines:
        if "torch_version" in line:
            yield f"{line['peer']} {line['torch_version']}"
        elif line.get("peer") == LLMC:
            yield f"llm.c built by {line['compiler']}"
        elif line.get("peer") == "huggingface":
            yield f"tokenizers {line['version']}"


def print_tables(lines):
    print("; ".join([processor(), f"{len(os.sched_getaffinity(0))} cores",
                     *sorted(set(versions(lines)))]))
    trained = [line for line in lines if "model" in line]
    rows = best_turns(trained)
    if rows:
        print_speed(rows)
        print_memory(rows)
    print_cost(trained)
    print_pipeline(trained)
    print_handover(lines)
    print_tokenizers(lines)
    optimizer_table.print_optimizers(lines, table)
    tuning_table.print_tuning(lines, table)


def read_lines(path):
    with open(path, encoding="utf-8") as file:
        return [json.loads(line) for line in file if line.strip()]


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    print_tables(read_lines(sys.argv[1]))
