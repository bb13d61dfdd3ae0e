#define BOOST_TEST_MODULE file_writer
#include <sched.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>

#include "runtime/file.hpp"
#include "tests/unit/runtime/temporary_directory.hpp"

using namespace collie;
using collie::test::check_error;
using collie::test::message_of;
using collie::test::TemporaryDirectory;

namespace {

std::vector<std::string> names_in(const TemporaryDirectory& directory) {
  return *list_directory(directory.path());
}

// Runs the body in a child process; its exit status.
template <class Body>
int in_child(const Body& body) {
  const pid_t pid = fork();
  if (pid == 0) _exit(body());
  int status = 0;
  waitpid(pid, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

constexpr int not_permitted = 77;

// In a child with a file system of its own at the path: the exit status of body.
template <class Body>
int in_mounted_child(const std::string& path, unsigned long flags, const Body& body) {
  return in_child([&] {
    if (unshare(CLONE_NEWNS) != 0 && unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0) {
      return not_permitted;
    }
    mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr);
    if (mount("tmpfs", path.c_str(), "tmpfs", flags, "size=64k") != 0) return not_permitted;
    return body();
  });
}

bool says(const Status& status, std::string_view text) {
  return message_of(status).find(text) != std::string::npos;
}

}  // namespace

BOOST_AUTO_TEST_CASE(output_files_are_written_anywhere) {
  const TemporaryDirectory directory;
  auto file = OutputFile::create(directory.file("a"));
  BOOST_REQUIRE(file.ok());
  BOOST_CHECK(file->append("abc").ok());
  BOOST_CHECK(file->write_at(5, bytes_of("xy")).ok());
  BOOST_CHECK(file->write_at(1, bytes_of("B")).ok());
  BOOST_CHECK(file->append("!").ok());
  BOOST_TEST(file->size_bytes() == 8u);
  BOOST_CHECK(file->close().ok());
  BOOST_TEST(directory.get("a") == std::string("aBc\0\0xy!", 8));
  check_error(OutputFile::create(directory.file("a")), ErrorCode::io,
              "/a: cannot create: File exists");
}

BOOST_AUTO_TEST_CASE(a_committed_directory_appears_whole) {
  const TemporaryDirectory directory;
  auto writer = DirectoryWriter::create(directory.file("new/model/"));
  BOOST_REQUIRE(writer.ok());
  BOOST_CHECK(writer->write_file("a", "1").ok());
  auto file = writer->create_file("b");
  BOOST_REQUIRE(file.ok() && file->append("2").ok() && file->close().ok());
  BOOST_CHECK(!exists(directory.file("new/model")));
  const Status committed = writer->commit();
  BOOST_TEST(message_of(committed) == "no error");
  BOOST_TEST(directory.get("new/model/a") == "1");
  BOOST_TEST(directory.get("new/model/b") == "2");
  BOOST_TEST(list_directory(directory.file("new"))->size() == 1u);
}

BOOST_AUTO_TEST_CASE(a_directory_is_replaced_as_a_whole) {
  const TemporaryDirectory directory;
  BOOST_REQUIRE(make_directories(directory.file("model/sub")).ok());
  directory.put("model/old", "x");
  auto writer = DirectoryWriter::create(directory.file("model"));
  BOOST_REQUIRE(writer.ok() && writer->write_file("a", "1").ok());
  BOOST_TEST(directory.get("model/old") == "x");
  BOOST_CHECK(writer->commit().ok());
  BOOST_TEST(list_directory(directory.file("model"))->size() == 1u);
  BOOST_TEST(directory.get("model/a") == "1");
  BOOST_TEST(names_in(directory).size() == 1u);
}

BOOST_AUTO_TEST_CASE(an_uncommitted_directory_leaves_nothing) {
  const TemporaryDirectory directory;
  {
    auto writer = DirectoryWriter::create(directory.file("model"));
    BOOST_REQUIRE(writer.ok() && writer->write_file("a", "1").ok());
    DirectoryWriter moved = std::move(*writer);
    BOOST_TEST(names_in(directory).size() == 1u);
  }
  BOOST_TEST(names_in(directory).empty());
}

BOOST_AUTO_TEST_CASE(directory_writers_refuse_what_they_must_not_touch) {
  const TemporaryDirectory directory;
  const std::string file = directory.put("f", "x");
  for (const char* bad : {"", ".", "..", "/", "a/.."}) {
    check_error(DirectoryWriter::create(bad), ErrorCode::io,
                "cannot be replaced by a new directory");
  }
  check_error(DirectoryWriter::create(file), ErrorCode::not_found, "/f: cannot replace");
  check_error(DirectoryWriter::create(file + "/model"), ErrorCode::not_found,
              "/f: cannot make the directory");
  auto writer = DirectoryWriter::create(directory.file("model"));
  BOOST_REQUIRE(writer.ok());
  check_error(writer->create_file("../x"), ErrorCode::invalid_file, "is not allowed");
  BOOST_CHECK(writer->write_file("a", "").ok());
  check_error(writer->create_file("a"), ErrorCode::io, "File exists");
  BOOST_TEST(directory.get("f") == "x");
}

BOOST_AUTO_TEST_CASE(what_a_crash_leaves_is_ignored_and_removed) {
  const TemporaryDirectory directory;
  const int status = in_child([&] {
    auto writer = DirectoryWriter::create(directory.file("model"));
    const bool written = writer.ok() && writer->write_file("a", "1").ok();
    if (written) _exit(0);  // no destructor runs
    return 1;
  });
  BOOST_TEST(status == 0);
  BOOST_REQUIRE(names_in(directory).size() == 1u);
  BOOST_TEST(names_in(directory)[0].starts_with("model.tmp-"));
  directory.put("notes.tmp-x", "not ours");
  directory.put(fmt::format("mine.tmp-{}", getpid()), "in use");
  BOOST_CHECK(remove_leftovers(directory.path()).ok());
  BOOST_TEST(names_in(directory).size() == 2u);
}

BOOST_AUTO_TEST_CASE(retired_directories_are_gone) {
  const TemporaryDirectory directory;
  BOOST_REQUIRE(make_directories(directory.file("a/b")).ok());
  BOOST_CHECK(retire_directory(directory.file("a")).ok());
  BOOST_TEST(names_in(directory).empty());
  check_error(retire_directory(directory.file("a")), ErrorCode::not_found, "/a: cannot remove");
}

BOOST_AUTO_TEST_CASE(full_disks_and_read_only_disks_are_one_line) {
  const TemporaryDirectory directory;
  const std::string path = directory.path();
  const int full = in_mounted_child(path, 0, [&] {
    const std::string large(1 << 20, 'x');
    const Status atomic = write_file_atomic(directory.file("a"), large);
    const bool atomic_clean = list_directory(path)->empty();
    auto writer = DirectoryWriter::create(directory.file("model"));
    const Status streamed = writer->write_file("a", large);
    return says(atomic, "No space left on device; free some space") && atomic_clean &&
                   says(streamed, "No space left on device")
               ? 0
               : 1;
  });
  const int read_only = in_mounted_child(path, MS_RDONLY, [&] {
    const Status status = write_file_atomic(directory.file("a"), std::string_view("x"));
    return says(status, "Read-only file system; choose another place") ? 0 : 1;
  });
  if (full == not_permitted) BOOST_TEST_MESSAGE("mounting is not permitted here: not tested");
  BOOST_TEST((full == 0 || full == not_permitted));
  BOOST_TEST((read_only == 0 || read_only == not_permitted));
}

BOOST_AUTO_TEST_CASE(lines_are_appended) {
  const TemporaryDirectory directory;
  directory.put("m", "one\ntorn by a cra");
  auto writer = LineWriter::open(directory.file("m"), LineMode::append);
  BOOST_REQUIRE(writer.ok());
  BOOST_CHECK(writer->append_line("two").ok());
  BOOST_TEST(directory.get("m") == "one\ntwo\n");
  BOOST_CHECK(writer->sync().ok());
  auto fresh = LineWriter::open(directory.file("m"), LineMode::replace);
  BOOST_REQUIRE(fresh.ok() && fresh->append_line("").ok());
  BOOST_TEST(directory.get("m") == "\n");
}

BOOST_AUTO_TEST_CASE(a_long_torn_line_is_cut_at_its_beginning) {
  const TemporaryDirectory directory;
  for (const std::size_t length : {4095u, 4096u, 4097u, 20'000u}) {
    directory.put("m", "one\n" + std::string(length, 'x'));
    BOOST_CHECK(LineWriter::open(directory.file("m"), LineMode::append).ok());
    BOOST_TEST(directory.get("m") == "one\n");
    directory.put("m", std::string(length, 'x'));
    BOOST_CHECK(LineWriter::open(directory.file("m"), LineMode::append).ok());
    BOOST_TEST(directory.get("m").empty());
  }
}

BOOST_AUTO_TEST_CASE(line_errors_stay) {
  auto writer = LineWriter::open("/dev/full", LineMode::append);
  BOOST_REQUIRE(writer.ok());
  BOOST_CHECK(writer->status().ok());
  check_error(writer->append_line("x"), ErrorCode::io,
              "/dev/full: cannot write: No space left on device; free some space");
  check_error(writer->status(), ErrorCode::io, "No space left");
  check_error(writer->append_line(""), ErrorCode::io, "No space left");
  check_error(LineWriter::open("/dev/full/x", LineMode::append), ErrorCode::not_found,
              "a part of the path is a file");
}
