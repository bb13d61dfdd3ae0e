#include "actors/checkpoint.hpp"

#include <algorithm>
#include <cstring>
#include <functional>

#include "runtime/hash.hpp"

namespace collie {

namespace {

constexpr std::uint64_t file_bytes_max = std::uint64_t{4} << 30;
constexpr std::string_view parameters_stem = "parameters";

// One flat store of one shard: its parameter values or one kind of optimizer state.
struct Store {
  std::string stem;
  std::function<Tensor*(ModelExecutor&)> flat;
};

std::vector<Store> stores_of(ModelExecutor& executor) {
  std::vector<Store> stores;
  stores.push_back({std::string(parameters_stem),
                    [](ModelExecutor& shard) { return &shard.parameters().values(); }});
  if (executor.optimizer() == nullptr) return stores;
  const std::vector<OptimizerState> states = executor.training_state();
  for (std::size_t i = 0; i < states.size(); ++i) {
    stores.push_back(
        {states[i].name, [i](ModelExecutor& shard) { return shard.training_state()[i].values; }});
  }
  return stores;
}

bool is_saved(const Parameters& parameters, int index) {
  const ParameterSpec& spec = parameters.specs()[static_cast<std::size_t>(index)];
  return spec.owned && !parameters.is_alias(index) && spec.tied_to.empty();
}

// Copies a shard's part of a parameter between two stores whose rows are that many elements apart:
// spec.cols in the whole parameter, spec.local_cols() in the shard's own.
void copy_rows(const ParameterSpec& spec, const float* from, std::int64_t from_cols, float* to,
               std::int64_t to_cols) {
  const std::size_t row_bytes = static_cast<std::size_t>(spec.local_cols()) * sizeof(float);
  for (std::int64_t row = 0; row < spec.local_rows(); ++row) {
    std::memcpy(to + row * to_cols, from + row * from_cols, row_bytes);
  }
}

// Where a shard's part begins in the whole parameter.
std::int64_t whole_part(const ParameterSpec& spec) {
  return spec.row_begin * spec.cols + spec.col_begin;
}

std::vector<std::int64_t> shape_of(const ParameterSpec& spec) {
  if (spec.is_vector) return {spec.rows};
  return {spec.rows, spec.cols};
}

// Executors of replica 0 are the first ones.
std::span<ModelExecutor* const> first_replica(const Executors& executors, const Grid& grid) {
  return std::span(executors).first(static_cast<std::size_t>(grid.pp * grid.tp));
}

std::vector<TensorSpec> declare(std::span<ModelExecutor* const> shards) {
  std::vector<TensorSpec> tensors;
  for (ModelExecutor* shard : shards) {
    const Parameters& parameters = shard->parameters();
    for (int index = 0; index < parameters.count(); ++index) {
      const ParameterSpec& spec = parameters.specs()[static_cast<std::size_t>(index)];
      const bool known = std::ranges::any_of(
          tensors, [&](const TensorSpec& tensor) { return tensor.name == spec.name; });
      if (is_saved(parameters, index) && !known) {
        tensors.push_back({spec.name, DType::f32, shape_of(spec)});
      }
    }
  }
  return tensors;
}

void gather(std::span<ModelExecutor* const> shards, const Store& store, const std::string& name,
            std::vector<float>& whole) {
  for (ModelExecutor* shard : shards) {
    const Parameters& parameters = shard->parameters();
    const int index = parameters.find(name);
    if (index < 0 || !is_saved(parameters, index)) continue;
    const ParameterSpec& spec = parameters.specs()[static_cast<std::size_t>(index)];
    const float* local =
        std::as_const(*store.flat(*shard)).data<float>() + parameters.offset(index);
    copy_rows(spec, local, spec.local_cols(), whole.data() + whole_part(spec), spec.cols);
  }
}

Status write_store(const CheckpointWriter& checkpoint, std::span<ModelExecutor* const> shards,
                   const Store& store) {
  const std::vector<TensorSpec> tensors = declare(shards);
  SafetensorsWriterOptions options;
  options.stem = store.stem;
  options.shard_bytes_max = file_bytes_max;
  COLLIE_TRY(SafetensorsWriter writer,
             SafetensorsWriter::create(checkpoint.directory(), tensors, options));
  std::vector<float> whole;
  for (const TensorSpec& tensor : tensors) {
    whole.assign(static_cast<std::size_t>(Shape(tensor.shape).element_count()), 0.0F);
    gather(shards, store, tensor.name, whole);
    COLLIE_TRY_VOID(writer.append(tensor.name, std::as_bytes(std::span(whole))));
  }
  return writer.close();
}

Status read_store(const Checkpoint& checkpoint, const Store& store, ModelExecutor& shard) {
  COLLIE_TRY(const TensorDirectory files, checkpoint.open_tensors(store.stem));
  Parameters& parameters = shard.parameters();
  float* flat = store.flat(shard)->mutable_data<float>();
  for (int index = 0; index < parameters.count(); ++index) {
    if (parameters.is_alias(index)) continue;
    const ParameterSpec& spec = parameters.specs()[static_cast<std::size_t>(index)];
    const std::string& name = spec.tied_to.empty() ? spec.name : spec.tied_to;
    const LocatedTensor* located = files.find(name);
    if (located == nullptr || located->entry->dtype != DType::f32 ||
        located->entry->shape != shape_of(spec)) {
      return make_error(ErrorCode::invalid_file,
                        "{}: {} has no float32 tensor {} of shape {}; is it of another model?",
                        checkpoint.path(), store.stem, name,
                        to_string(Shape(std::span<const std::int64_t>(shape_of(spec)))));
    }
    COLLIE_TRY(const Tensor whole, files.tensor(name));
    copy_rows(spec, whole.data<float>() + whole_part(spec), spec.cols,
              flat + parameters.offset(index), spec.local_cols());
    located->file->drop_pages(*located->entry);
  }
  return ok_status();
}

}  // namespace

Result<std::string> save_checkpoint(const std::string& run_directory, const RunConfig& config,
                                    const CheckpointInfo& info, const Tokenizer& tokenizer,
                                    const Executors& executors) {
  COLLIE_TRY(CheckpointWriter checkpoint, CheckpointWriter::create(run_directory, info.step));
  for (const Store& store : stores_of(*executors.front())) {
    COLLIE_TRY_VOID(write_store(checkpoint, first_replica(executors, info.grid), store));
  }
  COLLIE_TRY_VOID(tokenizer.save(checkpoint.directory().temporary_path()));
  Json run;
  run["family"] = info.family;
  run["grid"] = {{"dp", info.grid.dp}, {"tp", info.grid.tp}, {"pp", info.grid.pp}};
  run["parameter_hash"] = hash_text(info.parameter_hash);
  run["config"] = to_json(config);
  return checkpoint.commit(run);
}

Status load_checkpoint(const Checkpoint& checkpoint, const Executors& executors) {
  for (ModelExecutor* executor : executors) {
    for (const Store& store : stores_of(*executor)) {
      COLLIE_TRY_VOID(read_store(checkpoint, store, *executor));
    }
    executor->stream().submit(
        [executor] { executor->parameters().refresh_compute(executor->stream()); });
    executor->stream().synchronize();
  }
  return ok_status();
}

Result<CheckpointInfo> read_checkpoint_info(const Checkpoint& checkpoint) {
  CheckpointInfo info;
  info.step = checkpoint.step();
  COLLIE_TRY(const JsonReader run, JsonReader::open(checkpoint.run(), checkpoint.path(), "run"));
  COLLIE_TRY(info.family, run.get_string("family"));
  COLLIE_TRY(const std::string hash, run.get_string("parameter_hash"));
  info.parameter_hash = hash_from_text(hash).value_or(0);
  COLLIE_TRY(const JsonReader grid, run.get_object("grid"));
  const auto axis = [&](std::string_view key) {
    return grid.get_int(key, 1, limits::grid_axis_max);
  };
  COLLIE_TRY(const std::int64_t dp, axis("dp"));
  COLLIE_TRY(const std::int64_t tp, axis("tp"));
  COLLIE_TRY(const std::int64_t pp, axis("pp"));
  info.grid = {static_cast<int>(dp), static_cast<int>(tp), static_cast<int>(pp)};
  return info;
}

}  // namespace collie
