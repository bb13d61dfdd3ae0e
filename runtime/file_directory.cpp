#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>

#include "runtime/file.hpp"
#include "runtime/file_error.hpp"

namespace collie {

namespace {

constexpr std::string_view temporary_mark = ".tmp-";
constexpr std::string_view replaced_suffix = "-old";

// Puts the finished directory where another one may be. Exchanging the two is one step for the file
// system; where it cannot do that, the old one is renamed aside first, and after a crash between
// the two steps remove_leftovers puts it back.
Status rename_over(const std::string& temporary, const std::string& path) {
  const std::string parent = parent_of(path);
  if (renameat2(AT_FDCWD, temporary.c_str(), AT_FDCWD, path.c_str(), RENAME_EXCHANGE) == 0) {
    COLLIE_TRY_VOID(sync_path(parent));
    return remove_tree(temporary);
  }
  const std::string aside = temporary + std::string(replaced_suffix);
  if (exists(path) && rename(path.c_str(), aside.c_str()) != 0) {
    return file_error(path, "replace", errno);
  }
  if (rename(temporary.c_str(), path.c_str()) != 0) {
    const Error error = file_error(path, "replace", errno);
    rename(aside.c_str(), path.c_str());
    return error;
  }
  COLLIE_TRY_VOID(sync_path(parent));
  return remove_tree(aside);
}

// Process id in "<name>.tmp-<pid>...", 0 where the name is not of that form.
pid_t writer_of(std::string_view name) {
  const std::size_t begin = name.rfind(temporary_mark);
  if (begin == std::string_view::npos) return 0;
  pid_t pid = 0;
  std::from_chars(name.data() + begin + temporary_mark.size(), name.data() + name.size(), pid);
  return pid;
}

}  // namespace

Status retire_directory(const std::string& path) {
  const std::string aside = fmt::format("{}.tmp-{}", path, getpid());
  COLLIE_TRY_VOID(remove_tree(aside));
  if (rename(path.c_str(), aside.c_str()) != 0) return file_error(path, "remove", errno);
  return remove_tree(aside);
}

Status remove_leftovers(const std::string& directory) {
  COLLIE_TRY(const std::vector<std::string> names, list_directory(directory));
  for (const std::string& name : names) {
    const pid_t pid = writer_of(name);
    const bool dead = pid > 0 && pid != getpid() && kill(pid, 0) != 0 && errno == ESRCH;
    if (!dead) continue;
    const std::string path = join_path(directory, name);
    const std::string target = join_path(directory, name.substr(0, name.rfind(temporary_mark)));
    if (name.ends_with(replaced_suffix) && !exists(target)) {
      if (rename(path.c_str(), target.c_str()) != 0) return file_error(path, "put back", errno);
      COLLIE_TRY_VOID(sync_path(directory));
      continue;
    }
    COLLIE_TRY_VOID(remove_tree(path));
  }
  return ok_status();
}

DirectoryWriter::DirectoryWriter(std::string path)
    : path_(std::move(path)), temporary_path_(fmt::format("{}.tmp-{}", path_, getpid())) {}

DirectoryWriter::DirectoryWriter(DirectoryWriter&& other) noexcept
    : path_(std::move(other.path_)), temporary_path_(std::exchange(other.temporary_path_, {})) {}

DirectoryWriter& DirectoryWriter::operator=(DirectoryWriter&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(temporary_path_, other.temporary_path_);
  return *this;
}

DirectoryWriter::~DirectoryWriter() {
  if (temporary_path_.empty()) return;
  const Status removed = remove_tree(temporary_path_);
  static_cast<void>(removed);  // what cannot be removed is a leftover that readers ignore
}

Result<DirectoryWriter> DirectoryWriter::create(const std::string& path) {
  std::string target = path;
  while (target.size() > 1 && target.ends_with('/')) target.pop_back();
  const std::string name = file_name_of(target);
  if (name.empty() || name == "." || name == ".." || name == "/") {
    return make_error(ErrorCode::io, "{}: cannot be replaced by a new directory; give a name in it",
                      path.empty() ? "''" : path);
  }
  if (exists(target) && !is_directory(target)) return file_error(target, "replace", ENOTDIR);
  COLLIE_TRY_VOID(make_directories(parent_of(target)));
  DirectoryWriter writer(std::move(target));
  COLLIE_TRY_VOID(remove_tree(writer.temporary_path_));  // left by a crash of our process id
  COLLIE_TRY_VOID(make_directories(writer.temporary_path_));
  return writer;
}

Result<OutputFile> DirectoryWriter::create_file(std::string_view name) const {
  COLLIE_CHECK(!temporary_path_.empty(), "{} is already committed", path_);
  COLLIE_TRY_VOID(safe_component(name));
  return OutputFile::create(join_path(temporary_path_, name));
}

Status DirectoryWriter::write_file(std::string_view name, std::string_view text) const {
  COLLIE_TRY(OutputFile file, create_file(name));
  COLLIE_TRY_VOID(file.append(text));
  return file.close();
}

Status DirectoryWriter::commit() {
  COLLIE_CHECK(!temporary_path_.empty(), "{} is already committed", path_);
  COLLIE_TRY(const std::vector<std::string> names, list_directory(temporary_path_));
  for (const std::string& name : names) {
    COLLIE_TRY_VOID(sync_path(join_path(temporary_path_, name)));
  }
  COLLIE_TRY_VOID(sync_path(temporary_path_));
  if (is_directory(path_)) {
    COLLIE_TRY_VOID(rename_over(temporary_path_, path_));
  } else {
    if (rename(temporary_path_.c_str(), path_.c_str()) != 0) {
      return file_error(path_, "create", errno);
    }
    COLLIE_TRY_VOID(sync_path(parent_of(path_)));
  }
  temporary_path_.clear();
  return ok_status();
}

}  // namespace collie
