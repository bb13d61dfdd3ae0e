#include "runtime/file.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <filesystem>
#include <system_error>

#include "runtime/file_error.hpp"
#include "runtime/suggest.hpp"

namespace collie {

namespace {

constexpr std::size_t component_bytes_max = 255;
constexpr std::size_t read_chunk_bytes = std::size_t{1} << 20;
// O_NONBLOCK: opening a pipe must not wait for somebody to write into it.
constexpr int read_flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK;

Result<std::size_t> regular_file_size(const FileHandle& file, const std::string& path) {
  struct stat info {};
  if (fstat(file.get(), &info) != 0) return file_error(path, "read", errno);
  if (S_ISDIR(info.st_mode)) return file_error(path, "read", EISDIR);
  if (!S_ISREG(info.st_mode)) {
    return make_error(ErrorCode::io, "{}: cannot read: not a regular file; give a file", path);
  }
  return static_cast<std::size_t>(info.st_size);
}

Result<FileHandle> open_for_reading(const std::string& path) {
  if (path.find('\0') != std::string::npos) {
    return make_error(ErrorCode::io, "{}: the path has a zero byte in it", quoted_name(path));
  }
  FileHandle file(open(path.c_str(), read_flags));
  if (!file) return file_error(path, "open", errno);
  return file;
}

Result<std::string> read_all(const FileHandle& file, const std::string& path,
                             std::size_t max_bytes) {
  const auto too_large = [&] {
    return make_error(ErrorCode::invalid_file, "{}: larger than the limit of {} bytes", path,
                      max_bytes);
  };
  COLLIE_TRY(const std::size_t size_bytes, regular_file_size(file, path));
  if (size_bytes > max_bytes) return too_large();
  std::string content(size_bytes + 1, '\0');  // the byte more finds the end
  std::size_t done = 0;
  while (true) {  // the file may grow or shrink meanwhile, and /proc says 0
    if (done == content.size()) content.resize(done + read_chunk_bytes);
    const ssize_t count = read(file.get(), content.data() + done, content.size() - done);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return file_error(path, "read", errno);
    if (count == 0) break;
    done += static_cast<std::size_t>(count);
    if (done > max_bytes) return too_large();
  }
  content.resize(done);
  return content;
}

// The only link that leaves the directory and is still fine: Hugging Face's cache keeps the files
// of snapshots/<revision>/ as links to ../../blobs/<id>.
Result<FileHandle> open_cached_blob(const std::string& directory, const FileHandle& opened,
                                    const std::string& name) {
  const std::string path = join_path(directory, name);
  std::array<char, 512> link{};
  const ssize_t length = readlinkat(opened.get(), name.c_str(), link.data(), link.size());
  if (length < 0) return file_error(path, "open", errno);
  const std::string_view target(link.data(), static_cast<std::size_t>(length));
  constexpr std::string_view blobs = "../../blobs/";
  std::error_code failed;
  const auto real = std::filesystem::canonical(directory, failed);
  if (failed || real.parent_path().filename() != "snapshots" || !target.starts_with(blobs) ||
      !is_safe_component(target.substr(blobs.size()))) {
    return make_error(ErrorCode::invalid_file,
                      "{}: is a symbolic link to {}; put the file itself there", path,
                      quoted_name(target));
  }
  const std::string blob((real.parent_path().parent_path() / "blobs").string() + "/" +
                         std::string(target.substr(blobs.size())));
  FileHandle file(open(blob.c_str(), read_flags | O_NOFOLLOW));
  if (!file) return file_error(path, "open", errno);
  return file;
}

}  // namespace

FileHandle::~FileHandle() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

bool is_safe_component(std::string_view name) {
  const auto allowed = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '_' || c == '-' || c == '+';
  };
  return !name.empty() && name.size() <= component_bytes_max && name.front() != '.' &&
         std::all_of(name.begin(), name.end(), allowed);
}

Status safe_component(std::string_view name) {
  if (is_safe_component(name)) return ok_status();
  return make_error(ErrorCode::invalid_file,
                    "file name {} is not allowed: give one name of letters, digits, '.', '_', '-' "
                    "and '+' that does not start with '.', without a directory",
                    quoted_name(name));
}

std::string join_path(std::string_view directory, std::string_view name) {
  if (directory.empty()) return std::string(name);
  return fmt::format("{}{}{}", directory, directory.ends_with('/') ? "" : "/", name);
}

std::string file_name_of(std::string_view path) {
  while (path.size() > 1 && path.ends_with('/')) path.remove_suffix(1);
  return std::string(path.substr(path.rfind('/') + 1));
}

std::string parent_of(std::string_view path) {
  while (path.size() > 1 && path.ends_with('/')) path.remove_suffix(1);
  const std::size_t slash = path.rfind('/');
  if (slash == std::string_view::npos) return ".";
  return std::string(path.substr(0, std::max<std::size_t>(slash, 1)));
}

