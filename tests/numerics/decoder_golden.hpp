// The goldens of PyTorch, for tests: reading them, making batches of them, comparing gradients.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstring>
#include <map>
#include <string>
#include <vector>

#include "models/hf_model.hpp"
#include "models/registry.hpp"
#include "models/stage.hpp"

namespace collie::testing {

inline std::string golden_directory(const std::string& family) {
  return std::string(COLLIE_TESTS_DIR) + "/goldens/models/" + family;
}

template <class T>
T must(Result<T> result) {
  COLLIE_CHECK(result.ok(), "{}", result.error().message);
  return std::move(result).value();
}
inline void must_succeed(const Status& status) {
  COLLIE_CHECK(status.ok(), "{}", status.error().message);
}

inline StreamOptions inline_stream() {
  StreamOptions options;
  options.inline_execution = true;
  return options;
}

// One of the tensors PyTorch wrote.
class Golden {
 public:
  Golden(const std::string& family, const std::string& file)
      : file_(must(SafetensorsFile::open(golden_directory(family) + "/" + file))) {}
  Tensor tensor(const std::string& name) const { return must(file_.tensor(name)); }
  std::vector<std::int32_t> ids(const std::string& name) const {
    const Tensor values = tensor(name);
    const auto* data = values.data<std::int64_t>();
    return {data, data + values.element_count()};
  }
  // Of a float32 or float16 tensor.
  std::vector<float> floats(const std::string& name) const {
    const Tensor values = tensor(name);
    std::vector<float> found(static_cast<std::size_t>(values.element_count()));
    if (values.dtype() == DType::f32) {
      std::memcpy(found.data(), values.raw(), values.size_bytes());
      return found;
    }
    COLLIE_CHECK(values.dtype() == DType::f16);
    for (std::size_t index = 0; index < found.size(); ++index) {
      std::uint16_t half = 0;
      std::memcpy(&half, values.raw() + index * sizeof(half), sizeof(half));
      found[index] = f16_to_f32(half);
    }
    return found;
  }
  double loss() const { return static_cast<double>(tensor("loss").data<float>()[0]); }

