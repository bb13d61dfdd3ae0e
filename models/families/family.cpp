#include "models/families/family.hpp"

#include <algorithm>
#include <string>

namespace collie {

namespace {

struct SplitName {
  std::string_view layer;  // digits, empty outside the layers
  std::string_view part;
};

SplitName split(std::string_view name) {
  constexpr std::string_view prefix = "layers.";
  if (!name.starts_with(prefix)) return {{}, name};
  const std::string_view rest = name.substr(prefix.size());
  const std::size_t dot = rest.find('.');
  return {rest.substr(0, dot), rest.substr(dot + 1)};
}

}  // namespace

bool bind_to_file(const Family& family, ParameterSpec& spec) {
  // A tied head has no tensor of its own: it reads the embedding's.
  const SplitName name = split(spec.tied_to.empty() ? spec.name : spec.tied_to);
  const auto names = name.layer.empty() ? family.outside : family.in_layer;
  const auto found = std::find_if(names.begin(), names.end(),
                                  [&](const FileName& file) { return file.part == name.part; });
  if (found == names.end()) return false;
  spec.hf.tensor = name.layer.empty()
                       ? std::string(found->tensor)
                       : fmt::format("{}{}.{}", family.layer_prefix, name.layer, found->tensor);
  spec.hf.transposed = found->transposed;
  spec.hf.row_offset = found->block > 0 ? found->block * spec.rows : 0;
  spec.hf.file_rows = found->block >= 0 ? 3 * spec.rows : spec.rows;
  return true;
}

Error unsupported_key(const JsonReader& config, std::string_view key, std::string_view message) {
  Error error = config.error(key, message);
  error.code = ErrorCode::unsupported;
  return error;
}

}  // namespace collie
