#!/usr/bin/env python3
"""The house rules that no compiler checks.

    tests/tidy.py [ROOT]       prints every violation as path:line: rule: what; exit code 1 if any
    tests/tidy.py --self-test  proves for each rule that it can fail
"""
import ast
import pathlib
import re
import sys
import tempfile

FOLDERS = ["runtime", "kernels", "models", "actors", "examples"]  # each may use those before it
LINES_PER_FUNCTION = 70
LINES_PER_FILE = 400
CPP = {".hpp", ".cpp", ".cu", ".h"}
SCRIPTS = {".py", ".sh", ".cmake", ".md", ".txt"}
SKIPPED = {"build", "runs", "goldens", "corpus", "__pycache__"}

# The file system belongs to these files alone; tests may do what they need.
# device.cpp, host_memory.cpp and monitor_host.cpp read /proc and /sys, which are no files of
# anybody's.
FILE_SYSTEM_FILES = re.compile(r"runtime/(?:file\w*|device|host_memory|monitor_host)\.cpp$")
FILE_SYSTEM_CALLS = ("openat|creat|fopen|freopen|fdopen|mkstemp|rename|renameat|renameat2|"
                     "unlink|unlinkat|rmdir|mkdir|mkdirat|truncate|ftruncate|fsync|fdatasync")
# Global calls; members and qualified names (File::open) are the project's own.
FILE_SYSTEM_CALL = re.compile(rf"(?:(?<![\w:>.])|(?<![\w>]::)(?<=[^\w>]::))({FILE_SYSTEM_CALLS})\(")
FILE_STREAM = re.compile(r"\b(?:std::)?(?:basic_)?[io]?fstream\b|\bstd::filesystem::"
                         r"(?:rename|remove|remove_all|create_director\w+|copy\w*|resize_file)\b")
INCLUDE = re.compile(r'\s*#\s*include\s*["<]([^">]+)[">]')
CAF_HEADER = re.compile(r"caf/")
OPEN_HEADER = "fcntl.h"  # open() alone would also be the name of many a member function
CUDA_HEADER = re.compile(r"(?:cuda|cublas|cudnn|cusparse|curand|nccl|nvtx|nvml|cooperative_groups|"
                         r"cub/|thrust/|cutlass/)")
BACKEND_CONDITION = re.compile(r"\s*#\s*(?:if|ifdef|ifndef|elif)\b.*"
                               r"(?:CUDA|NVCC|NCCL|UCX|DNNL|HAVE_|COLLIE_WITH)")
LEFTOVER = re.compile(r"\b(?:TO" r"DO|FIX" r"ME|XX" r"X|HA" r"CK)\b")
NOT_A_FUNCTION = re.compile(r"\s*(?:template\s*<[^{}]*>\s*)?(?:inline\s+)?"
                            r"(?:namespace|class|struct|union|enum|extern\s+\"\")\b")


def blank(match):
    return re.sub(r"[^\n]", " ", match.group())


def without_comments_and_strings(text):
    """The same lines, so that positions keep their line numbers."""
    text = re.sub(r'R"(\w*)\((?:.|\n)*?\)\1"', blank, text)
    token = re.compile(r'//[^\n]*|/\*(?:.|\n)*?\*/|"(?:\\.|[^"\\\n])*"|' r"(?<![0-9a-fA-F])'(?:\\.|[^'\\\n])+'")
    return token.sub(lambda m: '""' + blank(m)[2:] if m.group()[0] == '"' else blank(m), text)


def functions_of(code):
    """(first line, last line) of every function with a body outside other functions."""
    code = re.sub(r"(?m)^[ \t]*#(?:[^\n\\]|\\\n|\\.)*", blank, code)
    stack = []  # (is_function, first line)
    header_at = 0
    for at, char in enumerate(code):
        if char in ";{}":
            header = code[header_at:at]
            if char == "{":
                inside = any(is_function for is_function, _ in stack)
                is_function = (not inside and "(" in header and not NOT_A_FUNCTION.match(header))
                begin = header_at + len(header) - len(header.lstrip())
                stack.append((is_function, code.count("\n", 0, begin) + 1))
            elif char == "}" and stack:
                is_function, first = stack.pop()
                if is_function:
                    yield first, code.count("\n", 0, at) + 1
            header_at = at + 1


def folder_of(path):
    return path.split("/", 1)[0]


