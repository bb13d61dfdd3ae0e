// Adapters in the directories of Hugging Face's PEFT: adapter_config.json and
// adapter_model.safetensors.
#pragma once

#include <span>
#include <string>

#include "models/hf_model.hpp"
#include "models/peft/tuning.hpp"

namespace collie {

// What an adapter directory says it is. Options that change the arithmetic and are not supported
// are refused by name. The base model's traits are needed to check it against the model.
Result<Tuning> read_adapter_config(const std::string& directory, const ModelTraits& traits);

// Reads the parts of the trained parameters that this shard holds, and refreshes the compute copy.
// The file must hold exactly the tensors of this tuning of this model, and may hold copies of the
// embedding and head that it adapts: the base model has been loaded before. Runs a kernel: call it
// from work submitted to the stream.
Status load_adapter(const std::string& directory, const Tuning& tuning, const ModelTraits& traits,
                    Parameters& parameters, Stream& stream);

// What adapter_config.json says of a tuning, as PEFT reads it: targets by name, whatever patterns
// they were given as. base: what base_model_name_or_path is to say, null where it is empty.
Json adapter_config_json(const Tuning& tuning, const ModelTraits& traits, const std::string& base);

// Both files. replica: the parameters of all shards of one replica, not on a device. dtype:
// f32, bf16 or f16; float32 loses nothing. Of p-tuning's net the file holds what it makes, as
// PEFT's do. Runs kernels: call it from work submitted to the stream.
Status write_adapter(const DirectoryWriter& directory, const Tuning& tuning,
                     const ModelTraits& traits, std::span<Parameters* const> replica,
                     const std::string& base, DType dtype, Stream& stream);

}  // namespace collie
