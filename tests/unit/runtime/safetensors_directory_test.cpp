#define BOOST_TEST_MODULE safetensors_directory
#include <filesystem>

#include "runtime/safetensors.hpp"
#include "tests/unit/runtime/temporary_directory.hpp"

using namespace collie;
using collie::test::check_error;
using collie::test::message_of;
using collie::test::TemporaryDirectory;

namespace {

const std::string goldens = std::string(COLLIE_TESTS_DIR) + "/goldens/safetensors";
constexpr const char* index_name = "model.safetensors.index.json";
constexpr const char* shard_name = "model-00001-of-00004.safetensors";

// A directory with one real shard (it holds "embed") and the given index.
class ShardedModel {
 public:
  explicit ShardedModel(std::string_view index) {
    std::filesystem::copy(goldens + "/sharded/" + shard_name, directory_.file(shard_name));
    directory_.put(index_name, index);
  }
  Result<TensorDirectory> open() const { return TensorDirectory::open(directory_.path()); }
  const TemporaryDirectory& directory() const { return directory_; }

 private:
  TemporaryDirectory directory_;
};

std::string weight_map(std::string_view tensor, std::string_view file) {
  return fmt::format(R"({{"metadata":{{}},"weight_map":{{"{}":"{}"}}}})", tensor, file);
}

void check_refused(std::string_view index, ErrorCode code, std::string_view message) {
  const ShardedModel model(index);
  check_error(model.open(), code, message);
  BOOST_CHECK(message_of(model.open()).find(index_name) != std::string::npos);
}

}  // namespace

BOOST_AUTO_TEST_CASE(shards_are_one_set_of_tensors) {
  const auto opened = TensorDirectory::open(goldens + "/sharded");
  BOOST_REQUIRE_EQUAL(message_of(opened), "no error");
  const std::vector<std::string> names = {"bias", "big", "embed", "head", "norm"};
  BOOST_TEST(opened->names() == names, boost::test_tools::per_element());
  BOOST_TEST(opened->total_bytes() == 248u);
  BOOST_TEST(opened->tensor_count() == 5u);
  BOOST_TEST(opened->files().size() == 4u);
  const TensorDirectory copy = *opened;
  BOOST_TEST(copy.tensor("big")->data<float>()[23] == 20.0F);
  BOOST_CHECK(copy.find("head")->entry->dtype == DType::f64);
  BOOST_CHECK(copy.find("none") == nullptr);
  check_error(copy.tensor("none"), ErrorCode::not_found, "sharded: tensor 'none' is missing");
}

BOOST_AUTO_TEST_CASE(single_files_come_before_an_index) {
  const ShardedModel model("{ broken");
  std::filesystem::copy(goldens + "/mixed.safetensors",
                        model.directory().file("model.safetensors"));
  const auto opened = model.open();
  BOOST_REQUIRE_EQUAL(message_of(opened), "no error");
  BOOST_TEST(opened->tensor_count() == 14u);
  BOOST_CHECK(opened->find("embed") == nullptr);
  check_error(TensorDirectory::open(model.directory().path(), "adapter_model"),
              ErrorCode::not_found, "has neither adapter_model.safetensors nor adapter_model.safe");
}

BOOST_AUTO_TEST_CASE(directories_without_weights_are_refused) {
  const TemporaryDirectory empty;
  check_error(TensorDirectory::open(empty.path()), ErrorCode::not_found,
              "has neither model.safetensors nor model.safetensors.index.json");
  check_error(TensorDirectory::open(empty.file("x")), ErrorCode::not_found, "no such directory");
}

BOOST_AUTO_TEST_CASE(broken_indexes_are_refused) {
  const auto invalid = ErrorCode::invalid_file;
  check_refused("{", invalid, "not valid JSON");
  check_refused("[]", invalid, "expected an object, got an array");
  check_refused("{}", invalid, "weight_map: missing; expected an object");
  check_refused(R"({"weight_map":{}})", invalid, "weight_map: is empty");
  check_refused(R"({"weight_map":{"embed":1}})", invalid,
                "weight_map.'embed': expected a file name, got 1");
  check_refused(R"({"weight_map":{"embed":"a","embed":"b"}})", invalid, "appears twice");
}

BOOST_AUTO_TEST_CASE(indexes_stay_inside_their_directory) {
  for (const char* outside : {"../model.safetensors", "/etc/passwd", "..", "sub/model.safetensors",
                              "", ".hidden", "a\\u0000b", "a\\nb"}) {
    check_refused(weight_map("embed", outside), ErrorCode::invalid_file,
                  "weight_map.'embed': file name ");
  }
  const ShardedModel model(weight_map("embed", "link.safetensors"));
  std::filesystem::create_symlink(goldens + "/sharded/" + shard_name,
                                  model.directory().file("link.safetensors"));
  check_error(model.open(), ErrorCode::invalid_file, "link.safetensors: is a symbolic link to");
}

BOOST_AUTO_TEST_CASE(indexes_agree_with_their_files) {
  check_refused(weight_map("embed", "gone.safetensors"), ErrorCode::not_found,
                "names the file 'gone.safetensors', which is missing");
  check_refused(weight_map("head", shard_name), ErrorCode::invalid_file,
                "says that tensor 'head' is in 'model-00001-of-00004.safetensors', which does not");
  const ShardedModel damaged(weight_map("embed", shard_name));
  std::filesystem::resize_file(damaged.directory().file(shard_name), 100);
  check_error(damaged.open(), ErrorCode::invalid_file, "the file is truncated");
  BOOST_CHECK(ShardedModel(weight_map("embed", shard_name)).open().ok());
}
