// Which model an adapter was trained beside: another one of the same shape takes it without a word
// and writes nonsense.
#pragma once

#include <cstdint>
#include <string>

#include "runtime/file.hpp"
#include "runtime/result.hpp"

namespace collie {

// Beside adapter_config.json; PEFT does not look at it.
inline constexpr std::string_view adapter_base_file = "collie_base.json";

// Of the layers' matrices and the first rows of embeddings, by some values of each in bfloat16: the
// same for a copy in another type, with a larger vocabulary or other file names. It finds mistakes,
// not attackers.
Result<std::uint64_t> base_fingerprint(const std::string& model_directory);

// Says in the adapter's directory that it belongs to the model in this one.
Status write_adapter_base(const DirectoryWriter& directory, const std::string& model_directory);

// invalid_config where the adapter says that it belongs to other weights. Where it does not say so
// much, a line of doubt for people if base_model_name_or_path means another model, else nothing.
Result<std::string> check_adapter_base(const std::string& adapter_directory,
                                       const std::string& model_directory);

}  // namespace collie
