// What a tuning may be, and what of it a slice of the model declares.
#define BOOST_TEST_MODULE tuning
#include "models/peft/tuning.hpp"

#include <boost/test/unit_test.hpp>
#include <filesystem>
#include <fstream>

#include "models/peft/adapter_files.hpp"
#include "models/peft/magnitudes.hpp"
#include "tests/numerics/decoder_golden.hpp"

using namespace collie;
using namespace collie::testing;

namespace {

ModelTraits traits_of(const std::string& model) {
  return must(read_model_config(golden_directory(model)));
}

std::string refusal(const Tuning& tuning, const std::string& model = "llama3") {
  const Status status = check_tuning(tuning, traits_of(model));
  return status ? "none" : status.error().message;
}

void check_says(const std::string& message, std::string_view part) {
  BOOST_TEST_INFO("message: " << message);
  BOOST_TEST(message.find(part) != std::string::npos);
  BOOST_TEST(message.find('\n') == std::string::npos);
}

Tuning of_method(TuningMethod method) {
  Tuning tuning;
  tuning.method = method;
  return tuning;
}

struct Directory {
  Directory() : path(std::filesystem::temp_directory_path() / "collie_tuning_test") {
    std::filesystem::create_directories(path);
  }
  ~Directory() { std::filesystem::remove_all(path); }
  std::string refusal_of(const std::string& json) const {
    std::ofstream(path / "adapter_config.json") << json;
    const auto read = read_adapter_config(path.string(), traits_of("llama3"));
    return read.ok() ? "none" : read.error().message;
  }
  std::filesystem::path path;
};

}  // namespace

BOOST_AUTO_TEST_CASE(what_cannot_be_is_refused_with_the_remedy) {
  Tuning lora = of_method(TuningMethod::lora);
  lora.targets = {"q_proj", "lm_head"};
  lora.dora = true;
  check_says(refusal(lora), "tuning.dora: is not supported on lm_head, only in layers");
  lora.targets = {"q_proj", "embed_tokens"};
  check_says(refusal(lora), "on model.embed_tokens");
  lora.dora = false;
  lora.rank_pattern = {{"v_proj", 2}};
  check_says(refusal(lora), "tuning.rank_pattern: 'v_proj' means no module that is adapted");
  lora.rank_pattern = {{"embed_tokens", 33}};
  check_says(refusal(lora),
             "tuning.rank_pattern: 33 is more than model.embed_tokens has (96 x 32)");
  lora.rank_pattern = {};
  lora.layers = {3};
  check_says(refusal(lora), "tuning.layers: 3 must be from 0 to 2");
  lora.layers = {1};
  lora.exclude_modules = {"q_proj"};
  check_says(refusal(lora), "tuning.targets: nothing is left to adapt");
  lora.exclude_modules = {"q_prj"};
  check_says(refusal(lora), "did you mean 'q_proj'?");

  Tuning ia3 = of_method(TuningMethod::ia3);
  BOOST_TEST(refusal(ia3) == "none");
  ia3.targets = {"k_proj", "v_proj"};
  ia3.feedforward = {"v_proj"};
  check_says(refusal(ia3), "shares its input with its neighbours");
  ia3.feedforward = {"dwn_proj"};
  check_says(refusal(ia3), "did you mean 'down_proj'?");

  Tuning prompt = of_method(TuningMethod::prompt);
  prompt.virtual_tokens = 64;
  check_says(refusal(prompt), "tuning.virtual_tokens: 64 must be from 1 to 63");
  Tuning p_tuning = of_method(TuningMethod::p_tuning);
  check_says(refusal(p_tuning), "tuning.projection_size: must be 1 or more");
  Tuning prefix = of_method(TuningMethod::prefix);
  prefix.projection_size = 8;
  check_says(refusal(prefix), "tuning.projection_size: must be 0");
  Tuning houlsby = of_method(TuningMethod::houlsby);
  check_says(refusal(houlsby), "tuning.bottleneck: 64 must be from 1 to the hidden size, 32");
}

