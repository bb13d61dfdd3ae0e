// The file system. Only the file*.cpp files of this folder open, write, sync, rename and remove, so
// what can be left behind by a crash or a full disk is decided here and nowhere else. Every error
// is one line: the path, what failed, why, and what to do about it (not_found where the path does
// not exist, io otherwise).
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "runtime/result.hpp"

namespace collie {

// An open file descriptor, closed at the end of its life.
class FileHandle {
 public:
  FileHandle() = default;
  explicit FileHandle(int descriptor) : descriptor_(descriptor) {}
  FileHandle(FileHandle&& other) noexcept : descriptor_(std::exchange(other.descriptor_, -1)) {}
  FileHandle& operator=(FileHandle&& other) noexcept {
    std::swap(descriptor_, other.descriptor_);
    return *this;
  }
  ~FileHandle();

  int get() const { return descriptor_; }
  explicit operator bool() const { return descriptor_ >= 0; }
  int release() { return std::exchange(descriptor_, -1); }

 private:
  int descriptor_ = -1;
};

// ---- names and paths

// Whether a name from outside may be used as one path component: letters, digits, '.', '_', '-' and
// '+', not starting with '.', at most 255 bytes. So no separators, no "..", nothing hidden.
bool is_safe_component(std::string_view name);
// The same as an error that says what is wrong with the name.
Status safe_component(std::string_view name);

std::string join_path(std::string_view directory, std::string_view name);
std::string file_name_of(std::string_view path);
std::string parent_of(std::string_view path);  // "." where there is none

// ---- reading

// Opens an existing regular file below a directory by its safe name, for reading. Symbolic links
// are refused, but for the one shape Hugging Face's cache uses: snapshots/<revision>/<name>
// pointing to
// ../../blobs/<id>.
Result<FileHandle> open_inside(const std::string& directory, std::string_view name);

// Whole content of a regular file; larger than max_bytes is an error found before it is read.
Result<std::string> read_file(const std::string& path, std::size_t max_bytes);
Result<std::string> read_file_inside(const std::string& directory, std::string_view name,
                                     std::size_t max_bytes);

enum class Access { normal, sequential, random, will_need };

// A whole file mapped read-only; may be empty. The file must not be truncated while it is mapped:
// the kernel then stops the process with SIGBUS. Thread-safe.
class MappedFile {
 public:
  static Result<std::shared_ptr<const MappedFile>> open(const std::string& path);
  static Result<std::shared_ptr<const MappedFile>> open_inside(const std::string& directory,
                                                               std::string_view name);
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;
  ~MappedFile();

  const std::string& path() const { return path_; }
  std::span<const std::byte> bytes() const { return {data_, size_bytes_}; }

  // Hints about the range; never an error. Offsets are from the start of the file.
  void advise(Access access, std::size_t offset_bytes, std::size_t size_bytes) const;
  void advise(Access access) const { advise(access, 0, size_bytes_); }
  // Gives back the memory of the pages wholly inside the range; they are read again when touched.
  void drop_pages(std::size_t offset_bytes, std::size_t size_bytes) const;

 private:
  MappedFile() = default;
  static Result<std::shared_ptr<const MappedFile>> map(const FileHandle& file, std::string path);
  std::string path_;
  const std::byte* data_ = nullptr;
  std::size_t size_bytes_ = 0;
};

bool exists(const std::string& path);
bool is_directory(const std::string& path);
Result<std::uint64_t> file_size_bytes(const std::string& path);
// Names, sorted, without "." and "..".
Result<std::vector<std::string>> list_directory(const std::string& path);
// Of the file system that holds path or, where it does not exist yet, would hold it.
Result<std::uint64_t> free_space_bytes(const std::string& path);

// ---- writing

inline std::span<const std::byte> bytes_of(std::string_view text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

// All that are missing, and syncs their names; existing is fine.
Status make_directories(const std::string& path);
Status remove_tree(const std::string& path);  // missing is fine; links are not followed
// The same, renamed to <path>.tmp-<pid> first: nobody sees it half removed, not even after a
// crash.
Status retire_directory(const std::string& path);
// Removes the *.tmp-<pid>* in a directory that processes of this machine left when they crashed. A
// directory that was to be replaced is put back where nothing has taken its place.
Status remove_leftovers(const std::string& directory);

// The file has its old content or the new one, never a part: written aside, synced, renamed.
Status write_file_atomic(const std::string& path, std::span<const std::byte> bytes);
inline Status write_file_atomic(const std::string& path, std::string_view text) {
  return write_file_atomic(path, bytes_of(text));
}

// A new file being written. One thread at a time. Not closed means not synced.
class OutputFile {
 public:
  // Fails where the file is already there.
  static Result<OutputFile> create(const std::string& path);

  const std::string& path() const { return path_; }
  std::uint64_t size_bytes() const { return size_bytes_; }
  Status append(std::span<const std::byte> bytes) { return write_at(size_bytes_, bytes); }
  Status append(std::string_view text) { return append(bytes_of(text)); }
  // Holes read as zeros.
  Status write_at(std::uint64_t offset_bytes, std::span<const std::byte> bytes);
  Status
  close();  // syncs; the first failure is final, as the kernel forgets what it could not write

 private:
  OutputFile(FileHandle file, std::string path) : file_(std::move(file)), path_(std::move(path)) {}
  FileHandle file_;
  std::string path_;
  std::uint64_t size_bytes_ = 0;
};

// Writes a directory that appears complete or not at all: filled as <path>.tmp-<pid>, synced,
// renamed over the directory that <path> was (its old content goes). Without commit() the
// destructor removes it; after a crash a leftover <path>.tmp-* may be deleted.
class DirectoryWriter {
 public:
  static Result<DirectoryWriter> create(const std::string& path);  // parents are made
  DirectoryWriter(DirectoryWriter&& other) noexcept;
  DirectoryWriter& operator=(DirectoryWriter&& other) noexcept;
  ~DirectoryWriter();

  const std::string& path() const { return path_; }                      // where it will be
  const std::string& temporary_path() const { return temporary_path_; }  // where it is now
  // name is one safe component. May be called from several threads.
  Result<OutputFile> create_file(std::string_view name) const;
  Status write_file(std::string_view name, std::string_view text) const;
  // All files must be closed by now.
  Status commit();

 private:
  explicit DirectoryWriter(std::string path);
  std::string path_;
  std::string temporary_path_;  // empty once committed or moved from
};

enum class LineMode { append, replace };

// Lines for a reader that may look at any time (metrics). A line is in the file when append_line
// returns. The first error stays: later lines are refused with it. One thread at a time.
class LineWriter {
 public:
  // In append mode an unfinished last line, as a killed process leaves it, is cut off first.
  static Result<LineWriter> open(const std::string& path, LineMode mode);

  Status append_line(std::string_view line);  // line without its newline
  Status sync();
  Status status() const;
  const std::string& path() const { return path_; }

 private:
  LineWriter(FileHandle file, std::string path) : file_(std::move(file)), path_(std::move(path)) {}
  FileHandle file_;
  std::string path_;
  std::optional<Error> failure_;
};

}  // namespace collie
