#include "models/peft/adapter_base.hpp"

#include <algorithm>
#include <cctype>
#include <cstring>
#include <filesystem>

#include "runtime/dtype.hpp"
#include "runtime/hash.hpp"
#include "runtime/json.hpp"
#include "runtime/safetensors.hpp"
#include "runtime/suggest.hpp"

namespace collie {

namespace {

constexpr std::int64_t samples_per_matrix = 64;
constexpr std::int64_t sampled_rows = 8;  // of an embedding, which may be given more
constexpr std::string_view weights_key = "weights_hash";

// "model.layers.3.mlp.up_proj.weight" and "h.3.mlp.c_fc.weight": a part that is a number.
bool is_of_layer(std::string_view name) {
  const auto is_digit = [](char c) { return c >= '0' && c <= '9'; };
  for (std::size_t dot = name.find('.'); dot != name.npos; dot = name.find('.', dot + 1)) {
    if (dot + 1 < name.size() && is_digit(name[dot + 1])) return true;
  }
  return false;
}

// Without what bare decoders leave out.
std::string_view bare_name(std::string_view name) {
  for (const std::string_view prefix : {"model.", "transformer."}) {
    if (name.starts_with(prefix)) return name.substr(prefix.size());
  }
  return name;
}

template <class T>
T element_at(std::span<const std::byte> bytes, std::int64_t index) {
  T value;
  std::memcpy(&value, bytes.data() + static_cast<std::size_t>(index) * sizeof(T), sizeof(T));
  return value;
}

std::uint16_t sample_of(DType dtype, std::span<const std::byte> bytes, std::int64_t index) {
  if (dtype == DType::bf16) return element_at<std::uint16_t>(bytes, index);
  const float value = dtype == DType::f16 ? f16_to_f32(element_at<std::uint16_t>(bytes, index))
                                          : element_at<float>(bytes, index);
  return BFloat16(value).bits;
}

// Of the first `rows` rows.
void add_samples(const LocatedTensor& located, std::int64_t rows, Hash64& hash) {
  const TensorEntry& entry = *located.entry;
  const std::span<const std::byte> bytes = located.file->bytes(entry);
  const std::int64_t count = rows * entry.shape[1];
  for (std::int64_t sample = 0; sample < samples_per_matrix && count > 0; ++sample) {
    const std::int64_t index = sample * (count - 1) / (samples_per_matrix - 1);
    const std::uint16_t bits = sample_of(entry.dtype, bytes, index);
    hash.update(std::as_bytes(std::span(&bits, 1)));
  }
}

// Letters and digits alone, in lower case.
std::string plain_letters(std::string_view text) {
  std::string letters;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (std::isalnum(byte) != 0) letters += static_cast<char>(std::tolower(byte));
  }
  return letters;
}

std::string base_name(const std::string& adapter_directory) {
  const auto config = read_json(join_path(adapter_directory, "adapter_config.json"));
  if (!config || !config->is_object()) return {};
  const auto found = config->find("base_model_name_or_path");
  return found == config->end() || !found->is_string() ? "" : found->get<std::string>();
}

// Of an adapter that has only a name for its base: a directory of its own, or what the directory
// of the model is called.
std::string doubt(const std::string& adapter_directory, const std::string& model_directory) {
  const std::string name = base_name(adapter_directory);
  if (name.empty()) return {};
  const std::string said = fmt::format("{}: its adapter_config.json says that its model is {}",
                                       adapter_directory, quoted_name(name));
  if (exists(join_path(name, "config.json"))) {
    const auto theirs = base_fingerprint(name);
    const auto ours = base_fingerprint(model_directory);
    if (!theirs || !ours || *theirs == *ours) return {};
    return fmt::format("{}, whose weights are not those of {}", said, model_directory);
  }
  const std::string wanted =
      plain_letters(std::filesystem::path(name).lexically_normal().filename().string());
  const std::string place = plain_letters(std::filesystem::absolute(model_directory).string());
  if (wanted.empty() || place.find(wanted) != place.npos) return {};
  return fmt::format("{}, not {}", said, model_directory);
}

}  // namespace

Result<std::uint64_t> base_fingerprint(const std::string& model_directory) {
  COLLIE_TRY(const TensorDirectory files, TensorDirectory::open(model_directory));
  std::vector<std::string> names = files.names();
  std::ranges::sort(names, {}, [](const std::string& name) { return bare_name(name); });
  Hash64 hash;
  for (const std::string& name : names) {
    const LocatedTensor& located = *files.find(name);
    const TensorEntry& entry = *located.entry;
    const bool is_float =
        entry.dtype == DType::f32 || entry.dtype == DType::bf16 || entry.dtype == DType::f16;
    // A head that is tied is in some copies' files and not in others'.
    if (entry.shape.size() != 2 || !is_float || name.ends_with("lm_head.weight")) continue;
    const std::int64_t rows =
        is_of_layer(name) ? entry.shape[0] : std::min(entry.shape[0], sampled_rows);
    hash.update(fmt::format("{}[{},{}]", bare_name(name), rows, entry.shape[1]));
    add_samples(located, rows, hash);
  }
  return hash.value();
}

Status write_adapter_base(const DirectoryWriter& directory, const std::string& model_directory) {
  COLLIE_TRY(const std::uint64_t hash, base_fingerprint(model_directory));
  const Json json = {{"base_model", model_directory}, {weights_key, hash_text(hash)}};
  return directory.write_file(adapter_base_file, dump_json(json) + "\n");
}

Result<std::string> check_adapter_base(const std::string& adapter_directory,
                                       const std::string& model_directory) {
  const std::string file = join_path(adapter_directory, adapter_base_file);
  if (!exists(file)) return doubt(adapter_directory, model_directory);
  COLLIE_TRY(const std::string text,
             read_file_inside(adapter_directory, adapter_base_file, limits::json_bytes_max));
  COLLIE_TRY(const Json json, parse_json(text, file));
  COLLIE_TRY(const JsonReader reader, JsonReader::open(json, file));
  COLLIE_TRY(const std::string hash, reader.get_string(weights_key));
  COLLIE_TRY(const std::string name, reader.optional_string("base_model", ""));
  COLLIE_TRY(const std::uint64_t ours, base_fingerprint(model_directory));
  if (hash == hash_text(ours)) return std::string();
  return make_error(ErrorCode::invalid_config,
                    "{}: was trained beside the model of {}, and {} has other weights; use that "
                    "model, or remove {} to use this one all the same",
                    adapter_directory, name.empty() ? "another directory" : quoted_name(name),
                    model_directory, file);
}

}  // namespace collie
