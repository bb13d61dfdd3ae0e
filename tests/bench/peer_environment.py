"""The environment in which a careful user would run PyTorch on a CPU. Standard library only.

* Memory: huge pages, freed memory kept. With glibc's defaults each step gives its activations back
  and faults them in again, worth 10 to 40 %.
* Threads: the same number for OpenMP and every BLAS.
* Debian's torch: OpenBLAS built for OpenMP (the pthread one fights with torch's own threads) and
  ATen's AVX-512 kernels, which old versions do not choose by themselves.
* AMD processors with AVX-512: OpenBLAS 0.3.21 does not know the newer ones and would use AVX2
  kernels; the MKL inside PyPI's torch uses its AVX-512 kernels only if it believes the processor is
  Intel's, which the usual two-line preloaded library makes it believe. Both are worth up to 2x in
  float32 products and change nothing where the libraries choose AVX-512 anyway.
"""

import glob
import os
import pathlib
import platform
import shutil
import subprocess
import sys

MARK = "COLLIE_PEER_TUNED"
OPENBLAS = f"/usr/lib/{platform.machine()}-linux-gnu/openblas-openmp"
TUNABLES = ("glibc.malloc.hugetlb=1", "glibc.malloc.mmap_max=0",
            "glibc.malloc.trim_threshold=1099511627776", "glibc.malloc.top_pad=67108864")
# Settings with which some machines pin kernels for reproducible results, at the price of speed.
PINS = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE", "MKL_CBWR", "MKL_ENABLE_INSTRUCTIONS",
        "ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA", "OMP_WAIT_POLICY", "GOMP_SPINCOUNT")
MKL_SHIM = "int mkl_serv_intel_cpu(void){return 1;}\nint mkl_serv_intel_cpu_true(void){return 1;}\n"
CACHE = pathlib.Path(__file__).resolve().parents[2] / ".cache" / "peer"


def build_mkl_shim():
    """The path of the library which reports an Intel processor to MKL, or None without a cc."""
    library, compiler = CACHE / "mkl_amd.so", shutil.which("cc") or shutil.which("gcc")
    if library.exists():
        return str(library)
    if compiler is None:
        print("peer: no C compiler, so MKL keeps its AVX2 kernels on this AMD processor",
              file=sys.stderr)
        return None
    CACHE.mkdir(parents=True, exist_ok=True)
    fresh = CACHE / f"mkl_amd.{os.getpid()}.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-x", "c", "-o", str(fresh), "-"], check=True,
                   input=MKL_SHIM.encode())
    fresh.replace(library)
    return str(library)


def prepend(env, name, value):
    env[name] = ":".join(filter(None, (value, env.get(name))))


def tuned_environment(threads):
    env = {name: value for name, value in os.environ.items() if name not in PINS}
    env[MARK] = "1"
    prepend(env, "GLIBC_TUNABLES", ":".join(TUNABLES))
    env["THP_MEM_ALLOC_ENABLE"] = "1"
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "BLIS_NUM_THREADS", "MKL_NUM_THREADS"):
        env[name] = str(threads)
    cpuinfo = pathlib.Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace")
    if " avx512bw " in cpuinfo:
        env["ATEN_CPU_CAPABILITY"] = "avx512"
        if "AuthenticAMD" in cpuinfo:
            env["OPENBLAS_CORETYPE"] = "SkylakeX"
            shim = build_mkl_shim()
            if shim:
                prepend(env, "LD_PRELOAD", shim)
    if glob.glob(f"{OPENBLAS}/libblas.so.3"):
        prepend(env, "LD_LIBRARY_PATH", OPENBLAS)
    return env


def restart_tuned(threads):
    """The allocator reads its settings before main, so the process has to begin again."""
    if MARK not in os.environ:
        os.execve(sys.executable, [sys.executable, *sys.argv], tuned_environment(threads))
