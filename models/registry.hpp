// The families this build knows, and the way from a Hugging Face configuration to traits and back.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "models/families/family.hpp"

namespace collie {

std::span<const Family* const> families();
const Family& family_of(const ModelTraits& traits);

// A config.json (of a directory, or an object that stands for one, as for a fresh model). Unknown
// keys are kept; an unknown model_type is an error that names the nearest known one. source stands
// for the file in messages.
Result<ModelTraits> read_model_config(const std::string& directory);
Result<ModelTraits> parse_model_config(const Json& config, std::string_view source);

// config.json to write beside weights of this type: all keys as read, plus what a fresh model's
// configuration left out.
Json model_config_json(const ModelTraits& traits, DType weights);

}  // namespace collie
