#!/usr/bin/env python3
"""Prints the JSON lines of tests/bench/run as Markdown tables: bench_table.py FILE.jsonl

A contestant that had several turns counts with its better one. MFU is against the arithmetic peak
measured in the same process; ratios are against the faster PyTorch of the row, memory's against the
one that needs least.
"""

import json
import os
import platform
import sys

MIB = 2**20


def key_of(line):
    return line["model"], line["dtype"], line["threads"]


def table(title, columns, rows):
    if not rows:
        return
    print(f"\n{title}\n")
    for cells in (columns, ("---",) * len(columns), *rows):
        print("| " + " | ".join(str(cell) for cell in cells) + " |")


def shape_of(line):
    return f"{line['model']}, {line['batch']} x {line['seq']}"


def memory_of(line):
    """Of the timed steps, so that a peer's compilation does not count, where the kernel tells."""
    return line["steady_peak_rss_bytes"] or line["peak_rss_bytes"]


def best_turns(lines):
    """{key: {contestant: line}} of the better turns of collie's actors and of the peers."""
    best = {}
    for line in lines:
        if line["peer"] == "collie" and line["mode"] != "actors":
            continue
        row = best.setdefault(key_of(line), {})
        known = row.get(line["peer"])
        if known is None or line["tokens_per_s_median"] > known["tokens_per_s_median"]:
            row[line["peer"]] = line
    return best


def speed_row(row, peers):
    ours = row.get("collie")
    if ours is None:
        return None
    theirs = [row[name] for name in peers if name in row]
    speed = ours["tokens_per_s_median"]
    cells = [shape_of(ours), ours["dtype"], ours["threads"], f"{speed:.0f}",
             f"{100 * ours['mfu']:.0f} %", f"{ours['peak_flops'] / 1e9:.0f}"]
    cells += [f"{row[name]['tokens_per_s_median']:.0f}" if name in row else "-" for name in peers]
    if not theirs:
        return cells + ["-", f"{memory_of(ours) / MIB:.0f}", "-"]
    least = min(memory_of(line) for line in theirs)
    fastest = max(line["tokens_per_s_median"] for line in theirs)
    return cells + [f"{speed / fastest:.2f}", f"{memory_of(ours) / MIB:.0f}",
                    f"{memory_of(ours) / least:.2f}"]


def print_speed(lines):
    best = best_turns(lines)
    peers = sorted({name for row in best.values() for name in row if name != "collie"})
    rows = [cells for cells in (speed_row(row, peers) for row in best.values()) if cells]
    table("Training step, tokens/s", ("model", "dtype", "threads", "collie-actor", "MFU",
                                      "peak GFLOP/s", *peers, "ratio to the faster peer",
                                      "peak RSS, MiB", "ratio to the smallest peer"), rows)


def print_cost(lines):
    rows = [(shape_of(line), line["dtype"], line["threads"], f"{line['loop_step_ms_median']:.2f}",
             f"{line['step_ms_median']:.2f}", f"{line['cost_ratio']:.3f}",
             f"{line['cost_ratio_of_pairs']:.3f}")
            for line in lines if line.get("mode") == "compare"]
    table("The runtime's own cost", ("model", "dtype", "threads", "plain loop, ms", "actors, ms",
                                     "ratio of medians", "median of ratios"), rows)


def print_pipeline(lines):
    rows = [(shape_of(line), line["dtype"], f"{line['bound_ms_median']:.1f}",
             f"{line['step_ms_median']:.1f}", f"{line['of_bound']:.2f}")
            for line in lines if line.get("mode") == "pp2"]
    table("Two pipeline stages of one thread, 1F1B, micro-batches of one row",
          ("model", "dtype", "bound of the schedule, ms", "actors, ms", "speed of the bound's"),
          rows)


def print_handover(lines):
    rows = [(f"{line['bytes'] / MIB:.0f} MiB", f"{line['round_trip_us_p50']:.1f}",
             f"{line['round_trip_us_p99']:.1f}", f"{line['messages_per_s'] / 1e6:.2f}")
            for line in lines if line.get("mode") == "handover"]
    table("Hand-over of a tensor between two actors",
          ("tensor", "round trip p50, us", "p99, us", "million messages/s one way"), rows)


def processor():
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        names = (line.split(":", 1)[1].strip() for line in file if line.startswith("model name"))
        return next(names, platform.machine())


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    with open(sys.argv[1], encoding="utf-8") as file:
        lines = [json.loads(line) for line in file if line.strip()]
    versions = sorted({f"{line['peer']} {line['torch_version']}" for line in lines
                       if "torch_version" in line})
    print("; ".join([processor(), f"{len(os.sched_getaffinity(0))} cores", *versions]))
    trained = [line for line in lines if "model" in line]
    print_speed(trained)
    print_cost(trained)
    print_pipeline(trained)
    print_handover(lines)


if __name__ == "__main__":
    main()