BOOST_AUTO_TEST_CASE(usual_targets_are_those_of_peft) {
  const Tuning ia3 = of_method(TuningMethod::ia3);
  const auto names = [&](const std::string& model) {
    std::vector<std::string> found;
    for (const ParameterSpec& spec : tuned_parameters(ia3, traits_of(model))) {
      if (spec.name.starts_with("layers.0.")) found.push_back(spec.name.substr(9));
    }
    return fmt::format("{}", fmt::join(found, " "));
  };
  BOOST_TEST(names("llama3") == "attention.k.ia3 attention.v.ia3 mlp.down.ia3_input");
  BOOST_TEST(names("qwen3") == "attention.q.ia3 attention.v.ia3 mlp.down.ia3_input");
  BOOST_TEST(names("gpt2") == "attention.q.ia3 attention.k.ia3 attention.v.ia3 mlp.down.ia3_input");
}

BOOST_FIXTURE_TEST_CASE(adapter_configurations_that_mean_something_else_are_refused, Directory) {
  check_says(refusal_of(R"({"peft_type": "VERA"})"), "known: LORA, IA3, PREFIX_TUNING");
  check_says(refusal_of(R"({"peft_type": "PROMPT_TUNING"})"), "num_virtual_tokens");
  check_says(refusal_of(R"({"peft_type": "PREFIX_TUNING", "num_virtual_tokens": 3,
                            "num_transformer_submodules": 2})"),
             "num_transformer_submodules");
  check_says(refusal_of(R"({"peft_type": "P_TUNING", "num_virtual_tokens": 100})"),
             "virtual_tokens: 100 must be from 1 to 63");
  check_says(refusal_of(R"({"peft_type": "HOULSBY", "bottleneck": 0})"), "bottleneck");
  check_says(refusal_of(R"({"peft_type": "LORA", "r": 2, "init_lora_weights": "pissa"})"),
             "init_lora_weights: 'pissa' changes the model beside the adapter");
  check_says(refusal_of(R"({"peft_type": "LORA", "r": 2, "rank_pattern": {".*q_proj": 3}})"),
             "'.*q_proj' is a regular expression");
  check_says(refusal_of(R"({"peft_type": "LORA", "r": 2, "rank_pattern": {"q_proj": 2.5}})"),
             "rank_pattern: ranks are whole numbers");
  check_says(refusal_of(R"({"peft_type": "LORA", "r": 2, "layers_to_transform": [0],
                            "layers_pattern": "blocks"})"),
             "layers_pattern: must be layers");
}

// At the start DoRA changes nothing: its magnitudes are the norms, also where a shard holds but a
// part of each row.
BOOST_AUTO_TEST_CASE(magnitudes_start_as_the_norms_of_whole_rows) {
  const ModelTraits traits = traits_of("llama3");
  auto tuning = std::make_shared<Tuning>(of_method(TuningMethod::lora));
  tuning->dora = true;
  tuning->targets = {"all-linear"};
  const TensorDirectory base = must(TensorDirectory::open(golden_directory("llama3")));
  Stream stream(inline_stream());
  StageOptions options;
  options.tuning = tuning;
  for (const bool is_fresh : {false, true}) {
    std::map<std::string, float> first;
    for (const int tp : {1, 2}) {
      StageSlice slice;
      slice.layer_end = traits.layer_count;
      slice.tp_size = tp;
      const auto model = must(StageModel::create(traits, slice, options, stream));
      Parameters& parameters = model->parameters();
      must_succeed(
          initialize_magnitudes(is_fresh ? nullptr : &base, 3, traits, parameters, stream));
      for (int index = 0; index < parameters.count(); ++index) {
        const std::string& name = parameters.specs()[static_cast<std::size_t>(index)].name;
        if (!name.ends_with(".magnitude")) continue;
        const float value = parameters.value(index).data<float>()[0];
        BOOST_TEST((value > 0.0F && value != 1.0F));
        if (tp == 1) first[name] = value;
        BOOST_TEST(value == first.at(name));
      }
    }
    BOOST_TEST(first.size() == 21U);
  }
}
