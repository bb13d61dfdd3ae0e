// Reading: from a mapped file's tensor to a shard's slice.
#include <algorithm>
#include <cstring>
#include <set>

#include "models/hf_model.hpp"
#include "models/registry.hpp"
#include "models/resize_vocabulary.hpp"
#include "models/stage.hpp"
#include "runtime/suggest.hpp"

namespace collie {

namespace {

constexpr std::size_t names_shown = 3;
constexpr std::int64_t tile = 32;

const LocatedTensor* locate(const TensorDirectory& directory, const Family& family,
                            const std::string& name) {
  const LocatedTensor* found = directory.find(name);
  if (found == nullptr && name.starts_with(family.base_prefix)) {
    found = directory.find(name.substr(family.base_prefix.size()));
  }
  return found;
}

// Counts everything, keeps the first few.
class Complaints {
 public:
  void add(std::string text) {
    if (shown_.size() < names_shown) shown_.push_back(std::move(text));
    ++count_;
  }
  std::string summary(std::string_view what) const {
    if (count_ == 0) return {};
    std::string text = fmt::format(" {} {}: ", count_, what);
    for (const std::string& one : shown_) text += one + ", ";
    if (count_ > shown_.size()) return text + "...;";
    text.resize(text.size() - 2);
    return text + ";";
  }
  bool any() const { return count_ > 0; }

 private:
  std::vector<std::string> shown_;
  std::size_t count_ = 0;
};

std::string shape_text(std::span<const std::int64_t> dims) {
  std::string text = "[";
  for (const std::int64_t dim : dims) text += fmt::format("{}{}", text.size() > 1 ? ", " : "", dim);
  return text + "]";
}

bool is_readable(DType dtype) {
  return dtype == DType::f32 || dtype == DType::bf16 || dtype == DType::f16;
}

void check_one(const ParameterSpec& spec, const TensorEntry& entry, Complaints& misshapen) {
  const std::vector<std::int64_t> wanted = file_shape(spec);
  if (entry.shape != wanted) {
    misshapen.add(fmt::format("{} is {} instead of {}", entry.name, shape_text(entry.shape),
                              shape_text(wanted)));
  } else if (!is_readable(entry.dtype)) {
    misshapen.add(
        fmt::format("{} is {} instead of F32, BF16 or F16", entry.name, to_string(entry.dtype)));
  }
}

bool is_harmless(const Family& family, const ModelTraits& traits, std::string_view name) {
  if (name == "lm_head.weight" && traits.tied_embeddings) return true;
  return std::any_of(family.harmless.begin(), family.harmless.end(),
                     [&](std::string_view end) { return name.ends_with(end); });
}

// One element of any readable type, at any address.
template <DType dtype>
float element(const std::byte* at) {
  if constexpr (dtype == DType::f32) {
    float value = 0.0F;
    std::memcpy(&value, at, sizeof(value));
    return value;
  } else {
    std::uint16_t bits = 0;
    std::memcpy(&bits, at, sizeof(bits));
    if constexpr (dtype == DType::f16) return f16_to_f32(bits);
    return std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16);
  }
}

template <DType dtype, class Value>
void read_slice(const std::byte* from, const ParameterSpec& spec, Value* to) {
  constexpr auto width = static_cast<std::int64_t>(size_of(dtype));
  const std::int64_t first_row = spec.hf.row_offset + spec.row_begin;
  const std::int64_t rows = spec.local_rows(), cols = spec.local_cols();
  const std::int64_t row_stride = spec.hf.transposed ? 1 : spec.cols;
  const std::int64_t col_stride = spec.hf.transposed ? spec.hf.file_rows : 1;
  // Tiles, so that a transposed read does not touch a cache line once per element.
  for (std::int64_t row_tile = 0; row_tile < rows; row_tile += tile) {
    for (std::int64_t col_tile = 0; col_tile < cols; col_tile += tile) {
      for (std::int64_t r = row_tile; r < std::min(row_tile + tile, rows); ++r) {
        for (std::int64_t c = col_tile; c < std::min(col_tile + tile, cols); ++c) {
          const std::int64_t index =
              (first_row + r) * row_stride + (spec.col_begin + c) * col_stride;
          to[r * cols + c] = Value(element<dtype>(from + index * width));
        }
      }
    }
  }
}

template <class Value>
void read_as(const LocatedTensor& located, const ParameterSpec& spec, Value* to) {
  const std::byte* from = located.file->bytes(*located.entry).data();
  switch (located.entry->dtype) {
    case DType::f32:
      return read_slice<DType::f32>(from, spec, to);
    case DType::bf16:
      return read_slice<DType::bf16>(from, spec, to);
    default:
      return read_slice<DType::f16>(from, spec, to);
  }
}

// Of the model, whose vocabulary may be larger here.
void read_base(const LocatedTensor& located, const ModelTraits& traits, const ParameterSpec& spec,
               Tensor value) {
  if (traits.rows_in_files > 0 && is_vocabulary_table(spec)) {
    return read_resized(located, spec, traits.rows_in_files, std::move(value));
  }
  read_parameter(located, spec, std::move(value));
}

}  // namespace

