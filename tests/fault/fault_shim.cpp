#include "tests/fault/fault_shim.hpp"

#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <string>

namespace {

FaultPlan the_plan;
std::atomic<bool> is_armed{false};
std::atomic<int> call_count{0};

enum class Kind { makes, writes, syncs, renames, removes };

template <class Function>
Function next(Function, const char* name) {
  return reinterpret_cast<Function>(dlsym(RTLD_NEXT, name));
}
#define NEXT(name) static const auto real = next(&::name, #name)

std::string path_of(int descriptor) {
  if (!is_armed.load()) return {};
  char target[4096];
  const std::string link = "/proc/self/fd/" + std::to_string(descriptor);
  const ssize_t size = readlink(link.c_str(), target, sizeof target);
  return size > 0 ? std::string(target, static_cast<std::size_t>(size)) : std::string();
}

std::string path_at(int directory, const char* path) {
  if (path[0] == '/') return path;
  if (directory != AT_FDCWD) return path_of(directory) + "/" + path;
  char current[4096];
  return std::string(getcwd(current, sizeof current)) + "/" + path;
}

bool counts(const std::string& path) {
  if (!is_armed.load()) return false;
  const std::size_t size = strlen(the_plan.root);
  return path.compare(0, size, the_plan.root) == 0 && (path.size() == size || path[size] == '/');
}

// With system calls only: what the program sees of the C library stays as it was.
void log_call(const char* name, long result, const std::string& path, const std::string& second) {
  if (the_plan.log_descriptor < 0) return;
  const std::string line =
      std::string(name) + '\t' + std::to_string(result) + '\t' + path + '\t' + second + '\n';
  syscall(SYS_write, the_plan.log_descriptor, line.data(), line.size());
}

[[noreturn]] void die() {
  syscall(SYS_kill, getpid(), SIGKILL);
  abort();
}

int error_of(int count, Kind kind) {
  switch (the_plan.action) {
    case FaultAction::fail_once:
      return count == the_plan.at ? EIO : 0;
    case FaultAction::device_gone:
      return count >= the_plan.at ? EIO : 0;
    case FaultAction::disk_full:
      return count >= the_plan.at && kind != Kind::removes ? ENOSPC : 0;
    default:
      return 0;
  }
}

struct Call {
  const char* name;
  Kind kind;
  std::string path;
  std::string second;
};

template <class Make>
auto make_call(const Call& call, const Make& make) -> decltype(make()) {
  if (!counts(call.path)) return make();
  const int count = call_count.fetch_add(1) + 1;
  if (const int error = error_of(count, call.kind); error != 0) {
    log_call(call.name, -error, call.path, call.second);
    errno = error;
    return -1;
  }
  const auto result = make();
  const int error = errno;
  log_call(call.name, result, call.path, call.second);
  if (the_plan.action == FaultAction::kill_after && count == the_plan.at) die();
  errno = error;
  return result;
}

// write(size) writes so many of the bytes.
template <class Write>
ssize_t make_write(const char* name, int descriptor, size_t size, const Write& write) {
  const std::string path = path_of(descriptor);
  const bool is_next = counts(path) && call_count.load() + 1 == the_plan.at;
  if (is_next && the_plan.action == FaultAction::tear) {
    write(size / 2);
    die();
  }
  if (is_next && the_plan.action == FaultAction::disk_full && size > 1) {
    call_count.fetch_add(1);
    return write(size / 2);
  }
  return make_call({name, Kind::writes, path, {}}, [&] { return write(size); });
}

template <class Open>
int make_open(int flags, const std::string& path, const Open& open) {
  if ((flags & (O_CREAT | O_TRUNC)) == 0) return open();
  return make_call({"create", Kind::makes, path, {}}, open);
}

mode_t mode_of(int flags, va_list arguments) {
  return (flags & O_CREAT) != 0 ? va_arg(arguments, mode_t) : 0;
}

template <class Sync>
int make_sync(int descriptor, const Sync& sync) {
  const std::string path = path_of(descriptor);
  return make_call({"fsync", Kind::syncs, path, {}}, [&] { return counts(path) ? 0 : sync(); });
}

// Preloaded: COLLIE_FAULT is "<action> <at> <root>", COLLIE_FAULT_LOG the path of the log.
__attribute__((constructor)) void arm_from_environment() {
  const char* wish = getenv("COLLIE_FAULT");
  if (wish == nullptr) return;
  FaultPlan plan;
  int action = 0;
  if (sscanf(wish, "%d %d %1023s", &action, &plan.at, plan.root) != 3) abort();
  plan.action = static_cast<FaultAction>(action);
  if (const char* log = getenv("COLLIE_FAULT_LOG")) {
    plan.log_descriptor = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
  }
  collie_fault_arm(&plan);
}

}  // namespace

