// Weights of Hugging Face directories: read into the slices of one shard, assembled from the slices
// of a whole grid and written back.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "models/parameters.hpp"
#include "models/traits.hpp"
#include "runtime/file.hpp"
#include "runtime/safetensors.hpp"

namespace collie {

// Whether the directory holds exactly the tensors of this model, in its shapes and in a type that
// can be read (f32, bf16, f16). The error names the first few that are missing, misshapen or
// unknown and counts them all. Known harmless extras are passed over; the prefix of the bare
// decoder
// ("model.", "transformer.") may be missing.
Status check_tensors(const TensorDirectory& directory, const ModelTraits& traits);

// check_tensors, then reads the parts this shard holds and refreshes the compute copy. Touches only
// the pages it needs and gives them back tensor by tensor. Runs a kernel: call it from work
// submitted to the stream.
Status load_parameters(const TensorDirectory& directory, const ModelTraits& traits,
                       Parameters& parameters, Stream& stream);

// One of them alone, in its value's type, of a directory that check_tensors has accepted.
void load_parameter(const TensorDirectory& directory, const ModelTraits& traits,
                    const ParameterSpec& spec, Tensor value);

// The shape of the file's tensor that a parameter is a part of.
std::vector<std::int64_t> file_shape(const ParameterSpec& spec);
// The part this shard holds, from a tensor of that shape in f32, bf16 or f16. value: f32.
void read_parameter(const LocatedTensor& located, const ParameterSpec& spec, Tensor value);

struct SaveOptions {
  DType dtype = DType::f32;  // f32, bf16 or f16
  std::uint64_t max_shard_bytes = std::uint64_t{5} << 30;
  std::string stem = "model";  // of the files' names
};

// generation_config.json and the files of a tokenizer, where there are such and the writer does not
// have them yet.
Status copy_companion_files(const std::string& from_directory, const DirectoryWriter& to);

// Whole tensors from the parts that the shards of one replica hold. Holds only references; memory
// used beyond that is one piece of a few megabytes. Tensors must be in host memory and stay
// unchanged.
class ModelAssembler {
 public:
  // The model: adapters beside it, and parts that are not owned (replicas, tied heads), are passed
  // over.
  void add(const Parameters& parameters);
  void add(const ParameterSpec& spec, const Tensor& values);  // f32, the spec's local shape
  // Values that are made when they are written, and whenever they are read, and then dropped.
  void add(const ParameterSpec& spec, std::function<Tensor()> make);

  // One parameter by its canonical name, [rows, cols]. Fails where parts are missing.
  Status copy_global(std::string_view name, std::span<float> out) const;

  // config.json and the weights, in the names and layout of the family's files. Fails before the
  // first byte where a finite value would become infinite in float16.
  Status write(const DirectoryWriter& directory, const ModelTraits& traits,
               const SaveOptions& options) const;
  // The weights alone.
  Status write_weights(const DirectoryWriter& directory, const SaveOptions& options) const;

 private:
  // Part of a target matrix: element (r, c) of it stands at values[(r - row) * row_stride +
  // (c - col) * col_stride].
  struct Piece {
    Tensor values;
    std::function<Tensor()> make;  // if there is one, values is empty until made()
    std::int64_t row = 0, rows = 0, row_stride = 0;
    std::int64_t col = 0, cols = 0, col_stride = 0;
  };
  struct Target {
    std::string name;
    std::int64_t rows = 0, cols = 0;
    bool is_vector = false;
    std::vector<Piece> pieces;
  };
  class Collection {
   public:
    Target& at(const std::string& name);
    const Target* find(std::string_view name) const;
    const std::vector<Target>& all() const { return targets_; }

   private:
    std::vector<Target> targets_;
    std::map<std::string, std::size_t, std::less<>> index_;
  };
  static Target made(const Target& target);
  void place(const ParameterSpec& spec, Piece piece);
  static Status check_complete(const Target& target);
  static Status check_fits_f16(const Target& target);
  static void assemble_rows(const Target& target, std::int64_t begin, std::int64_t end, float* out);
  static Status write_target(const Target& target, DType dtype, SafetensorsWriter& writer);

  Collection parameters_;  // by canonical name
  Collection files_;       // by name in files
};

}  // namespace collie
