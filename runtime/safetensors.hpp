// safetensors files: 8 bytes of header length (little endian), a JSON header, raw tensors. Format:
// https://github.com/huggingface/safetensors#format. Everything in a file is hostile until checked;
// an opened file obeyed every rule of the format. Errors are invalid_file (or unsupported for an
// element type that exists but is not ours, not_found, io) and name the file and the tensor.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/dtype.hpp"
#include "runtime/file.hpp"
#include "runtime/result.hpp"
#include "runtime/tensor.hpp"

namespace collie {

struct TensorEntry {
  std::string name;
  DType dtype = DType::f32;
  std::vector<std::int64_t> shape;  // may have more axes than a Tensor
  std::size_t offset_bytes = 0;     // from the start of the file
  std::size_t size_bytes = 0;       // product(shape) * size_of(dtype), inside the file
};

using SafetensorsMetadata = std::map<std::string, std::string, std::less<>>;

// One validated file. Copies share it; const access is thread-safe. Entries live as long as a copy.
class SafetensorsFile {
 public:
  static Result<SafetensorsFile> open(const std::string& path);
  static Result<SafetensorsFile> open(std::shared_ptr<const MappedFile> file);
  // bytes stay valid as long as the keeper, or, without one, longer than the file and its tensors.
  static Result<SafetensorsFile> from_bytes(std::span<const std::byte> bytes, std::string name,
                                            std::shared_ptr<const void> keeper = nullptr);

  const std::string& path() const;
  std::span<const TensorEntry> entries() const;  // in the order of their bytes
  const TensorEntry* find(std::string_view name) const;
  const SafetensorsMetadata& metadata() const;
  std::size_t data_bytes() const;  // of all tensors

  std::span<const std::byte> bytes(const TensorEntry& entry) const;
  // Zero copy, frozen, keeps the mapping alive. Copied only where the file puts it at an address
  // its type cannot have. Fails where the rank is above limits::tensor_rank_max.
  Result<Tensor> tensor(const TensorEntry& entry) const;
  Result<Tensor> tensor(std::string_view name) const;
  // Gives back the memory of the entry's pages once they have been read; they stay readable.
  void drop_pages(const TensorEntry& entry) const;

 private:
  struct State;
  explicit SafetensorsFile(std::shared_ptr<const State> state) : state_(std::move(state)) {}
  static Result<SafetensorsFile> parse(std::shared_ptr<State> state);
  std::shared_ptr<const State> state_;
};

struct LocatedTensor {
  const SafetensorsFile* file = nullptr;
  const TensorEntry* entry = nullptr;
};

// The weights of a Hugging Face directory: <stem>.safetensors, or the shards that
// <stem>.safetensors.index.json names. All headers are checked at once, data is only mapped.
class TensorDirectory {
 public:
  static Result<TensorDirectory> open(const std::string& directory,
                                      std::string_view stem = "model");

  const std::string& path() const { return path_; }
  std::span<const SafetensorsFile> files() const { return *files_; }
  std::vector<std::string> names() const;  // sorted
  std::size_t tensor_count() const { return located_.size(); }
  std::size_t total_bytes() const { return total_bytes_; }  // of all tensors
  const LocatedTensor* find(std::string_view name) const;
  Result<Tensor> tensor(std::string_view name) const;

 private:
  Status add_single(std::string_view name);
  Status add_index(std::string_view name);
  std::string path_;
  std::shared_ptr<std::vector<SafetensorsFile>> files_;  // stable addresses under a move
  std::map<std::string, LocatedTensor, std::less<>> located_;
  std::size_t total_bytes_ = 0;
};

struct TensorSpec {
  std::string name;
  DType dtype = DType::f32;
  std::vector<std::int64_t> shape;
};

struct SafetensorsWriterOptions {
  std::string stem = "model";         // <stem>.safetensors, <stem>-00001-of-00002.safetensors, ...
  std::uint64_t shard_bytes_max = 0;  // 0: one file; a larger tensor gets a file of its own
  SafetensorsMetadata metadata = {{"format", "pt"}};
};

// Writes tensors piece by piece into a directory, byte for byte as Hugging Face's library does: the
// same shards, order, header and index. Memory used is that of one piece. Names are unique, shapes
// valid (programmer's errors). One thread at a time.
class SafetensorsWriter {
 public:
  // directory must outlive the writer.
  static Result<SafetensorsWriter> create(const DirectoryWriter& directory,
                                          std::vector<TensorSpec> tensors,
                                          SafetensorsWriterOptions options = {});
  SafetensorsWriter(SafetensorsWriter&&) noexcept;
  SafetensorsWriter& operator=(SafetensorsWriter&&) noexcept;
  ~SafetensorsWriter();

  // The next bytes of a tensor, row-major. Tensors may come in any order and interleaved.
  Status append(std::string_view name, std::span<const std::byte> piece);
  Status append(std::string_view name, const Tensor& piece);
  // Every declared byte must have come by now. Syncs and writes the index if there are shards.
  Status close();
  std::vector<std::string> file_names() const;  // data files and index

 private:
  struct State;
  explicit SafetensorsWriter(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace collie
