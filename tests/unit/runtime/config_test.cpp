#define BOOST_TEST_MODULE config
#include "runtime/config.hpp"

#include <boost/test/unit_test.hpp>
#include <filesystem>

#include "runtime/file.hpp"

namespace collie {
namespace {

namespace fs = std::filesystem;

const fs::path configs_dir = fs::path(COLLIE_TESTS_DIR).parent_path() / "configs";

constexpr std::string_view minimal = R"({"model": {"path": "m"}, "data": {"train": ["a.txt"]}})";

std::string error_of(std::string_view text, const std::vector<std::string>& overrides = {}) {
  const auto config = parse_config(text, "c.json", overrides);
  return config.ok() ? "no error" : config.error().message;
}

template <class T>
std::string why(const Result<T>& result) {
  return result.ok() ? "ok" : result.error().message;
}

bool says(const std::string& message, std::string_view part) {
  BOOST_TEST_INFO("message: " << message);
  return message.find(part) != std::string::npos && message.find('\n') == std::string::npos;
}

std::vector<fs::path> ready_configs() {
  std::vector<fs::path> paths;
  for (const auto& entry : fs::directory_iterator(configs_dir)) {
    const bool is_config = entry.is_regular_file() && entry.path().extension() == ".json";
    if (is_config && entry.path().filename() != "collie.schema.json") {
      paths.push_back(entry.path());
    }
  }
  return paths;
}

BOOST_AUTO_TEST_CASE(a_minimal_file_gets_the_defaults) {
  const auto config = parse_config(minimal, "c.json");
  BOOST_REQUIRE(config.ok());
  BOOST_TEST(config->model.path == "m");
  BOOST_TEST(config->data.train.size() == 1);
  BOOST_TEST(config->data.packing);
  BOOST_TEST(config->grid.actors() == 1);
  BOOST_TEST(!config->train.optimizer.beta2.has_value());  // the optimizer's own
  BOOST_TEST(config->output.directory == "runs/run");
  BOOST_TEST(!config->model.is_fresh());
}

BOOST_AUTO_TEST_CASE(every_value_of_a_file_arrives) {
  const auto config = parse_config(R"({
    "$schema": "collie.schema.json", "name": "x1",
    "model": {"fresh": {"model_type": "llama", "own": {"a": [1]}}, "tokenizer_vocab_size": 512,
              "dtype": "bfloat16"},
    "data": {"train": "one.txt", "format": "jsonl", "packing": false, "document_separator": "\n\n"},
    "grid": {"dp": 2, "schedule": "gpipe"},
    "train": {"max_steps": 1e3, "lr": 0.25, "lr_schedule": "linear", "optimizer": {"beta1": 0}},
    "output": {"directory": "out", "save_dtype": "float16"}})",
                                   "c.json");
  BOOST_REQUIRE_MESSAGE(config.ok(), why(config));
  BOOST_TEST(config->model.fresh["own"]["a"][0] == 1);
  BOOST_TEST((config->model.dtype == DType::bf16));
  BOOST_TEST(config->data.train.front().path == "one.txt");
  BOOST_TEST((config->data.format == DataFormat::jsonl));
  BOOST_TEST(!config->data.packing);
  BOOST_TEST(config->data.document_separator == "\n\n");
  BOOST_TEST(config->grid.dp == 2);
  BOOST_TEST(config->grid.schedule == "gpipe");
  BOOST_TEST(config->train.max_steps == 1000);
  BOOST_TEST((config->train.lr_schedule == LrSchedule::linear));
  BOOST_TEST(config->train.optimizer.beta1.value() == 0.0);
  BOOST_TEST((config->output.save_dtype == SaveDtype::float16));
  BOOST_TEST(config->output.directory == "out");
}

