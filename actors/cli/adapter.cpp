#include <algorithm>
#include <memory>

#include "actors/cli/command.hpp"
#include "models/peft/adapter_files.hpp"
#include "models/peft/merge.hpp"
#include "models/registry.hpp"
#include "runtime/stream.hpp"
#include "runtime/thread_pool.hpp"

namespace collie::cli {

namespace {

struct MergeArguments {
  std::string base;
  std::string adapter;
  std::string output;
  std::string dtype;
  int threads = 0;
};

// As most weights of the base are, unless --dtype says otherwise.
Result<DType> choose_dtype(const std::string& wanted, const TensorDirectory& files) {
  if (wanted == "float16") return DType::f16;
  if (!wanted.empty()) return parse_dtype(wanted);
  for (const DType dtype : {DType::bf16, DType::f16}) {
    const auto has = [&](const TensorEntry& entry) { return entry.dtype == dtype; };
    for (const SafetensorsFile& file : files.files()) {
      if (std::ranges::any_of(file.entries(), has)) return dtype;
    }
  }
  return DType::f32;
}

Status merge_into(StageModel& model, Stream& stream, const MergeArguments& arguments,
                  const TensorDirectory& files, const ModelTraits& traits, const Tuning& tuning) {
  Status merged = ok_status();
  stream.submit([&] {
    merged = [&]() -> Status {
      Parameters& parameters = model.parameters();
      COLLIE_TRY_VOID(load_parameters(files, traits, parameters, stream));
      COLLIE_TRY_VOID(load_adapter(arguments.adapter, tuning, traits, parameters, stream));
      merge_adapter(tuning, parameters, stream);
      return ok_status();
    }();
  });
  stream.synchronize();
  COLLIE_TRY_VOID(stream.status());
  return merged;
}

Status merge(const MergeArguments& arguments) {
  if (exists(arguments.output)) {
    return make_error(ErrorCode::invalid_config, "--out {}: is there already; name a new directory",
                      arguments.output);
  }
  COLLIE_TRY(const ModelTraits traits, read_model_config(arguments.base));
  COLLIE_TRY(const Tuning tuning, read_adapter_config(arguments.adapter, traits));
  if (const Status mergeable = check_mergeable(tuning, traits, 1); !mergeable) {
    return make_error(mergeable.error().code, "{}: {}", arguments.adapter,
                      mergeable.error().message);
  }
  COLLIE_TRY_VOID(check_base_of(arguments.adapter, arguments.base));
  COLLIE_TRY(const TensorDirectory files, TensorDirectory::open(arguments.base));
  COLLIE_TRY(const DType dtype, choose_dtype(arguments.dtype, files));
  StreamOptions stream_options;
  stream_options.threads = arguments.threads > 0 ? arguments.threads : usable_core_count();
  Stream stream(stream_options);
  StageSlice whole;
  whole.layer_end = traits.layer_count;
  StageOptions options;
  options.with_gradients = false;
  options.tuning = std::make_shared<const Tuning>(tuning);
  COLLIE_TRY(const auto model, StageModel::create(traits, whole, options, stream));
  COLLIE_TRY_VOID(merge_into(*model, stream, arguments, files, traits, tuning));
  COLLIE_TRY(DirectoryWriter directory, DirectoryWriter::create(arguments.output));
  ModelAssembler assembler;
  assembler.add(model->parameters());
  SaveOptions save;
  save.dtype = dtype;
  COLLIE_TRY_VOID(assembler.write(directory, traits, save));
  COLLIE_TRY_VOID(copy_companion_files(arguments.base, directory));
  COLLIE_TRY_VOID(directory.commit());
  print_row("merged", arguments.output);
  return ok_status();
}

}  // namespace

void add_adapter(CLI::App& program, Action& action) {
  CLI::App* verb = program.add_subcommand("adapter", "Work on PEFT adapters");
  verb->require_subcommand(1);
  auto arguments = std::make_shared<MergeArguments>();
  CLI::App* merging = verb->add_subcommand(
      "merge", "Write the model that an adapter makes of its base, as a Hugging Face directory");
  merging->add_option("BASE", arguments->base, "Model directory")->required();
  merging->add_option("ADAPTER", arguments->adapter, "PEFT directory")->required();
  merging->add_option("--out", arguments->output, "Directory to write")
      ->type_name("DIR")
      ->required();
  merging->add_option("--dtype", arguments->dtype,
                      "float32, bfloat16 or float16; otherwise as the base is");
  merging->add_option("--threads", arguments->threads, "0: the machine's cores")
      ->check(CLI::NonNegativeNumber);
  set_action(*merging, arguments, merge, action);
}

}  // namespace collie::cli
