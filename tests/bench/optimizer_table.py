#!/usr/bin/env python3
"""The table of optimizer steps of tests/bench/run: its commands, and its printing.

  optimizer_table.py FILE.jsonl...
"""

import json
import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent


def commands(args, peer_python):
    """(name, command, expected seconds): ours and the peer's take turns at each number of threads.

    peer_python is empty where there is no peer."""
    repeats = 5 if args.quick else 15
    for threads in args.threads:
        shape = ["--threads", str(threads), "--repeats", str(repeats)]
        turns = [("collie", [str(args.build / "tests" / "optimizer_bench")], 4.0)]
        if peer_python:
            turns.append(("torch", [peer_python, str(HERE / "optimizer_peer.py")], 9.0))
        for name, command, step_s in turns if args.quick else [*turns, *turns[::-1]]:
            yield f"optimizer {threads} threads: {name}", command + shape, 12 + step_s * repeats


def best(lines):
    return min(lines, key=lambda line: line["step_ms_median"], default=None)


def rows_of(lines):
    ours, theirs, measured = {}, {}, (line for line in lines if line.get("mode") == "optimizer")
    for line in measured:
        key = line["optimizer"], line["threads"]
        kind = theirs if line["peer"] != "collie" else ours.setdefault(line["dtype"], {})
        kind.setdefault(key, []).append(line)
    for key, turns in ours.get("float32", {}).items():
        # Of several turns the better one counts, for the share of the bound too.
        line, others = best(turns), theirs.get(key, [])
        other = best(others)
        foreach = best([turn for turn in others if "foreach" in turn["implementation"]])
        narrow = max((turn["of_bound"] for turn in ours.get("bfloat16", {}).get(key, [])),
                     default=None)
        moved = f"{line['flops'] / 1e9:.0f} GFLOP" if line["flops"] else \
            f"{line['read_bytes']:.0f} + {line['written_bytes']:.0f} B"
        cells = [key[0], key[1], moved, f"{line['step_ms_median']:.1f}",
                 f"{100 * max(turn['of_bound'] for turn in turns):.0f} %",
                 f"{100 * narrow:.0f} %" if narrow is not None else "-"]
        cells += [f"{other['step_ms_median']:.1f}", other["implementation"],
                  f"{other['step_ms_median'] / line['step_ms_median']:.2f}"] if other else ["-"] * 3
        cells.append(f"{foreach['step_ms_median'] / line['step_ms_median']:.2f}" if foreach else "-")
        yield cells


def print_optimizers(lines, table):
    """Prints with the function table of bench_table.py."""
    table(("Optimizer steps", ", float32, ms (median); bytes of a parameter that the rule has to "
           "read and write; the bound is what these bytes take at the bandwidth measured in the "
           "same round, muon's its operations at the arithmetic peak:"),
          ("optimizer", "threads", "moved", "collie-actor, ms", "of the bound",
           "with a bf16 copy", "PyTorch's best, ms", "implementation", "ratio", "over foreach"),
          list(rows_of(lines)))


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    import bench_table
    texts = [pathlib.Path(name).read_text(encoding="utf-8") for name in sys.argv[1:]]
    print_optimizers([json.loads(line) for text in texts for line in text.splitlines()
                      if line.startswith("{")], bench_table.table)