BOOST_AUTO_TEST_CASE(overrides_are_read_as_the_key_wants_them) {
  const auto config = parse_config(
      minimal, "c.json",
      {"train.lr=1e-4", "name=123", "data.train=b.txt", "data.validation=[\"c\", \"d\"]",
       "data.packing=false", "train.max_steps=7", "train.max_steps=8", "checkpoint.resume=a=b",
       "data.document_separator=\"\\n\"", "model.path=", "model.fresh.hidden_size=64",
       "model.fresh.rope_scaling.rope_type=llama3", "model.tokenizer=t"});
  BOOST_REQUIRE_MESSAGE(config.ok(), why(config));
  BOOST_TEST(config->train.lr == 1e-4);
  BOOST_TEST(config->name == "123");
  BOOST_TEST(config->data.train.front().path == "b.txt");
  BOOST_TEST(config->data.validation.size() == 2);
  BOOST_TEST(!config->data.packing);
  BOOST_TEST(config->train.max_steps == 8);
  BOOST_TEST(config->checkpoint.resume == "a=b");
  BOOST_TEST(config->data.document_separator == "\n");
  BOOST_TEST(config->model.fresh["hidden_size"] == 64);
  BOOST_TEST(config->model.fresh["rope_scaling"]["rope_type"] == "llama3");
}

BOOST_AUTO_TEST_CASE(a_list_of_names_takes_known_ones_once) {
  const auto with = [](std::string_view value) {
    return parse_config(minimal, "c.json", {fmt::format("output.monitors={}", value)});
  };
  using Names = std::vector<std::string>;
  BOOST_TEST((parse_config(minimal, "c.json")->output.monitors == Names{"jsonl"}));
  BOOST_TEST((with("csv")->output.monitors == Names{"csv"}));
  BOOST_TEST((with("[\"tensorboard\", \"csv\"]")->output.monitors == Names{"tensorboard", "csv"}));
  BOOST_TEST(with("[]")->output.monitors.empty());
  for (const std::string_view bad : {"tensorbord", "[\"csv\", \"csv\"]", "[1]", "3", "[\"\"]"}) {
    BOOST_TEST(!with(bad).ok(), bad);
  }
  BOOST_TEST(says(why(with("3")), "a list of jsonl, csv, tensorboard, each at most once"));
  BOOST_TEST(
      says(why(with("[\"csv\", \"csv\"]")), "output.monitors[1]: \"csv\" stands there twice"));
  BOOST_TEST(
      says(why(with("[\"csv\", \"tensorbord\"]")),
           "output.monitors[1]: expected one of jsonl, csv, tensorboard, got \"tensorbord\"; "
           "did you mean 'tensorboard'?"));
}

BOOST_AUTO_TEST_CASE(an_unknown_key_is_refused_with_the_nearest_one) {
  const auto hint = [](std::string_view text) { return error_of(text); };
  BOOST_TEST(says(hint(R"({"train": {"optimizer": {"beta": 1}}})"), "'train.optimizer.beta'"));
  BOOST_TEST(says(hint(R"({"train": {"accumulations": 1}})"), "did you mean train.accumulation?"));
  BOOST_TEST(says(hint(R"({"sequence_length": 1})"), "did you mean data.sequence_length?"));
  BOOST_TEST(says(hint(R"({"train": {"learning_rate": 1}})"), "did you mean train.lr?"));
  BOOST_TEST(says(hint(R"({"train.lr": 1})"), "unknown key 'train.lr'"));
  BOOST_TEST(says(hint(R"({"qqqqqqqqqqqqqqq": 1})"), "--print-config"));
  BOOST_TEST(says(error_of(minimal, {"gird.dp=2"}), "did you mean grid.dp?"));
  BOOST_TEST(says(hint(R"({"a\nb": 1})"), "unknown key"));
}

BOOST_AUTO_TEST_CASE(a_wrong_type_or_range_is_refused_with_its_key) {
  const auto expect = [](std::string_view override_text, std::string_view part) {
    BOOST_TEST(says(error_of(minimal, {std::string(override_text)}), part), override_text);
  };
  expect("train.lr=-1", "c.json: train.lr: expected a number >= 0");
  expect("train.lr=fast", "got \"fast\"");
  expect("train.lr=NaN", "train.lr");
  expect("train.optimizer.beta1=1", "< 1");
  expect("train.optimizer.epsilon=0", "> 0");
  expect("data.validation_fraction=1", "data.validation_fraction");
  expect("grid.dp=0", "grid.dp: expected an integer from 1 to 1024, got 0");
  expect("grid.dp=1.5", "got 1.5");
  expect("grid.dp=true", "got true");
  expect("train.max_steps=1e300", "train.max_steps");
  expect("grid.chunks=-1", "grid.chunks");
  expect("model.dtype=float16", "one of float32, bfloat16");
  expect("data.packing=1", "true or false");
  expect("data.train=[1]", "data.train[0]: expected a string or an object {path, weight, name}");
  expect("model.fresh=3", "an object");
  expect("name=../x", "name");
  expect("name=\"a\\u0000b\"", "name");
}

