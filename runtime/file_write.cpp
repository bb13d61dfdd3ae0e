#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <filesystem>
#include <system_error>

#include "runtime/file.hpp"
#include "runtime/file_error.hpp"

namespace collie {

namespace {

constexpr int new_file_flags = O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC;
constexpr mode_t new_file_mode = 0666;  // less the umask

std::string_view remedy_of(int error_number) {
  switch (error_number) {
    case ENOENT:
      return "check the path";
    case ENOTDIR:
      return "a part of the path is a file; check the path";
    case EISDIR:
      return "give a file";
    case EEXIST:
      return "remove it or choose another place";
    case EACCES:
    case EPERM:
      return "change its permissions or choose another place";
    case EROFS:
      return "choose another place";
    case ENOSPC:
    case EDQUOT:
      return "free some space or choose another place";
    case EFBIG:
      return "raise the limit on file sizes (ulimit -f) or choose another place";
    case EMFILE:
    case ENFILE:
      return "raise the limit on open files (ulimit -n)";
    case ENAMETOOLONG:
      return "choose a shorter name";
    case ENOMEM:
      return "free some memory";
    default:
      return "check the device";
  }
}

// Position behind the last newline, 0 where there is none.
Result<std::uint64_t> end_of_last_line(int descriptor, const std::string& path,
                                       std::uint64_t size_bytes) {
  std::array<char, 4096> chunk{};
  std::uint64_t end = size_bytes;
  while (end > 0) {
    const std::uint64_t begin = end > chunk.size() ? end - chunk.size() : 0;
    const ssize_t count = pread(descriptor, chunk.data(), end - begin, static_cast<off_t>(begin));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return file_error(path, "read", errno);
    const std::string_view text(chunk.data(), static_cast<std::size_t>(count));
    const std::size_t newline = text.rfind('\n');
    if (newline != std::string_view::npos) return begin + newline + 1;
    end = begin;
  }
  return 0;
}

}  // namespace

Error file_error(std::string_view path, std::string_view action, int error_number) {
  const bool absent = error_number == ENOENT || error_number == ENOTDIR;
  return make_error(absent ? ErrorCode::not_found : ErrorCode::io, "{}: cannot {}: {}; {}", path,
                    action, std::generic_category().message(error_number), remedy_of(error_number));
}

Status sync_path(const std::string& path) {
  const FileHandle file(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file) return file_error(path, "open", errno);
  if (fsync(file.get()) != 0) return file_error(path, "sync", errno);
  return ok_status();
}

Status write_fully(int descriptor, std::string_view path, const std::byte* data,
                   std::size_t size_bytes, std::int64_t offset_bytes) {
  while (size_bytes > 0) {
    const ssize_t count = offset_bytes == at_the_end
                              ? write(descriptor, data, size_bytes)
                              : pwrite(descriptor, data, size_bytes, offset_bytes);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return file_error(path, "write", errno);
    if (count == 0) return file_error(path, "write", ENOSPC);
    data += count;
    size_bytes -= static_cast<std::size_t>(count);
    if (offset_bytes != at_the_end) offset_bytes += count;
  }
  return ok_status();
}

Status make_directories(const std::string& path) {
  std::vector<std::string> parents;  // of the directories that are missing
  for (std::string at = path; !exists(at); at = parents.back()) parents.push_back(parent_of(at));
  std::error_code failed;
  std::filesystem::create_directories(path, failed);
  if (failed) return file_error(path, "make the directory", failed.value());
  if (!is_directory(path)) return file_error(path, "make the directory", EEXIST);
  for (const std::string& parent : parents) COLLIE_TRY_VOID(sync_path(parent));
  return ok_status();
}

Status remove_tree(const std::string& path) {
  std::error_code failed;
  std::filesystem::remove_all(path, failed);
  if (failed) return file_error(path, "remove", failed.value());
  return ok_status();
}

Status write_file_atomic(const std::string& path, std::span<const std::byte> bytes) {
  static std::atomic<int> counter{0};
  const std::string temporary = fmt::format("{}.tmp-{}-{}", path, getpid(), counter.fetch_add(1));
  unlink(temporary.c_str());  // left by a crashed process that had our id
  const auto write = [&]() -> Status {
    COLLIE_TRY(OutputFile file, OutputFile::create(temporary));
    COLLIE_TRY_VOID(file.append(bytes));
    COLLIE_TRY_VOID(file.close());
    if (rename(temporary.c_str(), path.c_str()) != 0) return file_error(path, "replace", errno);
    return sync_path(parent_of(path));
  };
  Status status = write();
  if (!status.ok()) unlink(temporary.c_str());
  return status;
}

Result<OutputFile> OutputFile::create(const std::string& path) {
  FileHandle file(open(path.c_str(), new_file_flags, new_file_mode));
  if (!file) return file_error(path, "create", errno);
  return OutputFile(std::move(file), path);
}

Status OutputFile::write_at(std::uint64_t offset_bytes, std::span<const std::byte> bytes) {
  COLLIE_CHECK(file_, "write to the closed file {}", path_);
  COLLIE_TRY_VOID(write_fully(file_.get(), path_, bytes.data(), bytes.size(),
                              static_cast<std::int64_t>(offset_bytes)));
  size_bytes_ = std::max(size_bytes_, offset_bytes + bytes.size());
  return ok_status();
}

Status OutputFile::close() {
  COLLIE_CHECK(file_, "close of the closed file {}", path_);
  const FileHandle closing = std::move(file_);
  if (fsync(closing.get()) != 0) return file_error(path_, "sync", errno);
  return ok_status();
}

Result<LineWriter> LineWriter::open(const std::string& path, LineMode mode) {
  const int flags = O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC;
  FileHandle file(
      ::open(path.c_str(), mode == LineMode::replace ? flags | O_TRUNC : flags, new_file_mode));
  if (!file) return file_error(path, "open", errno);
  struct stat info {};
  if (fstat(file.get(), &info) != 0) return file_error(path, "read", errno);
  if (S_ISREG(info.st_mode)) {
    const auto size_bytes = static_cast<std::uint64_t>(info.st_size);
    COLLIE_TRY(const std::uint64_t end, end_of_last_line(file.get(), path, size_bytes));
    if (end < size_bytes && ftruncate(file.get(), static_cast<off_t>(end)) != 0) {
      return file_error(path, "cut the unfinished last line of", errno);
    }
  }
  return LineWriter(std::move(file), path);
}

// One write for the whole line: a reader never sees half of it unless the disk is full.
Status LineWriter::append_line(std::string_view line) {
  COLLIE_CHECK(line.find('\n') == std::string_view::npos, "a line with a newline in it");
  COLLIE_TRY_VOID(status());
  const std::string whole = fmt::format("{}\n", line);
  const auto bytes = bytes_of(whole);
  Status written = write_fully(file_.get(), path_, bytes.data(), bytes.size(), at_the_end);
  if (!written.ok()) failure_ = written.error();
  return written;
}

Status LineWriter::sync() {
  COLLIE_TRY_VOID(status());
  if (fsync(file_.get()) != 0) failure_ = file_error(path_, "sync", errno);
  return status();
}

Status LineWriter::status() const {
  if (failure_) return *failure_;
  return ok_status();
}

}  // namespace collie