Result<FileHandle> open_inside(const std::string& directory, std::string_view name) {
  if (Status safe = safe_component(name); !safe.ok()) {
    return Error{safe.error().code, fmt::format("{}: {}", directory, safe.error().message)};
  }
  const FileHandle opened(open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!opened) return file_error(directory, "open", errno);
  const std::string file_name(name);
  const std::string path = join_path(directory, name);
  FileHandle file(openat(opened.get(), file_name.c_str(), read_flags | O_NOFOLLOW));
  if (!file && errno == ELOOP) {
    COLLIE_TRY(file, open_cached_blob(directory, opened, file_name));
  } else if (!file) {
    return file_error(path, "open", errno);
  }
  COLLIE_TRY_VOID(regular_file_size(file, path));
  return file;
}

Result<std::string> read_file(const std::string& path, std::size_t max_bytes) {
  COLLIE_TRY(const FileHandle file, open_for_reading(path));
  return read_all(file, path, max_bytes);
}

Result<std::string> read_file_inside(const std::string& directory, std::string_view name,
                                     std::size_t max_bytes) {
  COLLIE_TRY(const FileHandle file, open_inside(directory, name));
  return read_all(file, join_path(directory, name), max_bytes);
}

Result<std::shared_ptr<const MappedFile>> MappedFile::open(const std::string& path) {
  COLLIE_TRY(const FileHandle file, open_for_reading(path));
  return map(file, path);
}

Result<std::shared_ptr<const MappedFile>> MappedFile::open_inside(const std::string& directory,
                                                                  std::string_view name) {
  COLLIE_TRY(const FileHandle file, collie::open_inside(directory, name));
  return map(file, join_path(directory, name));
}

Result<std::shared_ptr<const MappedFile>> MappedFile::map(const FileHandle& file,
                                                          std::string path) {
  COLLIE_TRY(const std::size_t size_bytes, regular_file_size(file, path));
  std::shared_ptr<MappedFile> mapped(new MappedFile);
  mapped->path_ = std::move(path);
  if (size_bytes > 0) {
    void* data = mmap(nullptr, size_bytes, PROT_READ, MAP_PRIVATE, file.get(), 0);
    if (data == MAP_FAILED) return file_error(mapped->path_, "map", errno);
    mapped->data_ = static_cast<const std::byte*>(data);
    mapped->size_bytes_ = size_bytes;
  }
  return std::shared_ptr<const MappedFile>(std::move(mapped));
}

MappedFile::~MappedFile() {
  if (data_ != nullptr) munmap(const_cast<std::byte*>(data_), size_bytes_);
}

void MappedFile::advise(Access access, std::size_t offset_bytes, std::size_t size_bytes) const {
  if (offset_bytes >= size_bytes_) return;
  size_bytes = std::min(size_bytes, size_bytes_ - offset_bytes);
  const auto page_bytes = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  const std::size_t begin = offset_bytes / page_bytes * page_bytes;
  int advice = MADV_NORMAL;
  if (access == Access::sequential) advice = MADV_SEQUENTIAL;
  if (access == Access::random) advice = MADV_RANDOM;
  if (access == Access::will_need) advice = MADV_WILLNEED;
  madvise(const_cast<std::byte*>(data_) + begin, offset_bytes + size_bytes - begin, advice);
}

void MappedFile::drop_pages(std::size_t offset_bytes, std::size_t size_bytes) const {
  if (offset_bytes >= size_bytes_) return;
  const std::size_t end_bytes = offset_bytes + std::min(size_bytes, size_bytes_ - offset_bytes);
  const auto page_bytes = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  const std::size_t begin = (offset_bytes + page_bytes - 1) / page_bytes * page_bytes;
  // Behind the end of the file the last page belongs to nobody else.
  const std::size_t end =
      end_bytes == size_bytes_ ? end_bytes : end_bytes / page_bytes * page_bytes;
  if (begin >= end) return;
  madvise(const_cast<std::byte*>(data_) + begin, end - begin, MADV_DONTNEED);
}

bool exists(const std::string& path) {
  struct stat info {};
  return stat(path.c_str(), &info) == 0;
}

bool is_directory(const std::string& path) {
  struct stat info {};
  return stat(path.c_str(), &info) == 0 && S_ISDIR(info.st_mode);
}

Result<std::uint64_t> file_size_bytes(const std::string& path) {
  struct stat info {};
  if (stat(path.c_str(), &info) != 0) return file_error(path, "read", errno);
  return static_cast<std::uint64_t>(info.st_size);
}

Result<std::vector<std::string>> list_directory(const std::string& path) {
  std::error_code failed;
  std::filesystem::directory_iterator entry(path, failed);
  std::vector<std::string> names;
  for (; !failed && entry != std::filesystem::directory_iterator(); entry.increment(failed)) {
    names.push_back(entry->path().filename().string());
  }
  if (failed) return file_error(path, "list", failed.value());
  std::sort(names.begin(), names.end());
  return names;
}

Result<std::uint64_t> free_space_bytes(const std::string& path) {
  std::string existing = path.empty() ? "." : path;
  while (!exists(existing) && existing != "." && existing != "/") existing = parent_of(existing);
  struct statvfs info {};
  if (statvfs(existing.c_str(), &info) != 0)
    return file_error(path, "ask the free space of", errno);
  return static_cast<std::uint64_t>(info.f_bavail) * info.f_frsize;
}

}  // namespace collie
