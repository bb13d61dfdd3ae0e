// A fresh directory for one test case, removed afterwards; and how a test states an expected error.
#pragma once

#include <stdlib.h>

#include <boost/test/unit_test.hpp>
#include <fstream>
#include <iterator>
#include <string>
#include <string_view>

#include "runtime/file.hpp"

namespace collie::test {

class TemporaryDirectory {
 public:
  TemporaryDirectory() {
    const char* root = getenv("TMPDIR");
    path_ = join_path(root != nullptr ? root : "/tmp", "collie_test_XXXXXX");
    BOOST_REQUIRE(mkdtemp(path_.data()) != nullptr);
  }
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  ~TemporaryDirectory() { BOOST_CHECK(remove_tree(path_).ok()); }

  const std::string& path() const { return path_; }
  std::string file(std::string_view name) const { return join_path(path_, name); }
  // Not through runtime/file.hpp, which is under test.
  std::string put(std::string_view name, std::string_view content) const {
    std::ofstream(file(name), std::ios::binary) << content;
    return file(name);
  }
  std::string get(std::string_view name) const {
    std::ifstream in(file(name), std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
  }

 private:
  std::string path_;
};

template <class T>
std::string message_of(const Result<T>& result) {
  return result.ok() ? "no error" : result.error().message;
}

// The error is of this code and its single line contains the text.
template <class T>
void check_error(const Result<T>& result, ErrorCode code, std::string_view text) {
  const std::string message = message_of(result);
  BOOST_TEST_INFO(message);
  BOOST_REQUIRE(!result.ok());
  BOOST_TEST_INFO(message << " | expected: " << text);
  BOOST_CHECK(message.find(text) != std::string::npos);
  BOOST_TEST_INFO(message);
  BOOST_CHECK(result.error().code == code);
  BOOST_CHECK(message.find('\n') == std::string::npos);
}

}  // namespace collie::test