def check_includes(path, lines):
    folder = folder_of(path)
    for number, line in enumerate(lines, 1):
        match = INCLUDE.match(line)
        if not match:
            continue
        header = match.group(1)
        target = folder_of(header)
        if folder in FOLDERS and target in FOLDERS:
            if FOLDERS.index(target) > FOLDERS.index(folder):
                yield number, "arrow", f"{folder}/ must not include {header}"
        if folder in FOLDERS and target == "tests":
            yield number, "arrow", f"{folder}/ must not include {header}"
        if CAF_HEADER.match(header) and folder not in ("actors", "tests"):
            yield number, "caf", f"only actors/ and tests/ include CAF, not {header}"
        if header == OPEN_HEADER and folder in FOLDERS and not FILE_SYSTEM_FILES.search(path):
            yield number, "files", "open() belongs into runtime/file.cpp"
        is_cuda_file = path.endswith(".cu") or re.search(r"_cuda\.\w+$", path)
        if CUDA_HEADER.match(header) and not is_cuda_file:
            yield number, "cuda", f"only *_cuda.* includes {header}"


def is_declaration(line, at):
    """Whether the name that begins at this place follows a type: 'Result<T> open('."""
    before = line[:at].rstrip()
    word = re.search(r"(\w+)$", before)
    return bool(before) and (before[-1] in ">&*" or
                             (word is not None and word.group(1) not in ("return", "else")))


def check_file_system(path, code_lines):
    if folder_of(path) not in FOLDERS or FILE_SYSTEM_FILES.search(path):
        return
    for number, line in enumerate(code_lines, 1):
        for match in FILE_SYSTEM_CALL.finditer(line):
            if not is_declaration(line, match.start()):
                yield number, "files", f"{match.group(1)}() belongs into runtime/file.cpp"
        if FILE_STREAM.search(line):
            yield number, "files", f"'{FILE_STREAM.search(line).group()}' belongs into runtime/file.cpp"


def check_cpp(path, text):
    lines = text.split("\n")
    code = without_comments_and_strings(text)
    yield from check_includes(path, lines)
    yield from check_file_system(path, code.split("\n"))
    for first, last in functions_of(code):
        if last - first + 1 > LINES_PER_FUNCTION:
            yield first, "function", f"{last - first + 1} lines, at most {LINES_PER_FUNCTION}"
    for number, line in enumerate(lines, 1):
        if BACKEND_CONDITION.match(line) and not re.search(r"_cuda\.\w+$", path):
            yield number, "backend", "a missing backend is a stub file, not a condition"
    guarded = "#pragma once" in text or "HWY_TARGET_TOGGLE" in text
    if path.endswith(".hpp") and not guarded:
        yield 1, "pragma", "no #pragma once"


def check_python(text):
    try:
        tree = ast.parse(text)
    except SyntaxError as error:
        yield error.lineno or 1, "syntax", error.msg
        return
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            count = node.end_lineno - node.lineno + 1
            if count > LINES_PER_FUNCTION:
                yield node.lineno, "function", f"{count} lines, at most {LINES_PER_FUNCTION}"


def check_text(path, text):
    lines = text.split("\n")
    for number, line in enumerate(lines, 1):
        if line != line.rstrip():
            yield number, "space", "space at the end of the line"
        if LEFTOVER.search(line):
            yield number, "leftover", LEFTOVER.search(line).group()
    if text and not text.endswith("\n"):
        yield len(lines), "newline", "no newline at the end of the file"
    is_code = pathlib.PurePath(path).suffix in CPP | {".py", ".sh", ".cmake", ""}
    if is_code and len(lines) - 1 > LINES_PER_FILE:
        yield 1, "file", f"{len(lines) - 1} lines, at most {LINES_PER_FILE}"


def is_script(path):
    with path.open("rb") as file:
        return file.read(2) == b"#!"


def files_of(root):
    for path in sorted(root.rglob("*")):
        parts = path.relative_to(root).parts
        if any(part in SKIPPED or part.startswith((".", "build")) for part in parts[:-1]):
            continue
        if path.is_file() and (path.suffix in CPP | SCRIPTS or is_script(path)):
            yield path


def check_tree(root):
    for path in files_of(root):
        name = path.relative_to(root).as_posix()
        text = path.read_text(encoding="utf-8", errors="replace")
        found = list(check_text(name, text))
        if path.suffix in CPP:
            found += check_cpp(name, text)
        if path.suffix == ".py":
            found += check_python(text)
        for number, rule, message in sorted(found):
            yield name, number, rule, message


def long_function(signature, lines):
    return signature + " {\n" + "  work();\n" * (lines - 2) + "}\n"


