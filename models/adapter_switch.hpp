// A model to generate with and several adapters of it, one of which is in use.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>

#include "models/generator.hpp"
#include "models/peft/tuning.hpp"

namespace collie {

class AdapterSwitch {
 public:
  AdapterSwitch(std::string model_directory, GeneratorOptions options)
      : model_directory_(std::move(model_directory)), options_(std::move(options)) {}

  // A PEFT directory under a name of the caller's. Its configuration is read and checked against
  // the model, its values when they are first used.
  Status add(const std::string& name, const std::string& directory);
  // The generator with the adapter of that name, or with none where the name is empty; good until
  // the next call. Adapters of one kind and size exchange their values in place, for another kind
  // the model is read anew. Errors: those of reading, and a name that is not there.
  Result<Generator*> use(const std::string& name);

 private:
  struct Adapter {
    std::string directory;
    std::shared_ptr<const Tuning> tuning;
    std::vector<Tensor> trained;  // its values, once they have been used
  };
  Status load_model(const std::shared_ptr<const Tuning>& tuning, Json kind);
  Status put_values(Adapter& adapter);

  std::string model_directory_;
  GeneratorOptions options_;
  std::optional<Generator> generator_;
  std::map<std::string, Adapter> adapters_;  // values are in the generator's memory
  Json kind_;  // of the adapter that the generator has room for; null: of none
};

}  // namespace collie
