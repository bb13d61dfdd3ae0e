#!/usr/bin/env python3
"""Writes torch_programs.json: compute programs as torch.distributed.pipelining (PyTorch 2.15) makes
them, one list of cells per rank, idle slots left out, for ranks, micro-batches and chunks other
than those of NAME_p4_m8.csv: uneven, few, many."""
import json
import pathlib

from torch.distributed.pipelining._schedule_visualizer import get_schedule_ops

# Generator, PyTorch's schedule, ranks, micro-batches, stages per rank.
CASES = [
    ("interleaved", "Interleaved1F1B", 2, 6, 3),
    ("interleaved", "Interleaved1F1B", 4, 2, 2),
    ("interleaved", "Interleaved1F1B", 3, 8, 2),
    ("interleaved-zb", "InterleavedZeroBubble", 3, 6, 3),
    ("interleaved-zb", "InterleavedZeroBubble", 3, 5, 2),
    ("zbv", "ZBVZeroBubble", 3, 2, 2),
    ("zbv", "ZBVZeroBubble", 4, 5, 2),
    ("zbv", "ZBVZeroBubble", 5, 12, 2),
    ("dualpipev", "DualPipeV", 2, 7, 2),
    ("dualpipev", "DualPipeV", 3, 6, 2),
    ("dualpipev", "DualPipeV", 5, 11, 2),
]


def programs(schedule, ranks, micro_batches, stages_per_rank):
    rows = get_schedule_ops(schedule, ranks, micro_batches, stages_per_rank)
    return [",".join(str(action) for action in row if action is not None) for row in rows]


if __name__ == "__main__":
    rows = [
        {"generator": name, "ranks": ranks, "micro_batches": micro_batches, "chunks": chunks,
         "programs": programs(schedule, ranks, micro_batches, chunks)}
        for name, schedule, ranks, micro_batches, chunks in CASES
    ]
    path = pathlib.Path(__file__).parent / "torch_programs.json"
    path.write_text(json.dumps(rows, indent=1) + "\n")
