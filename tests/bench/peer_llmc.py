#!/usr/bin/env python3
"""One training step of llm.c's train_gpt2.c (GPT-2 124M, float32), with the fields of peer_torch.py.

  COLLIE_LLMC_DIR=<a checkout of llm.c> peer_llmc.py --threads 2 [--steps N] [--warmup N]

Builds the checkout's train_gpt2.c with the flags of its own Makefile (compiler: CC, default cc),
under a main of ours that includes it, as its own test does, because the original's fixes the batch
to 4 x 64. Weights are random and in its checkpoint format; tokens are uniform and the same in every
step. Its step has no clipping of gradients, which the other contestants' has. Huge pages and number
of threads are those of peer_environment.py. Prints one JSON line. Standard library only.
"""

import argparse
import array
import json
import os
import pathlib
import random
import shutil
import statistics
import subprocess
import sys
import tempfile

from peer_environment import tuned_environment

MODEL, BATCH, SEQUENCE = "gpt2_124m", 4, 256
POSITIONS, VOCABULARY, PADDED, LAYERS, HEADS, HIDDEN = 1024, 50257, 50304, 12, 12, 768
# What its Makefile uses where OpenMP is found.
FLAGS = ("-Ofast", "-Wno-unused-result", "-Wno-ignored-pragmas", "-Wno-unknown-attributes",
         "-march=native", "-fopenmp", "-DOMP")
LIBRARIES = ("-lm", "-lgomp")

# arguments: checkpoint B T steps; a line of seconds and loss for every step, then threads and peak.
MAIN = r"""
#define TESTING
#include "train_gpt2.c"
#include <sys/resource.h>

static double now_s(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec + 1e-9 * time.tv_nsec;
}

static int team_size(void) {
  int size = 0;
#pragma omp parallel
#pragma omp single
  size = omp_get_num_threads();
  return size;
}

int main(int argc, char** argv) {
  GPT2 model;
  if (argc != 5) return 2;
  gpt2_build_from_checkpoint(&model, argv[1]);
  const int B = atoi(argv[2]), T = atoi(argv[3]), steps = atoi(argv[4]);
  int* inputs = malloc(sizeof(int) * B * T);
  int* targets = malloc(sizeof(int) * B * T);
  srandom(1);
  for (int row = 0; row < B; ++row) {
    int next = random() % model.config.vocab_size;
    for (int t = row * T; t < (row + 1) * T; ++t) {
      inputs[t] = next;
      next = targets[t] = random() % model.config.vocab_size;
    }
  }
  for (int step = 1; step <= steps; ++step) {
    const double begin = now_s();
    gpt2_forward(&model, inputs, targets, B, T);
    gpt2_zero_grad(&model);
    gpt2_backward(&model);
    gpt2_update(&model, 3e-4f, 0.9f, 0.95f, 1e-8f, 0.1f, step);
    fprintf(stderr, "step %.6f %.6f\n", now_s() - begin, model.mean_loss);
  }
  struct rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  fprintf(stderr, "end %d %ld\n", team_size(), usage.ru_maxrss);
  return 0;
}
"""


def parameter_blocks():
    """(name, count) in the order of the checkpoint; PADDED rows of the embedding, tied head."""
    square = LAYERS * HIDDEN * HIDDEN
    return (("random", PADDED * HIDDEN), ("random", POSITIONS * HIDDEN),
            ("one", LAYERS * HIDDEN), ("zero", LAYERS * HIDDEN),
            ("random", 3 * square), ("zero", 3 * LAYERS * HIDDEN),
            ("random", square), ("zero", LAYERS * HIDDEN),
            ("one", LAYERS * HIDDEN), ("zero", LAYERS * HIDDEN),
            ("random", 4 * square), ("zero", 4 * LAYERS * HIDDEN),
            ("random", 4 * square), ("zero", LAYERS * HIDDEN),
            ("one", HIDDEN), ("zero", HIDDEN))


def parameter_count():
    """Without the embedding's padding."""
    return sum(count for _, count in parameter_blocks()) - (PADDED - VOCABULARY) * HIDDEN