std::vector<std::int64_t> file_shape(const ParameterSpec& spec) {
  if (spec.is_vector) return {spec.hf.file_rows};
  if (spec.hf.transposed) return {spec.cols, spec.hf.file_rows};
  return {spec.hf.file_rows, spec.cols};
}

void read_parameter(const LocatedTensor& located, const ParameterSpec& spec, Tensor value) {
  if (value.dtype() == DType::f32) {
    read_as(located, spec, value.mutable_data<float>());
  } else {
    read_as(located, spec, value.mutable_data<BFloat16>());
  }
  located.file->drop_pages(*located.entry);
}

Status check_tensors(const TensorDirectory& directory, const ModelTraits& traits) {
  const Family& family = family_of(traits);
  StageSlice whole;
  whole.layer_end = traits.layer_count;
  COLLIE_TRY(const std::vector<ParameterSpec> specs,
             declare_parameters(traits_of_files(traits), whole));
  std::set<std::string, std::less<>> known;
  Complaints missing, misshapen, unknown;
  for (const ParameterSpec& spec : specs) {
    const bool is_first = known.insert(spec.hf.tensor).second;
    const LocatedTensor* located = locate(directory, family, spec.hf.tensor);
    if (!is_first) continue;
    if (located == nullptr) {
      missing.add(spec.hf.tensor);
    } else {
      check_one(spec, *located->entry, misshapen);
    }
  }
  for (const std::string& name : directory.names()) {
    const bool is_known =
        known.contains(name) || known.contains(std::string(family.base_prefix) + name);
    if (!is_known && !is_harmless(family, traits, name)) unknown.add(quoted_name(name));
  }
  if (!missing.any() && !misshapen.any() && !unknown.any()) return ok_status();
  return make_error(ErrorCode::invalid_file,
                    "{}:{}{}{} use the config.json that belongs to these weights", directory.path(),
                    missing.summary("tensors missing"),
                    misshapen.summary("of another shape or type"), unknown.summary("unknown"));
}

Status load_parameters(const TensorDirectory& directory, const ModelTraits& traits,
                       Parameters& parameters, Stream& stream) {
  COLLIE_TRY_VOID(check_tensors(directory, traits));
  const Family& family = family_of(traits);
  for (int index = 0; index < parameters.count(); ++index) {
    if (parameters.is_alias(index)) continue;
    const ParameterSpec& spec = parameters.specs()[static_cast<std::size_t>(index)];
    if (spec.adapter || !parameters.holds_value(index)) continue;
    read_base(*locate(directory, family, spec.hf.tensor), traits, spec, parameters.value(index));
  }
  parameters.refresh_compute(stream);
  return ok_status();
}

void load_parameter(const TensorDirectory& directory, const ModelTraits& traits,
                    const ParameterSpec& spec, Tensor value) {
  const LocatedTensor* located = locate(directory, family_of(traits), spec.hf.tensor);
  COLLIE_CHECK(located != nullptr, "{} has not been checked", spec.hf.tensor);
  read_base(*located, traits, spec, std::move(value));
}

}  // namespace collie
