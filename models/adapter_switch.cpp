#include "models/adapter_switch.hpp"

#include "models/peft/adapter_base.hpp"
#include "models/peft/adapter_files.hpp"
#include "models/peft/merge.hpp"
#include "models/registry.hpp"
#include "runtime/suggest.hpp"

namespace collie {

Status AdapterSwitch::add(const std::string& name, const std::string& directory) {
  COLLIE_TRY(const ModelTraits traits, read_model_config(model_directory_));
  COLLIE_TRY(Tuning tuning, read_adapter_config(directory, traits));
  COLLIE_TRY_VOID(check_adapter_base(directory, model_directory_));
  if (adapters_.contains(name)) {
    return make_error(ErrorCode::invalid_config, "two adapters are named {}: name one otherwise",
                      quoted_name(name));
  }
  adapters_[name] = {directory, std::make_shared<const Tuning>(std::move(tuning)), {}};
  return ok_status();
}

Result<Generator*> AdapterSwitch::use(const std::string& name) {
  if (name.empty()) {
    if (!generator_ || !kind_.is_null()) COLLIE_TRY_VOID(load_model(nullptr, Json()));
    return &*generator_;
  }
  const auto found = adapters_.find(name);
  if (found == adapters_.end()) {
    std::vector<std::string> names;
    for (const auto& [known, adapter] : adapters_) names.push_back(known);
    if (names.empty()) {
      return make_error(ErrorCode::invalid_config,
                        "no adapter is named {}, for none is loaded; name one with --adapter",
                        quoted_name(name));
    }
    return make_error(ErrorCode::invalid_config, "no adapter is named {}, there are {}{}",
                      quoted_name(name), fmt::join(names, ", "), did_you_mean(name, names));
  }
  Adapter& adapter = found->second;
  COLLIE_TRY(const ModelTraits traits, read_model_config(model_directory_));
  Json kind = adapter_config_json(*adapter.tuning, traits, "");
  if (!generator_ || kind != kind_) COLLIE_TRY_VOID(load_model(adapter.tuning, std::move(kind)));
  COLLIE_TRY_VOID(put_values(adapter));
  return &*generator_;
}

Status AdapterSwitch::load_model(const std::shared_ptr<const Tuning>& tuning, Json kind) {
  for (auto& [name, adapter] : adapters_) adapter.trained.clear();  // of the stream that goes
  generator_.reset();  // before there is another: it may be large
  GeneratorOptions options = options_;
  options.tuning = tuning;
  COLLIE_TRY(generator_, Generator::load(model_directory_, options));
  kind_ = std::move(kind);
  return ok_status();
}

Status AdapterSwitch::put_values(Adapter& adapter) {
  return generator_->refill([&](Parameters& parameters, Stream& stream) -> Status {
    if (!adapter.trained.empty()) {
      put_trained(adapter.trained, parameters, stream);
      return ok_status();
    }
    COLLIE_TRY_VOID(
        load_adapter(adapter.directory, *adapter.tuning, generator_->traits(), parameters, stream));
    adapter.trained = copy_trained(parameters, stream);
    return ok_status();
  });
}

}  // namespace collie
