#!/usr/bin/env python3
"""Writes torch_*.csv: schedules as torch.distributed.pipelining (PyTorch 2.15) itself makes, lowers
and prints them, and checks that PyTorch reads every CSV of this folder as the same actions.

    make_torch_goldens.py            write the files, then check all of this folder
    make_torch_goldens.py FILE...    only check these, e.g. files that this project exported

The other files (NAME_p4_m8.csv) come from an independent discrete-event simulator.
"""
import csv
import pathlib
import sys

from torch.distributed.pipelining._schedule_visualizer import get_schedule_ops
from torch.distributed.pipelining.schedules import _Action

HERE = pathlib.Path(__file__).parent
# File, schedule, ranks, micro-batches, stages per rank, with communication.
CASES = [
    ("torch_zbv_p2_m4_comms", "ZBVZeroBubble", 2, 4, 2, True),
    ("torch_dualpipev_p2_m4_comms", "DualPipeV", 2, 4, 2, True),
    ("torch_interleaved_p2_m4_comms", "Interleaved1F1B", 2, 4, 2, True),
    ("torch_interleaved_p2_m4_idle", "Interleaved1F1B", 2, 4, 2, False),
]


def write(name, schedule, ranks, micro_batches, stages_per_rank, with_comms):
    rows = get_schedule_ops(schedule, ranks, micro_batches, stages_per_rank,
                            with_comms=with_comms)
    with open(HERE / f"{name}.csv", "w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(rows)


def check(path):
    """As _PipelineScheduleRuntime._load_csv reads: every cell means what it says, no letter more."""
    count = idle = 0
    home = {}
    with open(path, newline="") as file:
        for rank, row in enumerate(csv.reader(file)):
            for cell in row:
                action = _Action.from_str(cell)
                if action is None:
                    idle += 1
                    continue
                assert str(action) == cell, f"{path}: {cell} became {action}"
                for part in action.sub_actions or (action,):
                    count += 1
                    assert home.setdefault(part.stage_index, rank) == rank, f"{path}: {cell}"
    print(f"{pathlib.Path(path).name}: {count} actions, {idle} idle slots, {len(home)} stages")


if __name__ == "__main__":
    if len(sys.argv) == 1:
        for case in CASES:
            write(*case)
    for path in sys.argv[1:] or sorted(HERE.glob("*.csv")):
        check(path)
