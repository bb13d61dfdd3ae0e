"""What check_hf_roundtrip.py and check_peft_roundtrip.py share: comparing, and the way to exit."""

import os
import sys

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TRANSFORMERS_OFFLINE", "1")

import torch  # noqa: E402
import transformers  # noqa: E402


class Mismatch(Exception):
    pass


def relative(actual, expected):
    return ((actual - expected).norm() / expected.norm()).item()


def compare_logits(actual, expected, tolerance, what):
    if expected.dim() == 2:
        expected = expected[None]
    if actual.shape != expected.shape:
        raise Mismatch(f"{what}: shape {tuple(actual.shape)}, expected {tuple(expected.shape)}")
    error = relative(actual, expected.float())
    print(f"{what}: relative error {error:.2e}")
    if not error <= tolerance:  # Also refuses NaN.
        raise Mismatch(f"{what}: relative error {error:.2e} exceeds {tolerance:.1e}")


def exit_code_of(check, args):
    """0 everything matches, 1 a mismatch, 2 unreadable files."""
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    torch.set_num_threads(1)
    try:
        check(args)
    except Mismatch as mismatch:
        print(f"MISMATCH: {mismatch}", file=sys.stderr)
        return 1
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    print("ok")
    return 0