BOOST_AUTO_TEST_CASE(an_optimizer_and_its_groups_are_read) {
  const auto config = parse_config(
      minimal, "c.json",
      {"train.optimizer.name=muon", "train.optimizer.nesterov=false", "train.optimizer.momentum=0",
       "train.optimizer.state_dtype=bfloat16", "train.optimizer.muon_scale=adamw",
       R"(train.optimizer.groups=[{"pattern": "*norm*", "lr_scale": 0.5, "beta2": 0.9}])"});
  BOOST_REQUIRE_MESSAGE(config.ok(), why(config));
  const OptimizerSection& optimizer = config->train.optimizer;
  BOOST_TEST(!optimizer.nesterov.value());
  BOOST_TEST(optimizer.momentum.value() == 0.0);
  BOOST_TEST((optimizer.muon_scale == MuonScale::adamw && optimizer.state_dtype == DType::bf16));
  BOOST_REQUIRE(optimizer.groups.size() == 1U);
  BOOST_TEST((optimizer.groups[0] == ParameterGroup{"*norm*", 0.5, {}, {}, 0.9}));
  const auto again = parse_config(dump_json(to_json(*config)), "printed");
  BOOST_REQUIRE_MESSAGE(again.ok(), why(again));
  BOOST_TEST((again->train.optimizer.groups == optimizer.groups));
  const auto expect = [](std::string_view override_text, std::string_view part) {
    BOOST_TEST(says(error_of(minimal, {std::string(override_text)}), part), override_text);
  };
  expect("train.optimizer.name=adamv", "did you mean 'adamw'?");
  expect("train.optimizer.nesterov=1", "true, false or null");
  expect("train.optimizer.beta2=-1", "null or a number >= 0 and < 1");
  expect("train.optimizer.groups={}", "a list of at most 256, each an object");
  expect("train.optimizer.groups=[{}]", "train.optimizer.groups[0]: has no pattern");
  expect(R"(train.optimizer.groups=[{"pattern": ""}])",
         "groups[0].pattern: expected a string that");
  expect(R"(train.optimizer.groups=[{"pattern": "*", "beta": 1}])",
         "groups[0]: unknown key 'beta'");
  expect(R"(train.optimizer.groups=[{"pattern": "*", "beta1": 1}])", "groups[0].beta1: expected");
  expect("train.lr_schedule=cosin", "did you mean 'cosine'?");
}

BOOST_AUTO_TEST_CASE(a_broken_override_is_refused) {
  const auto expect = [](std::string_view override_text, std::string_view part) {
    BOOST_TEST(says(error_of(minimal, {std::string(override_text)}), part), override_text);
  };
  expect("train.lr", "key=value");
  expect("=3", "key=value");
  expect("train=3", "train: is a section");
  expect("train..lr=3", "unknown key");
  expect("model.path.x=3", "unknown key");
  BOOST_TEST(says(error_of(R"({"train": 3})", {"train.lr=1"}), "no object"));
}

BOOST_AUTO_TEST_CASE(values_that_contradict_each_other_are_refused) {
  const auto expect = [](const std::vector<std::string>& overrides, std::string_view part) {
    BOOST_TEST(says(error_of(minimal, overrides), part), overrides.front());
  };
  expect({"model.fresh={}"}, "either model.path or model.fresh");
  expect({"model.path="}, "either model.path or model.fresh");
  expect({"model.path=", "model.fresh={}"}, "needs model.tokenizer");
  expect({"model.tokenizer_vocab_size=512"}, "only for a fresh model");
  expect({"model.path=", "model.fresh={}", "model.tokenizer_vocab_size=100"}, "at least 257");
  expect({"train.epochs=1", "train.max_steps=1"}, "not together with train.max_steps");
  expect({"train.warmup_steps=1", "train.warmup_ratio=0.1"}, "not together with");
  expect({"data.validation=v", "data.validation_fraction=0.1"}, "not together with");
  expect({"train.micro_batch_size=65536", "data.sequence_length=16777216"}, "micro-batch");
  expect({"checkpoint.resume="}, "checkpoint.resume");
  expect({"data.text_key="}, "name is empty");
}

