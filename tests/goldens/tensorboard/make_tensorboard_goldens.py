#!/usr/bin/env python3
"""Writes golden.tfevents with tensorboard's own writer and PyTorch's summaries: a version, the start
of a session at step 300, two scalars of that step, a zero at step 0, scalars that float32 must round
or cannot hold, and a text longer than 127 bytes."""
import pathlib

from tensorboard.compat.proto import event_pb2, summary_pb2
from tensorboard.summary.writer.record_writer import RecordWriter
from torch.utils.tensorboard.summary import scalar, text

SCALARS = [("train/loss", 2.5), ("train/tokens_per_s", 123456.789)]
ODD = [("a", 1e-46), ("b", -0.0), ("c", float("inf")), ("d", 1e300)]


def scalars(pairs):
    merged = summary_pb2.Summary()
    for tag, value in pairs:
        # protobuf refuses what float32 cannot hold; a cast gives infinity.
        merged.value.extend(scalar(tag, min(value, float("inf") if value > 3.5e38 else value)).value)
    return merged


EVENTS = [
    event_pb2.Event(wall_time=1.5, file_version="brain.Event:2"),
    event_pb2.Event(wall_time=1700000000.25, step=300,
                    session_log=event_pb2.SessionLog(status=event_pb2.SessionLog.START)),
    event_pb2.Event(wall_time=1700000001.5, step=300, summary=scalars(SCALARS)),
    event_pb2.Event(wall_time=1.5, step=0, summary=scalar("evaluation/loss", 0.0)),
    event_pb2.Event(wall_time=1.5, step=2**40, summary=scalars(ODD)),
    event_pb2.Event(wall_time=2.0, step=7, summary=text("run/start", "line\n" * 40)),
]

with pathlib.Path(__file__).with_name("golden.tfevents").open("wb") as file:
    writer = RecordWriter(file)
    for event in EVENTS:
        writer.write(event.SerializeToString())