def write_checkpoint(path):
    """Version 3 of its format: 256 int32 of header, then the parameters as float32."""
    header = array.array("i", [20240326, 3, POSITIONS, VOCABULARY, LAYERS, HEADS, HIDDEN, PADDED])
    header.extend([0] * (256 - len(header)))
    generator = random.Random(1)
    # Of a length that no row divides, so that repeating it gives no two equal rows.
    length = (1 << 20) + 7
    values = {"random": array.array("f", (generator.gauss(0.0, 0.02) for _ in range(length))),
              "one": array.array("f", [1.0]) * length, "zero": array.array("f", bytes(4 * length))}
    with open(path, "wb") as file:
        header.tofile(file)
        for name, count in parameter_blocks():
            while count > 0:
                part = values[name][:count]
                part.tofile(file)
                count -= len(part)


def build(compiler, checkout, folder):
    program = folder / "train_gpt2"
    command = [compiler, *FLAGS, f"-I{checkout}", "-x", "c", "-", *LIBRARIES, "-o", str(program)]
    built = subprocess.run(command, input=MAIN.encode(), stderr=subprocess.PIPE, check=False)
    if built.returncode != 0:
        sys.exit(f"peer_llmc: {' '.join(command)} failed:\n{built.stderr.decode()}")
    return program


def run(args, folder, checkout):
    """Seconds and losses of all steps, and the peak of resident memory in bytes."""
    compiler = shutil.which(os.environ.get("CC") or "cc")
    if compiler is None:
        sys.exit("peer_llmc: there is no C compiler; set CC")
    program, checkpoint = build(compiler, checkout, folder), folder / "gpt2_124M.bin"
    write_checkpoint(checkpoint)
    command = [str(program), str(checkpoint), str(BATCH), str(SEQUENCE),
               str(args.warmup + args.steps)]
    done = subprocess.run(command, env=tuned_environment(args.threads), text=True, check=False,
                          stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    lines = [line.split() for line in done.stderr.splitlines()]
    steps = [(float(line[1]), float(line[2])) for line in lines if line[0] == "step"]
    if done.returncode != 0 or lines[-1][0] != "end":
        sys.exit(f"peer_llmc: train_gpt2 failed with {done.returncode}: {done.stderr}")
    if int(lines[-1][1]) != args.threads:
        sys.exit(f"peer_llmc: OpenMP used {lines[-1][1]} threads instead of {args.threads}")
    version = subprocess.run([compiler, "--version"], capture_output=True, text=True, check=False)
    return steps, 1024 * int(lines[-1][2]), version.stdout.splitlines()[0]


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--steps", type=int, default=3, help="timed steps")
    parser.add_argument("--warmup", type=int, default=1)
    args = parser.parse_args()
    checkout = pathlib.Path(os.environ.get("COLLIE_LLMC_DIR") or "missing")
    if not (checkout / "train_gpt2.c").is_file():
        sys.exit("peer_llmc: COLLIE_LLMC_DIR names no checkout of llm.c (with a train_gpt2.c)")
    with tempfile.TemporaryDirectory(prefix="peer_llmc.") as folder:
        steps, peak, compiler = run(args, pathlib.Path(folder), checkout.resolve())
    seconds = [step[0] for step in steps[args.warmup:]]
    tokens, median, best = BATCH * SEQUENCE, statistics.median(seconds), min(seconds)
    # It allocates in the first step and frees at the end only, so the steady peak is the peak.
    print(json.dumps(dict(
        peer="llm.c", model=MODEL, dtype="float32", threads=args.threads, batch=BATCH,
        seq=SEQUENCE, compiler=compiler, flags=" ".join(FLAGS),
        tokens_per_s_median=round(tokens / median, 1), tokens_per_s_best=round(tokens / best, 1),
        peak_rss_bytes=peak, steady_peak_rss_bytes=peak,
        step_ms_median=round(1e3 * median, 3), step_ms_best=round(1e3 * best, 3),
        loss=steps[-1][1], first_loss=steps[0][1], steps=len(seconds),
        parameters=parameter_count())), flush=True)


if __name__ == "__main__":
    main()
