#!/usr/bin/env python3
"""Writes sgd.csv: parameters of torch.optim.SGD over ten steps, in double.

Columns: momentum, weight_decay, lr, step, index, gradient, parameter (after the step). Parameter
`index` starts at 1 - index / 4.
"""
import csv
import math
import pathlib

import torch

CASES = [(0.0, 0.0, 0.1), (0.9, 0.0, 0.05), (0.9, 0.1, 0.05), (0.5, 0.01, 0.2)]
COUNT = 5

path = pathlib.Path(__file__).with_name("sgd.csv")
with path.open("w", newline="") as file:
    writer = csv.writer(file, lineterminator="\n")
    for momentum, decay, lr in CASES:
        start = [1.0 - index / 4 for index in range(COUNT)]
        values = torch.nn.Parameter(torch.tensor(start, dtype=torch.float64))
        optimizer = torch.optim.SGD([values], lr=lr, momentum=momentum, weight_decay=decay)
        for step in range(10):
            gradient = [math.sin(3.0 * step + index) for index in range(COUNT)]
            values.grad = torch.tensor(gradient, dtype=torch.float64)
            optimizer.step()
            for index in range(COUNT):
                row = (momentum, decay, lr, step, index, gradient[index], values[index].item())
                writer.writerow(row)