BOOST_AUTO_TEST_CASE(a_file_that_is_no_configuration_is_refused) {
  BOOST_TEST(says(error_of("[]"), "expected a JSON object"));
  BOOST_TEST(says(error_of("{\"model\": "), "c.json"));
  BOOST_TEST(says(error_of(R"({"name": "a", "name": "b"})"), "name"));
  BOOST_TEST(says(error_of(R"({"model": []})"), "model: expected an object"));
  BOOST_TEST((load_config("/nowhere/c.json").error().code == ErrorCode::not_found));
}

BOOST_AUTO_TEST_CASE(training_needs_data_and_an_end) {
  const auto status = [](const std::vector<std::string>& overrides) {
    return require_trainable(*parse_config(minimal, "c.json", overrides));
  };
  BOOST_TEST(status({"train.max_steps=1"}).ok());
  BOOST_TEST(status({"train.epochs=0.5"}).ok());
  BOOST_TEST(says(status({}).error().message, "train.max_steps or train.epochs"));
  BOOST_TEST(says(status({"train.epochs=1", "data.train=[]"}).error().message, "data.train"));
}

BOOST_AUTO_TEST_CASE(what_is_printed_loads_as_the_same_again) {
  for (const fs::path& path : ready_configs()) {
    const auto config = load_config(path.string());
    BOOST_REQUIRE_MESSAGE(config.ok(), why(config));
    const std::string printed = dump_json(to_json(*config));
    const auto again = parse_config(printed, "printed");
    BOOST_REQUIRE_MESSAGE(again.ok(), why(again));
    BOOST_TEST(dump_json(to_json(*again)) == printed);
  }
}

BOOST_AUTO_TEST_CASE(every_ready_config_can_train_and_names_its_schema) {
  std::size_t count = 0;
  for (const fs::path& path : ready_configs()) {
    BOOST_TEST_INFO(path.string());
    const auto config = load_config(path.string());
    BOOST_REQUIRE_MESSAGE(config.ok(), why(config));
    BOOST_TEST(require_trainable(*config).ok());
    BOOST_TEST(config->name == path.stem().string());
    BOOST_TEST(read_json(path.string())->at("$schema") == "collie.schema.json");
    ++count;
  }
  BOOST_TEST(count == 10U);
}

// Walks schema and printed defaults together, so a key of either that the other lacks is found.
void compare_with_defaults(const Json& schema, const Json& defaults, const std::string& path) {
  BOOST_TEST_INFO(path);
  BOOST_TEST(schema.at("additionalProperties") == false);
  const Json& properties = schema.at("properties");
  for (const auto& [key, value] : defaults.items()) {
    BOOST_TEST_INFO(path + key);
    BOOST_REQUIRE(properties.contains(key));
    const Json& property = properties[key];
    if (property.contains("properties")) {
      compare_with_defaults(property, value, path + key + ".");
      continue;
    }
    BOOST_TEST(property.at("default") == value, path << key);
    const std::string type = value.is_number_integer() ? "integer"
                             : value.is_array()        ? "array"
                                                       : value.type_name();
    BOOST_TEST(property.at("type").dump().find('"' + type + '"') != std::string::npos);
    BOOST_TEST(!property.at("description").get<std::string>().empty());
  }
  BOOST_TEST(properties.size() == defaults.size() + (properties.contains("$schema") ? 1 : 0));
}

BOOST_AUTO_TEST_CASE(the_schema_file_is_in_step_with_the_code) {
  const auto schema = read_json((configs_dir / "collie.schema.json").string());
  BOOST_REQUIRE(schema.ok());
  compare_with_defaults(*schema, to_json(RunConfig{}), "");
  BOOST_TEST(dump_json(*schema) == dump_json(config_schema()),
             "write configs/collie.schema.json anew: its text is dump_json(config_schema())");
}

}  // namespace
}  // namespace collie
