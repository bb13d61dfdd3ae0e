#!/usr/bin/env python3
"""Writes lr_schedule.csv: learning rates from Hugging Face transformers' get_scheduler.

Columns: schedule, lr, min_lr_ratio, warmup_steps, total_steps, detail, step, learning_rate. detail is
polynomial's power, inverse_sqrt's timescale (0: the warm-up, or 10,000), or wsd's shape and steps of
decay as "shape:steps"; "-" for the others.
"""
import csv
import pathlib

import torch
from transformers import (get_inverse_sqrt_schedule, get_polynomial_decay_schedule_with_warmup,
                          get_scheduler, get_wsd_schedule)

NAMES = {"constant": "constant_with_warmup", "linear": "linear", "cosine": "cosine"}
CASES = [  # lr, min_lr_ratio, warmup_steps, total_steps
    (1e-3, 0.0, 0, 10),
    (3e-4, 0.0, 7, 40),
    (0.5, 0.0, 12, 12),
    (2e-5, 0.0, 20, 12),
    (6e-4, 0.1, 5, 33),
]
DETAILED = [  # schedule, lr, min_lr_ratio, warmup_steps, total_steps, detail
    ("polynomial", 1e-3, 0.0, 4, 20, "1.0"),
    ("polynomial", 1e-3, 0.1, 0, 20, "2.0"),
    ("polynomial", 1e-3, 0.1, 5, 17, "0.5"),
    ("inverse_sqrt", 1e-3, 0.0, 4, 20, "0"),
    ("inverse_sqrt", 1e-3, 0.0, 0, 20, "0"),
    ("inverse_sqrt", 1e-3, 0.0, 5, 20, "3"),
    ("wsd", 1e-3, 0.0, 4, 20, "linear:5"),
    ("wsd", 1e-3, 0.1, 4, 20, "cosine:6"),
    ("wsd", 1e-3, 0.1, 0, 20, "1-sqrt:7"),
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


def detailed_rates(schedule, lr, min_lr_ratio, warmup, total, detail):
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.AdamW([parameter], lr=lr)
    if schedule == "polynomial":
        scheduler = get_polynomial_decay_schedule_with_warmup(
            optimizer, warmup, total, lr_end=lr * min_lr_ratio, power=float(detail))
    elif schedule == "inverse_sqrt":
        scheduler = get_inverse_sqrt_schedule(optimizer, warmup, timescale=int(detail) or None)
    else:
        shape, steps = detail.split(":")
        scheduler = get_wsd_schedule(optimizer, warmup, int(steps), num_training_steps=total,
                                     decay_type=shape, min_lr_ratio=min_lr_ratio)
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
                    writer.writerow([schedule, *case, "-", step, repr(float(rate))])
        for case in DETAILED:
            for step, rate in enumerate(detailed_rates(*case)):
                writer.writerow([*case, step, repr(float(rate))])


if __name__ == "__main__":
    main()
