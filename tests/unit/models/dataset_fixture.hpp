// A dataset of temporary files and a tokenizer of bytes, for the tests of models/dataset.
#pragma once

#include <unistd.h>

#include "models/dataset/dataset.hpp"

#include <boost/test/unit_test.hpp>
#include <filesystem>
#include <fstream>
#include <map>

namespace collie {

// One token a byte: what a test expects can be written down by hand.
constexpr std::int32_t end_token = 256;
constexpr std::int32_t begin_token = 257;
constexpr std::int32_t fill_token = 258;

class ByteEncoder : public TextEncoder {
 public:
  std::vector<std::int32_t> encode(std::string_view text) const override {
    std::vector<std::int32_t> ids;
    for (const char byte : text) ids.push_back(static_cast<unsigned char>(byte));
    return ids;
  }
  std::optional<std::int32_t> begin_id() const override { return begin; }
  std::optional<std::int32_t> end_id() const override { return end_token; }
  std::int32_t fill_id() const override { return fill_token; }

  std::optional<std::int32_t> begin;
};

// '$' ends a text, '^' begins one, '.' fills, '-' is no label.
inline std::string shown(const Tensor& tokens) {
  std::string text;
  for (std::int64_t i = 0; i < tokens.element_count(); ++i) {
    const std::int32_t id = tokens.data<std::int32_t>()[i];
    const std::map<std::int32_t, char> signs = {
        {end_token, '$'}, {begin_token, '^'}, {fill_token, '.'}, {ignored_label, '-'}};
    const auto sign = signs.find(id);
    text.push_back(sign == signs.end() ? static_cast<char>(id) : sign->second);
  }
  return text;
}

inline std::string digits(const Tensor& positions) {
  std::string text;
  for (std::int64_t i = 0; i < positions.element_count(); ++i) {
    text += std::to_string(positions.data<std::int32_t>()[i]);
  }
  return text;
}

struct Fixture {
  Fixture()
      : directory(std::filesystem::temp_directory_path() /
                  fmt::format("dataset_test_{}", ::getpid())) {
    std::filesystem::create_directories(directory);
    data.sequence_length = 8;
    data.shuffle = false;
  }
  ~Fixture() { std::filesystem::remove_all(directory); }

  std::string write(const std::string& name, std::string_view content) {
    const std::filesystem::path path = directory / name;
    std::ofstream(path, std::ios::binary) << content;
    return path.string();
  }
  void train_on(const std::string& name, std::string_view content) {
    data.train.push_back(write(name, content));
  }
  Dataset open() {
    auto splits = open_training_data(data, encoder, options);
    BOOST_REQUIRE_MESSAGE(splits.ok(), (splits.ok() ? "" : splits.error().message));
    return splits->train;
  }
  std::string error() {
    const auto splits = open_training_data(data, encoder, options);
    return splits.ok() ? "no error" : splits.error().message;
  }
  MicroBatch batch(const Dataset& dataset, BatchLayout layout = {}, std::int64_t step = 0,
                   std::int64_t replica = 0, std::int64_t index = 0) {
    return dataset.micro_batch(layout, step, replica, index, allocator);
  }

  std::filesystem::path directory;
  DataSection data;
  DatasetOptions options;
  ByteEncoder encoder;
  Allocator allocator{"test"};
};

inline bool says(const std::string& message, std::string_view part) {
  BOOST_TEST_INFO("message: " << message);
  return message.find(part) != std::string::npos && message.find('\n') == std::string::npos;
}

}  // namespace collie
