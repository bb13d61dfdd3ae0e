#include <map>
#include <memory>
#include <optional>

#include "actors/cli/command.hpp"
#include "actors/progress_format.hpp"
#include "models/dataset/token_manifest.hpp"
#include "models/dataset/token_shards.hpp"
#include "models/flops.hpp"
#include "models/hf_model.hpp"
#include "models/peft/adapter_base.hpp"
#include "models/registry.hpp"
#include "models/tokenizer/tokenizer.hpp"
#include "runtime/checkpoint_files.hpp"
#include "runtime/hash.hpp"
#include "runtime/suggest.hpp"

namespace collie::cli {

namespace {

struct InspectArguments {
  std::string directory;
  bool tensors = false;
  bool no_verify = false;
};

std::string plural(std::size_t count, std::string_view noun) {
  return fmt::format("{} {}{}", count, noun, count == 1 ? "" : "s");
}

std::string shape_text(const std::vector<std::int64_t>& shape) {
  return fmt::format("[{}]", fmt::join(shape, ", "));
}

void print_tensors(std::span<const SafetensorsFile> files) {
  for (const SafetensorsFile& file : files) {
    for (const TensorEntry& entry : file.entries()) {
      fmt::print("  {:<48} {:<5} {:<20} {}\n", quoted_name(entry.name), to_string(entry.dtype),
                 shape_text(entry.shape), format_bytes(entry.size_bytes));
    }
  }
}

void print_weights(const TensorDirectory& weights) {
  std::map<std::string_view, std::size_t> bytes_by_type;
  for (const SafetensorsFile& file : weights.files()) {
    for (const TensorEntry& entry : file.entries()) {
      bytes_by_type[to_string(entry.dtype)] += entry.size_bytes;
    }
  }
  std::string types;
  for (const auto& [type, bytes] : bytes_by_type) {
    types += fmt::format("{}{} {}", types.empty() ? "" : ", ", type, format_bytes(bytes));
  }
  print_row("weights", fmt::format("{} in {}: {}", plural(weights.tensor_count(), "tensor"),
                                   plural(weights.files().size(), "file"), types));
}

void print_traits(const ModelTraits& traits) {
  const std::int64_t parameters = parameter_count(traits);
  print_row("family", traits.family);
  print_row("parameters",
            fmt::format("{} ({})", format_count(static_cast<double>(parameters)), parameters));
  print_row("layers", fmt::format("{} of {} wide, {} heads of {} ({} for keys and values), MLP {}",
                                  traits.layer_count, traits.hidden_size, traits.head_count,
                                  traits.head_dim, traits.kv_head_count, traits.mlp_size));
  print_row("vocabulary", fmt::format("{}, {} embeddings", traits.vocabulary_size,
                                      traits.tied_embeddings ? "tied" : "untied"));
  print_row("context", fmt::format("{} tokens", traits.context_length));
}

void print_tokenizer(const std::string& directory) {
  const Result<Tokenizer> tokenizer = Tokenizer::load(directory);
  if (!tokenizer) {
    print_row("tokenizer", tokenizer.error().code == ErrorCode::not_found
                               ? "none"
                               : "unusable: " + tokenizer.error().message);
    return;
  }
  std::string text = plural(static_cast<std::size_t>(tokenizer->vocab_size()), "token");
  const auto name = [&](std::string_view role, std::optional<std::int32_t> id) {
    if (!id) return;
    text += fmt::format(", {} {} ({})", role, tokenizer->id_to_token(*id).value_or("?"), *id);
  };
  name("begin", tokenizer->bos_id());
  name("end", tokenizer->eos_id());
  print_row("tokenizer", text);
}

Status inspect_model(const InspectArguments& arguments) {
  COLLIE_TRY(const ModelTraits traits, read_model_config(arguments.directory));
  COLLIE_TRY(const TensorDirectory weights, TensorDirectory::open(arguments.directory));
  COLLIE_TRY_VOID(check_tensors(weights, traits));
  print_row("model", arguments.directory);
  print_traits(traits);
  print_weights(weights);
  print_tokenizer(arguments.directory);
  if (arguments.tensors) print_tensors(weights.files());
  return ok_status();
}

Status inspect_checkpoint(const InspectArguments& arguments) {
  COLLIE_TRY(const Checkpoint checkpoint, Checkpoint::open(arguments.directory));
  if (!arguments.no_verify) COLLIE_TRY_VOID(checkpoint.verify());
  print_row("checkpoint", arguments.directory);
  print_row("step", std::to_string(checkpoint.step()));
  if (checkpoint.run().is_object()) {
    for (const auto& [key, value] : checkpoint.run().items()) {
      if (key == "config" || key == "step") continue;
      print_row(key, value.is_string() ? value.get<std::string>() : dump_json(value, 0));
    }
  }
  std::uint64_t total_bytes = 0;
  for (const CheckpointFile& file : checkpoint.files()) total_bytes += file.size_bytes;
  print_row("files",
            fmt::format("{}, {}, {}", checkpoint.files().size(), format_bytes(total_bytes),
                        arguments.no_verify ? "hashes not checked" : "all hashes are right"));
  for (const CheckpointFile& file : checkpoint.files()) {
    fmt::print("  {:<40} {:>10}  {}\n", file.name, format_bytes(file.size_bytes),
               hash_text(file.hash));
    if (!arguments.tensors || !file.name.ends_with(".safetensors")) continue;
    COLLIE_TRY(const SafetensorsFile tensors, checkpoint.open_safetensors(file.name));
    print_tensors({&tensors, 1});
  }
  return ok_status();
}

Status inspect_run(const InspectArguments& arguments, const std::vector<std::int64_t>& steps) {
  const auto check = arguments.no_verify ? CheckpointCheck::sizes : CheckpointCheck::hashes;
  COLLIE_TRY(const FoundCheckpoint found, find_latest_checkpoint(arguments.directory, check));
  print_row("run", arguments.directory);
  print_row("checkpoints",
            steps.empty() ? "none" : fmt::format("after steps {}", fmt::join(steps, ", ")));
  if (found.checkpoint) print_row("resumes", "from " + found.checkpoint->path());
  for (const Error& damage : found.damaged) print_row("damaged", damage.message);
  const auto path_of = [&](std::string_view name) { return join_path(arguments.directory, name); };
  const bool is_tuned = exists(path_of("adapter"));
  const std::pair<std::string_view, std::string_view> parts[] = {
      {"adapter", "adapter"},
      {"base", "base"},
      {is_tuned ? "merged model" : "model", "model"},
      {"best", "best"},
      {"metrics", "metrics.jsonl"}};
  for (const auto& [label, name] : parts) {
    if (exists(path_of(name))) print_row(label, path_of(name));
  }
  return ok_status();
}

// A value of adapter_config.json as a person writes it, on one line.
std::string plain_text(const Json& value) {
  if (value.is_string()) {
    const std::string quoted = quoted_name(value.get<std::string>());
    return quoted.substr(1, quoted.size() - 2);
  }
  if (!value.is_array()) return describe_json(value);
  std::string text;
  for (const Json& item : value) {
    text += fmt::format("{}{}", text.empty() ? "" : ", ", plain_text(item));
  }
  return text;
}

std::string text_of(const std::string& file, std::string_view key) {
  const auto json = read_json(file);
  const bool has = json && json->is_object() && json->contains(key) && json->at(key).is_string();
  return has ? json->at(std::string(key)).get<std::string>() : "";
}

// Without the model that it stands beside: what its own files say.
Status inspect_adapter(const InspectArguments& arguments) {
  const std::string& directory = arguments.directory;
  const std::string file = join_path(directory, "adapter_config.json");
  COLLIE_TRY(const Json config, read_json(file));
  COLLIE_TRY(const JsonReader reader, JsonReader::open(config, file));
  COLLIE_TRY(const std::string method, reader.get_string("peft_type"));
  COLLIE_TRY(const TensorDirectory weights, TensorDirectory::open(directory, "adapter_model"));
  print_row("adapter", directory);
  print_row("method", plain_text(method));
  const Json* base = reader.find("base_model_name_or_path");
  print_row("base", base == nullptr ? "not named" : plain_text(*base));
  const std::string belongs = text_of(join_path(directory, adapter_base_file), "layers_hash");
  if (!belongs.empty()) print_row("base's layers", plain_text(belongs));
  for (const std::string_view key :
       {"r", "lora_alpha", "lora_dropout", "use_rslora", "use_dora", "bias", "num_virtual_tokens",
        "bottleneck", "target_modules", "feedforward_modules", "modules_to_save"}) {
    const Json* value = reader.find(key);
    if (value != nullptr && *value != false) print_row(key, plain_text(*value));
  }
  std::int64_t parameters = 0;
  for (const std::string& name : weights.names()) {
    std::int64_t elements = 1;
    for (const std::int64_t size : weights.find(name)->entry->shape) elements *= size;
    parameters += elements;
  }
  print_row("parameters",
            fmt::format("{} ({})", format_count(static_cast<double>(parameters)), parameters));
  print_weights(weights);
  if (arguments.tensors) print_tensors(weights.files());
  return ok_status();
}

Status inspect_tokens(const InspectArguments& arguments) {
  const std::string& directory = arguments.directory;
  COLLIE_TRY(const TokenManifest manifest, read_token_manifest(directory));
  COLLIE_TRY(const std::string foreign, foreign_entry(directory, manifest));
  if (!arguments.no_verify) COLLIE_TRY_VOID(verify_token_files(directory, manifest));
  print_row("tokens", directory);
  print_row("documents", fmt::format("{} of {} records; {} had nothing to learn in them",
                                     manifest.documents, manifest.records, manifest.empty));
  print_row("count", fmt::format("{} tokens, {} of them labels, {} bytes each", manifest.tokens,
                                 manifest.labels, manifest.token_bytes));
  print_row("vocabulary", std::to_string(manifest.vocabulary_size));
  print_row("fingerprint", hash_text(manifest.tokenizer));
  if (manifest.chat_template) {
    print_row("chat template",
              *manifest.chat_template == 0 ? "plain" : hash_text(*manifest.chat_template));
  }
  print_row("files",
            fmt::format("{}, {}", plural(manifest.shards.size(), "shard"),
                        arguments.no_verify ? "hashes not checked" : "all hashes are right"));
  if (!foreign.empty()) print_row("not of these", quoted_name(foreign));
  for (const TokenShard& shard : manifest.shards) {
    fmt::print("  {:<14} {:>12} documents {:>14} tokens{}\n", shard.name, shard.documents,
               shard.tokens, shard.masked ? ", some not learned" : "");
  }
  print_tokenizer(directory);
  return ok_status();
}

Status inspect(const InspectArguments& arguments) {
  const std::string& directory = arguments.directory;
  if (!exists(directory)) {
    return make_error(ErrorCode::not_found, "{}: no such directory", quoted_name(directory));
  }
  if (!is_directory(directory)) {
    return make_error(
        ErrorCode::invalid_file,
        "{}: is a file; inspect takes the directory of a model, an adapter, a checkpoint, "
        "tokens or a run",
        quoted_name(directory));
  }
  if (holds_token_manifest(directory)) return inspect_tokens(arguments);
  if (exists(join_path(directory, "manifest.json"))) return inspect_checkpoint(arguments);
  if (exists(join_path(directory, "config.json"))) return inspect_model(arguments);
  if (exists(join_path(directory, "adapter_config.json"))) return inspect_adapter(arguments);
  COLLIE_TRY(const std::vector<std::int64_t> steps, list_checkpoints(directory));
  if (!steps.empty() || exists(join_path(directory, "metrics.jsonl"))) {
    return inspect_run(arguments, steps);
  }
  return make_error(ErrorCode::invalid_file,
                    "{}: holds no config.json (a model), adapter_config.json (an adapter), "
                    "manifest.json (a checkpoint or tokens) or metrics.jsonl (a run)",
                    quoted_name(directory));
}

}  // namespace

void add_inspect(CLI::App& program, Action& action) {
  auto arguments = std::make_shared<InspectArguments>();
  CLI::App* verb = program.add_subcommand(
      "inspect", "Say what a directory holds: a model, adapter, checkpoint, tokens or run");
  verb->add_option("DIR", arguments->directory, "The directory")->required();
  verb->add_flag("--tensors", arguments->tensors, "List every tensor");
  verb->add_flag("--no-verify", arguments->no_verify,
                 "Do not read checkpoints and tokens to check their hashes");
  set_action(*verb, arguments, inspect, action);
}

}  // namespace collie::cli