 private:
  SafetensorsFile file_;
};

inline Tensor int_tensor(Stream& stream, const std::vector<std::int32_t>& values) {
  Tensor tensor = stream.allocate(DType::i32, {static_cast<std::int64_t>(values.size())});
  std::memcpy(tensor.mutable_raw(), values.data(), tensor.size_bytes());
  return tensor;
}

inline std::vector<std::int32_t> plain_positions(std::int64_t rows, std::int64_t sequence,
                                                 std::int64_t first = 0) {
  std::vector<std::int32_t> positions;
  for (std::int64_t token = 0; token < rows * sequence; ++token) {
    positions.push_back(static_cast<std::int32_t>(first + token % sequence));
  }
  return positions;
}

inline MicroBatch make_batch(Stream& stream, std::int64_t rows,
                             const std::vector<std::int32_t>& ids,
                             const std::vector<std::int32_t>& labels,
                             const std::vector<std::int32_t>& positions) {
  MicroBatch batch;
  batch.rows = rows;
  batch.sequence = static_cast<std::int64_t>(ids.size()) / rows;
  batch.ids_t = int_tensor(stream, ids);
  batch.labels_t = int_tensor(stream, labels);
  batch.positions_t = int_tensor(stream, positions);
  for (const std::int32_t label : labels) batch.valid_tokens += label >= 0 ? 1 : 0;
  batch.loss_scale = 1.0F / static_cast<float>(batch.valid_tokens);
  return batch;
}

// Rows [begin, end) of a golden batch. The loss scale stays that of the whole batch.
inline MicroBatch golden_batch(Stream& stream, const Golden& golden, std::int64_t begin = 0,
                               std::int64_t end = 2) {
  const Tensor shape = golden.tensor("input_ids");
  const std::int64_t sequence = shape.dim(1);
  const std::int64_t rows = std::min(shape.dim(0), end);
  const auto cut = [&](const std::string& name) {
    const std::vector<std::int32_t> all = golden.ids(name);
    return std::vector<std::int32_t>(all.begin() + begin * sequence, all.begin() + rows * sequence);
  };
  MicroBatch batch = make_batch(stream, rows - begin, cut("input_ids"), cut("labels"),
                                plain_positions(rows - begin, sequence));
  float valid = 0.0F;
  for (const std::int32_t label : golden.ids("labels")) valid += label >= 0 ? 1.0F : 0.0F;
  batch.loss_scale = 1.0F / valid;
  return batch;
}

struct GradientError {
  double difference = 0.0, norm = 0.0;  // squared
  double relative() const { return std::sqrt(difference / norm); }
};

inline void add_error(const ParameterSpec& spec, const Golden& golden,
                      const std::vector<float>& values, GradientError& error) {
  const std::vector<float> wanted = golden.floats("grad/" + spec.hf.tensor);
  for (std::int64_t r = 0; r < spec.rows; ++r) {
    for (std::int64_t c = 0; c < spec.cols; ++c) {
      const std::int64_t row = spec.hf.row_offset + r;
      const std::int64_t at =
          spec.hf.transposed ? c * spec.hf.file_rows + row : row * spec.cols + c;
      const auto reference = static_cast<double>(wanted[static_cast<std::size_t>(at)]);
      const auto value = static_cast<double>(values[static_cast<std::size_t>(r * spec.cols + c)]);
      error.difference += (value - reference) * (value - reference);
      error.norm += reference * reference;
    }
  }
}

// Norm of the difference over norm of PyTorch's gradient: the worst over the tensors of the files.
struct WorstGradient {
  double error = 0.0;
  std::string name;
  double total = 0.0;  // the same measure over all gradients as one vector
};
inline WorstGradient compare_gradients(const ModelTraits& traits, const Golden& golden,
                                       const std::map<std::string, std::vector<float>>& gradients) {
  StageSlice whole;
  whole.layer_end = traits.layer_count;
  std::map<std::string, GradientError> errors;
  for (const ParameterSpec& spec : must(declare_parameters(traits, whole))) {
    if (spec.owned) add_error(spec, golden, gradients.at(spec.name), errors[spec.hf.tensor]);
  }
  WorstGradient worst;
  GradientError all;
  for (const auto& [name, error] : errors) {
    if (!(error.relative() <= worst.error)) worst = {error.relative(), name, 0.0};
    all.difference += error.difference;
    all.norm += error.norm;
  }
  worst.total = all.relative();
  return worst;
}

// The parameters of make_bf16_model in make_bf16_goldens.py, from those of golden.safetensors:
// rounded to bfloat16, then the matrices of the layers halved.
inline void make_exact_in_bf16(Parameters& parameters, Stream& stream) {
  for (int index = 0; index < parameters.count(); ++index) {
    const ParameterSpec& spec = parameters.specs()[static_cast<std::size_t>(index)];
    if (parameters.is_alias(index)) continue;
    const bool is_layer_matrix = !spec.is_vector && spec.name.starts_with("layers.");
    Tensor value = parameters.value(index);
    auto* data = value.mutable_data<float>();
    for (std::int64_t i = 0; i < value.element_count(); ++i) {
      data[i] = static_cast<float>(BFloat16(data[i])) * (is_layer_matrix ? 0.5F : 1.0F);
    }
  }
  parameters.refresh_compute(stream);
}

// The error of PyTorch's own gradients, all of them as one vector, when the Hugging Face model runs
// in torch.bfloat16 (torch 2.15, transformers 5.23), against the same float32 goldens;
// tests/goldens/models/measure_bf16_error.py prints it ("pure bfloat16").
inline double pytorch_bf16_error(const std::string& family) {
  static const std::map<std::string, double> measured = {
      {"llama2", 0.0305}, {"llama3", 0.0267}, {"llama3_tied", 0.0316}, {"mistral", 0.0252},
      {"qwen2", 0.0306},  {"qwen3", 0.0192},  {"gpt2", 0.0185}};
  return measured.at(family);
}

inline bool same_bits(const std::map<std::string, std::vector<float>>& a,
                      const std::map<std::string, std::vector<float>>& b) {
  if (a.size() != b.size()) return false;
  for (const auto& [name, values] : a) {
    const auto found = b.find(name);
    if (found == b.end() || found->second.size() != values.size() ||
        std::memcmp(found->second.data(), values.data(), values.size() * sizeof(float)) != 0) {
      return false;
    }
  }
  return true;
}

}  // namespace collie::testing
