#!/usr/bin/env python3
"""Writes lr_schedule.csv: learning rates from Hugging Face transformers' get_scheduler.

Columns: schedule, lr, min_lr_ratio, warmup_steps, total_steps, step, learning_rate.
"""
import csv
import pathlib

import torch
from transformers import get_scheduler

NAMES = {"constant": "constant_with_warmup", "linear": "linear", "cosine": "cosine"}
CASES = [  # lr, min_lr_ratio, warmup_steps, total_steps
    (1e-3, 0.0, 0, 10),
    (3e-4, 0.0, 7, 40),
    (0.5, 0.0, 12, 12),
    (2e-5, 0.0, 20, 12),
    (6e-4, 0.1, 5, 33),
]


def rates(schedule, lr, min_lr_ratio, warmup, total):
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.AdamW([parameter], lr=lr)
    name, extra = NAMES[schedule], {}
    if min_lr_ratio > 0:
        name, extra = "cosine_with_min_lr", {"min_lr_rate": min_lr_ratio}
    scheduler = get_scheduler(name, optimizer, warmup, total, scheduler_specific_kwargs=extra)
    for _ in range(total + 1):
        yield scheduler.get_last_lr()[0]
        optimizer.step()
        scheduler.step()


def main():
    path = pathlib.Path(__file__).with_name("lr_schedule.csv")
    with path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        for schedule in NAMES:
            for case in CASES:
                if case[1] > 0 and schedule != "cosine":
                    continue
                for step, rate in enumerate(rates(schedule, *case)):
                    writer.writerow([schedule, *case, step, repr(float(rate))])


if __name__ == "__main__":
    main()
