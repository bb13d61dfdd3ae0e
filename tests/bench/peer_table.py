#!/usr/bin/env python3
"""Prints the JSON lines of peer_torch.py as one Markdown table: peer_table.py FILE.jsonl"""

import json
import sys

COLUMNS = ("model", "dtype", "threads", "peer", "tokens/s median", "best", "step ms", "peak MiB")


def row(line):
    peak = line["steady_peak_rss_bytes"] or line["peak_rss_bytes"]
    return (line["model"], line["dtype"], str(line["threads"]), line["peer"],
            f"{line['tokens_per_s_median']:.0f}", f"{line['tokens_per_s_best']:.0f}",
            f"{line['step_ms_median']:.1f}", f"{peak / 2**20:.0f}")


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    with open(sys.argv[1], encoding="utf-8") as file:
        rows = sorted(row(json.loads(line)) for line in file if line.strip())
    for cells in (COLUMNS, ("---",) * len(COLUMNS), *rows):
        print("| " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
