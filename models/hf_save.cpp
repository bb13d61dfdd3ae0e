// Writing: from the slices of all shards to whole tensors, a few megabytes at a time.
#include <algorithm>
#include <array>
#include <cmath>

#include "models/hf_model.hpp"
#include "models/registry.hpp"

namespace collie {

namespace {

constexpr std::int64_t piece_elements = std::int64_t{1} << 20;

constexpr std::array<std::string_view, 9> companion_files = {
    "generation_config.json", "tokenizer.json",      "tokenizer_config.json",
    "tokenizer.model",        "vocab.json",          "merges.txt",
    "added_tokens.json",      "chat_template.jinja", "special_tokens_map.json",
};

void to_half(std::span<const float> values, DType dtype, std::uint16_t* out) {
  for (const float value : values) {
    *out++ = dtype == DType::bf16 ? BFloat16(value).bits : f32_to_f16(value);
  }
}

}  // namespace

Status copy_companion_files(const std::string& from_directory, const DirectoryWriter& to) {
  for (const std::string_view name : companion_files) {
    // What is already there, the writer of the directory knows better.
    if (exists(join_path(to.temporary_path(), name))) continue;
    if (!exists(join_path(from_directory, name))) continue;
    COLLIE_TRY(const std::string content,
               read_file_inside(from_directory, name, limits::json_bytes_max));
    COLLIE_TRY_VOID(to.write_file(name, content));
  }
  return ok_status();
}

ModelAssembler::Target& ModelAssembler::Collection::at(const std::string& name) {
  const auto [found, is_new] = index_.emplace(name, targets_.size());
  if (is_new) targets_.emplace_back().name = name;
  return targets_[found->second];
}

const ModelAssembler::Target* ModelAssembler::Collection::find(std::string_view name) const {
  const auto found = index_.find(name);
  return found == index_.end() ? nullptr : &targets_[found->second];
}

void ModelAssembler::add(const Parameters& parameters) {
  for (int index = 0; index < parameters.count(); ++index) {
    const ParameterSpec& spec = parameters.specs()[static_cast<std::size_t>(index)];
    if (parameters.is_alias(index) || spec.adapter || !parameters.holds_value(index)) continue;
    add(spec, parameters.value(index));
  }
}

void ModelAssembler::add(const ParameterSpec& spec, const Tensor& values) {
  COLLIE_CHECK(values.element_count() == spec.local_count(), "{} has another size", spec.name);
  place(spec, {.values = values, .make = {}});
}

void ModelAssembler::add(const ParameterSpec& spec, std::function<Tensor()> make) {
  place(spec, {.values = {}, .make = std::move(make)});
}

ModelAssembler::Target ModelAssembler::made(const Target& target) {
  Target whole = target;
  for (Piece& piece : whole.pieces) {
    if (piece.make) piece.values = piece.make();
  }
  return whole;
}

void ModelAssembler::place(const ParameterSpec& spec, Piece piece) {
  if (!spec.owned) return;
  Target& parameter = parameters_.at(spec.name);
  parameter.rows = spec.rows;
  parameter.cols = spec.cols;
  piece.row = spec.row_begin;
  piece.rows = spec.local_rows();
  piece.row_stride = piece.cols = spec.local_cols();
  piece.col = spec.col_begin;
  piece.col_stride = 1;
  parameter.pieces.push_back(piece);

  Target& file = files_.at(spec.hf.tensor);
  file.rows = spec.hf.file_rows;
  file.cols = spec.cols;
  file.is_vector = spec.is_vector;
  Piece& placed = file.pieces.emplace_back(piece);
  placed.row += spec.hf.row_offset;
  if (!spec.hf.transposed) return;
  std::swap(file.rows, file.cols);
  std::swap(placed.row, placed.col);
  std::swap(placed.rows, placed.cols);
  std::swap(placed.row_stride, placed.col_stride);
}

Status ModelAssembler::check_complete(const Target& target) {
  std::int64_t covered = 0;
  for (const Piece& piece : target.pieces) covered += piece.rows * piece.cols;
  if (covered == target.rows * target.cols) return ok_status();
  return make_error(ErrorCode::not_found, "{}: {} of {} elements are there: a shard is missing",
                    target.name, covered, target.rows * target.cols);
}

void ModelAssembler::assemble_rows(const Target& target, std::int64_t begin, std::int64_t end,
                                   float* out) {
  for (const Piece& piece : target.pieces) {
    const auto copy = [&](const auto* values) {
      const std::int64_t last = std::min(end, piece.row + piece.rows);
      for (std::int64_t row = std::max(begin, piece.row); row < last; ++row) {
        const auto* from = values + (row - piece.row) * piece.row_stride;
        float* to = out + (row - begin) * target.cols + piece.col;
        for (std::int64_t col = 0; col < piece.cols; ++col) {
          to[col] = static_cast<float>(from[col * piece.col_stride]);
        }
      }
    };
    piece.values.dtype() == DType::f32 ? copy(piece.values.data<float>())
                                       : copy(piece.values.data<BFloat16>());
  }
}

Status ModelAssembler::copy_global(std::string_view name, std::span<float> out) const {
  const Target* target = parameters_.find(name);
  if (target == nullptr) return make_error(ErrorCode::not_found, "no parameter {}", name);
  COLLIE_TRY_VOID(check_complete(*target));
  COLLIE_CHECK(static_cast<std::int64_t>(out.size()) == target->rows * target->cols);
  assemble_rows(made(*target), 0, target->rows, out.data());
  return ok_status();
}

Status ModelAssembler::check_fits_f16(const Target& target) {
  constexpr float rounds_to_infinity = 65520.0F;  // half way from the largest float16 to 2^16
  for (const Piece& piece : made(target).pieces) {
    const bool is_f32 = piece.values.dtype() == DType::f32;
    for (std::int64_t i = 0; i < piece.values.element_count(); ++i) {
      const float value = is_f32 ? piece.values.data<float>()[i]
                                 : static_cast<float>(piece.values.data<BFloat16>()[i]);
      if (std::abs(value) < rounds_to_infinity || !std::isfinite(value)) continue;
      return make_error(ErrorCode::invalid_data,
                        "{}: float16 holds at most 65504, not {:.6g}: set output.save_dtype to "
                        "bfloat16 or float32",
                        target.name, value);
    }
  }
  return ok_status();
}

Status ModelAssembler::write_target(const Target& declared, DType dtype,
                                    SafetensorsWriter& writer) {
  COLLIE_TRY_VOID(check_complete(declared));
  const Target target = made(declared);
  const std::int64_t step = std::max<std::int64_t>(1, piece_elements / target.cols);
  std::vector<float> values(static_cast<std::size_t>(std::min(step, target.rows) * target.cols));
  std::vector<std::uint16_t> halves(dtype == DType::f32 ? 0 : values.size());
  for (std::int64_t begin = 0; begin < target.rows; begin += step) {
    const std::int64_t end = std::min(begin + step, target.rows);
    const auto count = static_cast<std::size_t>((end - begin) * target.cols);
    assemble_rows(target, begin, end, values.data());
    const std::span<const float> piece(values.data(), count);
    if (dtype == DType::f32) {
      COLLIE_TRY_VOID(writer.append(target.name, std::as_bytes(piece)));
      continue;
    }
    to_half(piece, dtype, halves.data());
    COLLIE_TRY_VOID(writer.append(target.name, std::as_bytes(std::span(halves.data(), count))));
  }
  return ok_status();
}

Status ModelAssembler::write(const DirectoryWriter& directory, const ModelTraits& traits,
                             const SaveOptions& options) const {
  COLLIE_CHECK(options.dtype == DType::f32 || options.dtype == DType::bf16 ||
               options.dtype == DType::f16);
  if (options.dtype == DType::f16) {
    for (const Target& target : files_.all()) {
      COLLIE_TRY_VOID(check_fits_f16(target));
    }
  }
  COLLIE_TRY_VOID(directory.write_file("config.json",
                                       dump_json(model_config_json(traits, options.dtype)) + "\n"));
  return write_weights(directory, options);
}

Status ModelAssembler::write_weights(const DirectoryWriter& directory,
                                     const SaveOptions& options) const {
  std::vector<TensorSpec> specs;
  for (const Target& target : files_.all()) {
    std::vector<std::int64_t> shape = {target.rows};
    if (!target.is_vector) shape.push_back(target.cols);
    specs.push_back({target.name, options.dtype, std::move(shape)});
  }
  SafetensorsWriterOptions writer_options;
  writer_options.shard_bytes_max = options.max_shard_bytes;
  writer_options.stem = options.stem;
  COLLIE_TRY(SafetensorsWriter writer,
             SafetensorsWriter::create(directory, std::move(specs), writer_options));
  for (const Target& target : files_.all()) {
    COLLIE_TRY_VOID(write_target(target, options.dtype, writer));
  }
  return writer.close();
}

}  // namespace collie
