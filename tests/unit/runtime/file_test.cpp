#define BOOST_TEST_MODULE file
#include "runtime/file.hpp"

#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>

#include "tests/unit/runtime/temporary_directory.hpp"

using namespace collie;
using collie::test::check_error;
using collie::test::TemporaryDirectory;

namespace {

// A disk that is full after some bytes, for root, too: writes beyond fail with EFBIG.
class FileSizeLimit {
 public:
  explicit FileSizeLimit(rlim_t bytes) : before_handler_(signal(SIGXFSZ, SIG_IGN)) {
    getrlimit(RLIMIT_FSIZE, &before_);
    const rlimit limited{bytes, before_.rlim_max};
    setrlimit(RLIMIT_FSIZE, &limited);
  }
  FileSizeLimit(const FileSizeLimit&) = delete;
  ~FileSizeLimit() {
    setrlimit(RLIMIT_FSIZE, &before_);
    signal(SIGXFSZ, before_handler_);
  }

 private:
  rlimit before_{};
  sighandler_t before_handler_;
};

std::vector<std::string> names_in(const TemporaryDirectory& directory) {
  return *list_directory(directory.path());
}

std::string text_of(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

}  // namespace

BOOST_AUTO_TEST_CASE(only_plain_names_are_safe_components) {
  for (const char* good : {"a", "model-00001-of-00002.safetensors", "A_b+c.9", "a..b"}) {
    BOOST_TEST(is_safe_component(good), good);
  }
  for (const std::string& bad :
       {std::string(), std::string("."), std::string(".."), std::string(".hidden"),
        std::string("a/b"), std::string("/a"), std::string("../a"), std::string("a\\b"),
        std::string("a b"), std::string("a\0b", 3), std::string("a\n"), std::string(256, 'a'),
        std::string("\xc3\xbc")}) {
    BOOST_TEST(!is_safe_component(bad), bad);
    check_error(safe_component(bad), ErrorCode::invalid_file, "is not allowed: give one name");
  }
}

BOOST_AUTO_TEST_CASE(paths_are_taken_apart_and_joined) {
  BOOST_TEST(join_path("a", "b") == "a/b");
  BOOST_TEST(join_path("a/", "b") == "a/b");
  BOOST_TEST(join_path("", "b") == "b");
  BOOST_TEST(file_name_of("a/b//") == "b");
  BOOST_TEST(file_name_of("b") == "b");
  BOOST_TEST(parent_of("a/b/") == "a");
  BOOST_TEST(parent_of("/b") == "/");
  BOOST_TEST(parent_of("b") == ".");
}

BOOST_AUTO_TEST_CASE(whole_files_are_read_up_to_a_limit) {
  const TemporaryDirectory directory;
  const std::string path = directory.put("a", "hello");
  BOOST_TEST(*read_file(path, 5) == "hello");
  BOOST_TEST(read_file(directory.put("empty", ""), 5)->empty());
  const std::string large(3'000'000, 'x');
  BOOST_CHECK(*read_file(directory.put("large", large), large.size()) == large);
  check_error(read_file(path, 4), ErrorCode::invalid_file, "/a: larger than the limit of 4 bytes");
  check_error(read_file(directory.file("b"), 9), ErrorCode::not_found,
              "/b: cannot open: No such file");
  check_error(read_file(directory.path(), 9), ErrorCode::io, "Is a directory; give a file");
  check_error(read_file("/dev/zero", 9), ErrorCode::io, "/dev/zero: cannot read: not a regular");
  check_error(read_file(path + "/x", 9), ErrorCode::not_found, "a part of the path is a file");
  BOOST_TEST(read_file("/proc/self/status", 100'000)->starts_with("Name:"));
  check_error(read_file("/proc/self/status", 9), ErrorCode::invalid_file, "limit of 9 bytes");
}

BOOST_AUTO_TEST_CASE(files_are_mapped) {
  const TemporaryDirectory directory;
  std::string content;
  for (int i = 0; i < 100'000; ++i) content.push_back(static_cast<char>(i % 127));
  const auto mapped = MappedFile::open(directory.put("a", content));
  BOOST_REQUIRE(mapped.ok());
  BOOST_CHECK(text_of((*mapped)->bytes()) == content);
  for (const std::size_t begin : {0u, 1u, 4095u, 4096u, 99'999u, 100'000u, 200'000u}) {
    (*mapped)->advise(Access::will_need, begin, 5000);
    (*mapped)->drop_pages(begin, 5000);
  }
  (*mapped)->drop_pages(0, SIZE_MAX);
  (*mapped)->advise(Access::sequential);
  BOOST_CHECK(text_of((*mapped)->bytes()) == content);
  const auto empty = MappedFile::open(directory.put("b", ""));
  BOOST_REQUIRE(empty.ok());
  BOOST_TEST((*empty)->bytes().size() == 0u);
  check_error(MappedFile::open(directory.file("c")), ErrorCode::not_found, "/c: cannot open");
  check_error(MappedFile::open("/dev/null"), ErrorCode::io, "not a regular file");
}

BOOST_AUTO_TEST_CASE(dropped_pages_leave_memory) {
  const auto resident_bytes = [] {
    const std::string text = *read_file("/proc/self/statm", 1000);
    return std::stoull(text.substr(text.find(' '))) * static_cast<std::size_t>(getpagesize());
  };
  const TemporaryDirectory directory;
  constexpr std::size_t size_bytes = 32 << 20;
  const auto mapped = MappedFile::open(directory.put("a", std::string(size_bytes, 'x')));
  BOOST_REQUIRE(mapped.ok());
  std::size_t sum = 0;
  for (const std::byte b : (*mapped)->bytes()) sum += static_cast<std::size_t>(b);
  const std::size_t touched = resident_bytes();
  (*mapped)->drop_pages(0, size_bytes);
  BOOST_TEST(sum == size_bytes * 'x');
  BOOST_TEST(resident_bytes() + size_bytes / 2 < touched);
}

BOOST_AUTO_TEST_CASE(nothing_outside_a_directory_is_opened) {
  const TemporaryDirectory directory;
  const std::string secret = directory.put("secret", "s");
  const std::string inside = directory.file("inside");
  BOOST_REQUIRE(make_directories(inside).ok());
  directory.put("inside/a", "ok");
  std::filesystem::create_symlink(secret, inside + "/absolute");
  std::filesystem::create_symlink("../secret", inside + "/relative");
  std::filesystem::create_symlink("a", inside + "/harmless");
  BOOST_TEST(*read_file_inside(inside, "a", 9) == "ok");
  for (const char* link : {"absolute", "relative", "harmless"}) {
    check_error(read_file_inside(inside, link, 9), ErrorCode::invalid_file,
                "is a symbolic link to");
  }
  for (const char* name : {"../secret", "..", "./a", "/etc/passwd", ""}) {
    check_error(open_inside(inside, name), ErrorCode::invalid_file, "is not allowed");
  }
  check_error(open_inside(inside, "b"), ErrorCode::not_found, "inside/b: cannot open");
  check_error(open_inside(directory.file("none"), "a"), ErrorCode::not_found, "/none: cannot open");
  BOOST_REQUIRE(make_directories(inside + "/sub").ok());
  check_error(MappedFile::open_inside(inside, "sub"), ErrorCode::io, "Is a directory");
}

BOOST_AUTO_TEST_CASE(a_hugging_face_cache_may_link_to_its_blobs) {
  const TemporaryDirectory directory;
  const std::string snapshot = directory.file("models--x/snapshots/abc");
  BOOST_REQUIRE(make_directories(snapshot).ok());
  BOOST_REQUIRE(make_directories(directory.file("models--x/blobs")).ok());
  directory.put("models--x/blobs/0a1b", "blob");
  directory.put("models--x/secret", "s");
  std::filesystem::create_symlink("../../blobs/0a1b", snapshot + "/a");
  std::filesystem::create_symlink("../../blobs/../secret", snapshot + "/b");
  std::filesystem::create_symlink("../../secret", snapshot + "/c");
  std::filesystem::create_symlink("../secret", directory.file("models--x/blobs/link"));
  std::filesystem::create_symlink("../../blobs/link", snapshot + "/d");
  BOOST_TEST(*read_file_inside(snapshot, "a", 9) == "blob");
  check_error(read_file_inside(snapshot, "b", 9), ErrorCode::invalid_file, "is a symbolic link");
  check_error(read_file_inside(snapshot, "c", 9), ErrorCode::invalid_file, "is a symbolic link");
  check_error(read_file_inside(snapshot, "d", 9), ErrorCode::io, "symbolic links");
}

BOOST_AUTO_TEST_CASE(files_are_replaced_atomically) {
  const TemporaryDirectory directory;
  const std::string path = directory.file("a");
  BOOST_REQUIRE(write_file_atomic(path, std::string_view("one")).ok());
  BOOST_REQUIRE(write_file_atomic(path, std::string_view("three")).ok());
  BOOST_TEST(directory.get("a") == "three");
  BOOST_TEST(names_in(directory) == std::vector<std::string>{"a"},
             boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(failed_writes_leave_the_old_file_and_nothing_else) {
  const TemporaryDirectory directory;
  const std::string path = directory.put("a", "old");
  {
    const FileSizeLimit limit(4096);
    check_error(write_file_atomic(path, std::string(10'000, 'x')), ErrorCode::io,
                "cannot write: File too large; raise the limit");
  }
  BOOST_TEST(directory.get("a") == "old");
  BOOST_TEST(names_in(directory).size() == 1u);
  check_error(write_file_atomic(path + "/b", std::string_view("x")), ErrorCode::not_found,
              "a part of the path is a file");
  BOOST_REQUIRE(make_directories(directory.file("sub")).ok());
  check_error(write_file_atomic(directory.file("sub"), std::string_view("x")), ErrorCode::io,
              "/sub: cannot replace: Is a directory");
  BOOST_TEST(names_in(directory).size() == 2u);
  BOOST_CHECK(!write_file_atomic("/proc/collie", std::string_view("x")).ok());
}

BOOST_AUTO_TEST_CASE(directories_are_made_and_removed) {
  const TemporaryDirectory directory;
  BOOST_CHECK(make_directories(directory.file("a/b/c")).ok());
  BOOST_CHECK(make_directories(directory.file("a/b/c")).ok());
  BOOST_CHECK(is_directory(directory.file("a/b/c")));
  const std::string file = directory.put("f", "x");
  check_error(make_directories(file), ErrorCode::not_found, "/f: cannot make the directory");
  check_error(make_directories(file + "/x"), ErrorCode::not_found, "cannot make the directory");
  std::filesystem::create_symlink(file, directory.file("a/link"));
  BOOST_CHECK(remove_tree(directory.file("a")).ok());
  BOOST_CHECK(remove_tree(directory.file("a")).ok());
  BOOST_CHECK(exists(file) && !exists(directory.file("a")));
  check_error(list_directory(directory.file("a")), ErrorCode::not_found, "/a: cannot list");
  BOOST_TEST(*file_size_bytes(file) == 1u);
  BOOST_TEST(*free_space_bytes(directory.file("not/yet")) == *free_space_bytes(directory.path()),
             boost::test_tools::tolerance(0.1));
}