extern "C" {

void collie_fault_arm(const FaultPlan* plan) {
  the_plan = *plan;
  call_count = 0;
  is_armed = true;
}

void collie_fault_disarm() {
  is_armed = false;
}

#define OPEN(name)                                                                             \
  int name(const char* path, int flags, ...) {                                                 \
    NEXT(name);                                                                                \
    va_list arguments;                                                                         \
    va_start(arguments, flags);                                                                \
    const mode_t mode = mode_of(flags, arguments);                                             \
    va_end(arguments);                                                                         \
    return make_open(flags, path_at(AT_FDCWD, path), [&] { return real(path, flags, mode); }); \
  }
#define OPENAT(name)                                                      \
  int name(int directory, const char* path, int flags, ...) {             \
    NEXT(name);                                                           \
    va_list arguments;                                                    \
    va_start(arguments, flags);                                           \
    const mode_t mode = mode_of(flags, arguments);                        \
    va_end(arguments);                                                    \
    return make_open(flags, path_at(directory, path),                     \
                     [&] { return real(directory, path, flags, mode); }); \
  }
OPEN(open)
OPEN(open64)
OPENAT(openat)
OPENAT(openat64)

int creat(const char* path, mode_t mode) {
  return open(path, O_WRONLY | O_CREAT | O_TRUNC, mode);
}

ssize_t write(int descriptor, const void* data, size_t size) {
  NEXT(write);
  return make_write("write", descriptor, size,
                    [&](size_t part) { return real(descriptor, data, part); });
}
ssize_t pwrite(int descriptor, const void* data, size_t size, off_t offset) {
  NEXT(pwrite);
  return make_write("write", descriptor, size,
                    [&](size_t part) { return real(descriptor, data, part, offset); });
}
ssize_t pwrite64(int descriptor, const void* data, size_t size, off64_t offset) {
  return pwrite(descriptor, data, size, offset);
}
ssize_t writev(int descriptor, const iovec* parts, int count) {
  NEXT(writev);
  return make_call({"write", Kind::writes, path_of(descriptor), {}},
                   [&] { return real(descriptor, parts, count); });
}

int ftruncate(int descriptor, off_t size) noexcept {
  NEXT(ftruncate);
  return make_call({"write", Kind::writes, path_of(descriptor), {}},
                   [&] { return real(descriptor, size); });
}
int ftruncate64(int descriptor, off64_t size) noexcept {
  return ftruncate(descriptor, size);
}

int fsync(int descriptor) {
  NEXT(fsync);
  return make_sync(descriptor, [&] { return real(descriptor); });
}
int fdatasync(int descriptor) {
  NEXT(fdatasync);
  return make_sync(descriptor, [&] { return real(descriptor); });
}

int rename(const char* from, const char* to) noexcept {
  NEXT(rename);
  return make_call({"rename", Kind::renames, path_at(AT_FDCWD, from), path_at(AT_FDCWD, to)},
                   [&] { return real(from, to); });
}
int renameat(int from_at, const char* from, int to_at, const char* to) noexcept {
  NEXT(renameat);
  return make_call({"rename", Kind::renames, path_at(from_at, from), path_at(to_at, to)},
                   [&] { return real(from_at, from, to_at, to); });
}
int renameat2(int from_at, const char* from, int to_at, const char* to, unsigned flags) noexcept {
  NEXT(renameat2);
  const char* name = (flags & RENAME_EXCHANGE) != 0 ? "exchange" : "rename";
  return make_call({name, Kind::renames, path_at(from_at, from), path_at(to_at, to)}, [&] {
    if (!is_armed || !the_plan.no_exchange || flags == 0) {
      return real(from_at, from, to_at, to, flags);
    }
    errno = EINVAL;
    return -1;
  });
}

int unlink(const char* path) noexcept {
  NEXT(unlink);
  return make_call({"remove", Kind::removes, path_at(AT_FDCWD, path), {}},
                   [&] { return real(path); });
}
int unlinkat(int directory, const char* path, int flags) noexcept {
  NEXT(unlinkat);
  return make_call({"remove", Kind::removes, path_at(directory, path), {}},
                   [&] { return real(directory, path, flags); });
}
int rmdir(const char* path) noexcept {
  NEXT(rmdir);
  return make_call({"remove", Kind::removes, path_at(AT_FDCWD, path), {}},
                   [&] { return real(path); });
}
int remove(const char* path) noexcept {
  NEXT(remove);
  return make_call({"remove", Kind::removes, path_at(AT_FDCWD, path), {}},
                   [&] { return real(path); });
}

int mkdir(const char* path, mode_t mode) noexcept {
  NEXT(mkdir);
  return make_call({"mkdir", Kind::makes, path_at(AT_FDCWD, path), {}},
                   [&] { return real(path, mode); });
}
int mkdirat(int directory, const char* path, mode_t mode) noexcept {
  NEXT(mkdirat);
  return make_call({"mkdir", Kind::makes, path_at(directory, path), {}},
                   [&] { return real(directory, path, mode); });
}

}  // extern "C"
