#include "models/resize_vocabulary.hpp"

#include <algorithm>
#include <vector>

namespace collie {

namespace {

constexpr std::int64_t rows_read_together = 4096;

// A spec that means rows [begin, end) alone.
ParameterSpec rows_of(ParameterSpec spec, std::int64_t rows_in_files, std::int64_t begin,
                      std::int64_t end) {
  spec.rows = spec.hf.file_rows = rows_in_files;
  spec.row_begin = begin;
  spec.row_end = end;
  return spec;
}

// Of all rows in the file, each column's in double.
std::vector<float> mean_row(const LocatedTensor& located, const ParameterSpec& spec,
                            std::int64_t rows_in_files, Allocator& memory) {
  const std::int64_t cols = spec.local_cols();
  std::vector<double> sums(static_cast<std::size_t>(cols));
  for (std::int64_t begin = 0; begin < rows_in_files; begin += rows_read_together) {
    const std::int64_t end = std::min(begin + rows_read_together, rows_in_files);
    const Tensor part = allocate_tensor(memory, DType::f32, {end - begin, cols});
    read_parameter(located, rows_of(spec, rows_in_files, begin, end), part);
    const auto* values = part.data<float>();
    for (std::int64_t i = 0; i < part.element_count(); ++i) {
      sums[static_cast<std::size_t>(i % cols)] += static_cast<double>(values[i]);
    }
  }
  std::vector<float> mean(sums.size());
  std::ranges::transform(sums, mean.begin(), [&](double sum) {
    return static_cast<float>(sum / static_cast<double>(rows_in_files));
  });
  return mean;
}

template <class Value>
void fill_rows(const std::vector<float>& row, Value* to, std::int64_t rows) {
  for (std::int64_t r = 0; r < rows; ++r) {
    for (const float value : row) *to++ = Value(value);
  }
}

}  // namespace

Status resize_vocabulary(std::int64_t rows, ModelTraits& traits) {
  if (rows < traits.vocabulary_size) {
    return make_error(ErrorCode::invalid_config,
                      "model.resize_vocabulary: {} is less than the model's {}: rows are added, "
                      "none are taken away",
                      rows, traits.vocabulary_size);
  }
  if (rows == traits.vocabulary_size) return ok_status();
  traits.rows_in_files = traits.vocabulary_size;
  traits.vocabulary_size = rows;
  traits.hf_config["vocab_size"] = rows;
  return ok_status();
}

ModelTraits traits_of_files(const ModelTraits& traits) {
  ModelTraits stored = traits;
  if (stored.rows_in_files > 0) stored.vocabulary_size = stored.rows_in_files;
  return stored;
}

bool is_vocabulary_table(const ParameterSpec& spec) {
  return spec.name == "embedding" || spec.name == "head";
}

void read_resized(const LocatedTensor& located, const ParameterSpec& spec,
                  std::int64_t rows_in_files, Tensor value) {
  const std::int64_t old_end = std::clamp(rows_in_files, spec.row_begin, spec.row_end);
  const std::int64_t old_rows = old_end - spec.row_begin, new_rows = spec.row_end - old_end;
  if (old_rows > 0) {
    read_parameter(located, rows_of(spec, rows_in_files, spec.row_begin, old_end),
                   value.rows(0, old_rows));
  }
  if (new_rows == 0) return;
  Allocator memory("new rows of the vocabulary");
  const std::vector<float> mean = mean_row(located, spec, rows_in_files, memory);
  const std::int64_t begin = old_rows * spec.local_cols();
  if (value.dtype() == DType::f32) {
    fill_rows(mean, value.mutable_data<float>() + begin, new_rows);
  } else {
    fill_rows(mean, value.mutable_data<BFloat16>() + begin, new_rows);
  }
}

}  // namespace collie