# Rule, path and content of a file that breaks it, and nothing else.
BROKEN = [
    ("arrow", "runtime/a.cpp", '#include "kernels/a.hpp"\n'),
    ("arrow", "models/a.cpp", '  #  include "actors/a.hpp"\n'),
    ("arrow", "actors/a.cpp", '#include "tests/a.hpp"\n'),
    ("caf", "models/a.cpp", "#include <caf/all.hpp>\n"),
    ("caf", "examples/a.cpp", "#include <caf/all.hpp>\n"),
    ("cuda", "kernels/a.cpp", "#include <cuda_runtime.h>\n"),
    ("cuda", "actors/a.cpp", "#include <nccl.h>\n"),
    ("files", "models/a.cpp", "#include <fcntl.h>\n"),
    ("files", "models/a.cpp", 'int f() {\n  return unlink("a");\n}\n'),
    ("files", "actors/a.cpp", 'void f() {\n  ::rename("a", "b");\n}\n'),
    ("files", "actors/a.cpp", 'void f() {\n  if (fsync(3)) return;\n}\n'),
    ("files", "runtime/a.cpp", "#include <fstream>\nstd::ofstream out;\n"),
    ("files", "runtime/a.cpp", 'void f() {\n  std::filesystem::remove("a");\n}\n'),
    ("function", "runtime/a.cpp", long_function("int f(int a)", 71)),
    ("function", "runtime/a.cpp", "struct A {\n" + long_function("  void f() const", 71) + "};\n"),
    ("function", "tests/a.cpp", long_function("BOOST_AUTO_TEST_CASE(a)", 71)),
    ("function", "tests/a.py", "def f():\n" + "    g()\n" * 70),
    ("file", "runtime/a.cpp", "int a;\n" * 401),
    ("backend", "runtime/a.cpp", "#ifdef COLLIE_CUDA\n#endif\n"),
    ("backend", "runtime/a.cpp", "#if defined(__CUDACC__)\n#endif\n"),
    ("leftover", "runtime/a.cpp", "// TO" "DO: later\n"),
    ("leftover", "tests/a.py", "# FIX" "ME\n"),
    ("space", "runtime/a.cpp", "int a; \n"),
    ("newline", "runtime/a.cpp", "int a;"),
    ("pragma", "runtime/a.hpp", "int a();\n"),
    ("syntax", "tests/a.py", "def f(:\n"),
]
# What must not be taken for a violation.
FINE = [
    ("kernels/a.cpp", '#include "runtime/a.hpp"\n#include <vector>\n'),
    ("actors/a.cpp", "#include <caf/all.hpp>\n"),
    ("tests/unit/a.cpp", '#include <caf/all.hpp>\n#include "actors/a.hpp"\n'),
    ("kernels/a_cuda.cu", "#include <cuda_runtime.h>\n"),
    ("runtime/file_write.cpp", 'int f() {\n  return ::open("a", 0);\n}\n'),
    ("models/b.hpp", "#pragma once\nstatic Result<File> open(const std::string& path);\n"),
    ("models/b.cpp", 'auto a = File::open("a");\nauto b = file.open("a");  // open("b")\n'),
    ("models/c.cpp", 'const char* a = "open(\\"{";\n' + long_function("int f()", 70)),
    ("runtime/c.cpp", "namespace collie {\n" + long_function("int f()", 69) * 3 + "}\n"),
]


def rules_broken_by(files):
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder)
        for name, content in files:
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content, encoding="utf-8")
        return {(name, rule) for name, _, rule, _ in check_tree(root)}


def self_test():
    failures = []
    for rule, name, content in BROKEN:
        found = rules_broken_by([(name, content)])
        if found != {(name, rule)}:
            failures.append(f"{rule}: {name} with {content[:40]!r} gave {sorted(found)}")
    wrong = rules_broken_by(FINE)
    if wrong:
        failures.append(f"found in what is fine: {sorted(wrong)}")
    for failure in failures:
        print(failure)
    print(f"{len(BROKEN)} broken and {len(FINE)} fine files: {len(failures)} failures")
    return 1 if failures else 0


def main():
    if sys.argv[1:] == ["--self-test"]:
        return self_test()
    root = pathlib.Path(sys.argv[1]) if sys.argv[1:] else pathlib.Path(__file__).parent.parent
    count = 0
    for name, number, rule, message in check_tree(root.resolve()):
        print(f"{name}:{number}: {rule}: {message}")
        count += 1
    print(f"{count} violations" if count else "tidy")
    return 1 if count else 0


if __name__ == "__main__":
    sys.exit(main())
