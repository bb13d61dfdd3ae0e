#include "actors/checkpoint.hpp"

#include <algorithm>
#include <functional>
#include <map>

#include "runtime/hash.hpp"

namespace collie {

namespace {

constexpr std::uint64_t file_bytes_max = std::uint64_t{4} << 30;
constexpr std::string_view parameters_stem = "parameters";

// What one file holds of a shard: its parameter values or one kind of optimizer state.
struct Store {
  std::string stem;
  std::function<OptimizerState(ModelExecutor&)> in;
};

// What is frozen is as the model's files have it.
OptimizerState values_of(ModelExecutor& shard) {
  Parameters& parameters = shard.parameters();
  OptimizerState values{std::string(parameters_stem), &parameters.values(), {}};
  for (int index = 0; index < parameters.count(); ++index) {
    if (parameters.is_alias(index) || !parameters.is_trainable(index)) continue;
    if (!parameters.holds_value(index)) continue;
    const std::int64_t count = parameters.specs()[static_cast<std::size_t>(index)].local_count();
    values.parts.push_back({index, StateAxis::elements, 0, count, parameters.value_offset(index)});
  }
  return values;
}

std::vector<Store> stores_of(ModelExecutor& executor) {
  std::vector<Store> stores;
  stores.push_back({std::string(parameters_stem), values_of});
  if (executor.optimizer() == nullptr) return stores;
  const std::vector<OptimizerState> states = executor.training_state();
  for (std::size_t i = 0; i < states.size(); ++i) {
    stores.push_back(
        {states[i].name, [i](ModelExecutor& shard) { return shard.training_state()[i]; }});
  }
  return stores;
}

bool is_saved(const Parameters& parameters, int index) {
  const ParameterSpec& spec = parameters.specs()[static_cast<std::size_t>(index)];
  return spec.owned && !parameters.is_alias(index) && spec.tied_to.empty();
}

// Where numbers of a part stand: `count` of them from `local` on in the shard's state are those
// from `whole` on in the whole parameter's.
struct Run {
  std::int64_t local = 0, whole = 0, count = 0;
};

std::vector<Run> runs_of(const ParameterSpec& spec, const StatePart& part) {
  const std::int64_t count = part.end - part.begin;
  if (part.axis == StateAxis::rows) return {{part.offset, spec.row_begin + part.begin, count}};
  if (part.axis == StateAxis::columns) return {{part.offset, spec.col_begin + part.begin, count}};
  const std::int64_t cols = spec.local_cols();
  std::vector<Run> runs;
  for (std::int64_t at = part.begin; at < part.end;) {
    const std::int64_t row = at / cols, col = at % cols;
    const std::int64_t length = std::min(cols - col, part.end - at);
    runs.push_back({part.offset + at - part.begin,
                    (spec.row_begin + row) * spec.cols + spec.col_begin + col, length});
    at += length;
  }
  return runs;
}

// bf16 state is saved as float32, which holds it exactly.
void to_whole(const Tensor& local, const Run& run, float* whole) {
  if (local.dtype() == DType::f32) {
    std::copy_n(local.data<float>() + run.local, run.count, whole + run.whole);
    return;
  }
  const BFloat16* from = local.data<BFloat16>() + run.local;
  std::transform(from, from + run.count, whole + run.whole,
                 [](BFloat16 value) { return static_cast<float>(value); });
}

void from_whole(const float* whole, const Run& run, Tensor& local) {
  if (local.dtype() == DType::f32) {
    std::copy_n(whole + run.whole, run.count, local.mutable_data<float>() + run.local);
    return;
  }
  std::transform(whole + run.whole, whole + run.whole + run.count,
                 local.mutable_data<BFloat16>() + run.local,
                 [](float value) { return BFloat16(value); });
}

std::vector<std::int64_t> shape_of(const ParameterSpec& spec, StateAxis axis) {
  if (axis == StateAxis::columns) return {spec.cols};
  if (axis == StateAxis::rows || spec.is_vector) return {spec.rows};
  return {spec.rows, spec.cols};
}

// For each shard of a replica who has it: of what replicas share all of them, of the rest the
// first.
using Holders = std::vector<Executors>;

Holders holders_of(const Executors& executors, const Grid& grid, bool is_shared) {
  Holders holders(static_cast<std::size_t>(grid.pp * grid.tp));
  const std::size_t count = is_shared ? executors.size() : holders.size();
  for (std::size_t i = 0; i < count; ++i) holders[i % holders.size()].push_back(executors[i]);
  return holders;
}

bool is_shared(const Executors& executors, const std::string& stem) {
  const Sharding& sharding = executors.front()->parameters().sharding();
  return stem == parameters_stem ? sharding.shares_values() : sharding.shares_state();
}

std::vector<TensorSpec> declare(const Holders& holders, const Store& store) {
  std::vector<TensorSpec> tensors;
  for (const Executors& of_shard : holders) {
    std::map<int, TensorSpec> found;  // by parameter, whoever has it
    for (ModelExecutor* shard : of_shard) {
      const Parameters& parameters = shard->parameters();
      for (const StatePart& part : store.in(*shard).parts) {
        const ParameterSpec& spec = parameters.specs()[static_cast<std::size_t>(part.parameter)];
        if (!is_saved(parameters, part.parameter)) continue;
        found.emplace(part.parameter, TensorSpec{spec.name, DType::f32, shape_of(spec, part.axis)});
      }
    }
    for (const auto& [parameter, spec] : found) {
      const bool known = std::ranges::find(tensors, spec.name, &TensorSpec::name) != tensors.end();
      if (!known) tensors.push_back(spec);
    }
  }
  return tensors;
}

void gather_from(const Executors& shards, const Store& store, const std::string& name,
                 std::vector<float>& whole) {
  for (ModelExecutor* shard : shards) {
    const Parameters& parameters = shard->parameters();
    const int index = parameters.find(name);
    if (index < 0 || !is_saved(parameters, index)) continue;
    const ParameterSpec& spec = parameters.specs()[static_cast<std::size_t>(index)];
    const OptimizerState state = store.in(*shard);
    for (const StatePart& part : state.parts) {
      if (part.parameter != index) continue;
      for (const Run& run : runs_of(spec, part)) to_whole(*state.values, run, whole.data());
    }
  }
}

Status write_store(const CheckpointWriter& checkpoint, const Holders& holders, const Store& store) {
  const std::vector<TensorSpec> tensors = declare(holders, store);
  SafetensorsWriterOptions options;
  options.stem = store.stem;
  options.shard_bytes_max = file_bytes_max;
  COLLIE_TRY(SafetensorsWriter writer,
             SafetensorsWriter::create(checkpoint.directory(), tensors, options));
  std::vector<float> whole;
  for (const TensorSpec& tensor : tensors) {
    whole.assign(static_cast<std::size_t>(Shape(tensor.shape).element_count()), 0.0F);
    for (const Executors& shards : holders) gather_from(shards, store, tensor.name, whole);
    COLLIE_TRY_VOID(writer.append(tensor.name, std::as_bytes(std::span(whole))));
  }
  return writer.close();
}

Status read_store(const Checkpoint& checkpoint, const Store& store, ModelExecutor& shard) {
  COLLIE_TRY(const TensorDirectory files, checkpoint.open_tensors(store.stem));
  const Parameters& parameters = shard.parameters();
  const OptimizerState state = store.in(shard);
  for (const StatePart& part : state.parts) {
    const ParameterSpec& spec = parameters.specs()[static_cast<std::size_t>(part.parameter)];
    const std::string& name = spec.tied_to.empty() ? spec.name : spec.tied_to;
    const std::vector<std::int64_t> shape = shape_of(spec, part.axis);
    const LocatedTensor* located = files.find(name);
    if (located == nullptr || located->entry->dtype != DType::f32 ||
        located->entry->shape != shape) {
      return make_error(ErrorCode::invalid_file,
                        "{}: {} has no float32 tensor {} of shape {}; is it of another model or "
                        "optimizer?",
                        checkpoint.path(), store.stem, name,
                        to_string(Shape(std::span<const std::int64_t>(shape))));
    }
    COLLIE_TRY(const Tensor whole, files.tensor(name));
    for (const Run& run : runs_of(spec, part)) {
      from_whole(whole.data<float>(), run, *state.values);
    }
    located->file->drop_pages(*located->entry);
  }
  return ok_status();
}

void copy_values(const Parameters& parameters, Parameters& whole) {
  for (int index = 0; index < parameters.count(); ++index) {
    const ParameterSpec& spec = parameters.specs()[static_cast<std::size_t>(index)];
    const int place = whole.find(spec.name);
    if (place < 0 || whole.is_alias(place) || parameters.is_alias(index)) continue;
    if (!parameters.holds_value(index)) continue;
    const StatePart part{index, StateAxis::elements, 0, spec.local_count(), 0};
    const Tensor from = parameters.value(index);
    Tensor to = whole.value(place);
    std::vector<float> values;
    for (const Run& run : runs_of(spec, part)) {
      if (to.dtype() == DType::f32) {
        to_whole(from, run, to.mutable_data<float>());
        continue;
      }
      values.resize(static_cast<std::size_t>(run.count));
      to_whole(from, {run.local, 0, run.count}, values.data());
      from_whole(values.data(), {run.whole, 0, run.count}, to);
    }
  }
}

}  // namespace

Result<std::string> save_checkpoint(const std::string& run_directory, const RunConfig& config,
                                    const CheckpointInfo& info, const Tokenizer& tokenizer,
                                    const Executors& executors) {
  COLLIE_TRY(CheckpointWriter checkpoint, CheckpointWriter::create(run_directory, info.step));
  for (const Store& store : stores_of(*executors.front())) {
    const Holders holders = holders_of(executors, info.grid, is_shared(executors, store.stem));
    COLLIE_TRY_VOID(write_store(checkpoint, holders, store));
  }
  COLLIE_TRY_VOID(tokenizer.save(checkpoint.directory().temporary_path()));
  Json run;
  run["family"] = info.family;
  run["grid"] = {{"dp", info.grid.dp}, {"tp", info.grid.tp}, {"pp", info.grid.pp}};
  run["parameter_hash"] = hash_text(info.parameter_hash);
  run["base"] = info.base;
  run["callbacks"] = info.callbacks;
  run["gradient_scale"] = info.gradient_scale;
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

void copy_parameters(const Executors& executors, const Grid& grid, Parameters& whole,
                     Stream& stream) {
  const bool is_divided = is_shared(executors, std::string(parameters_stem));
  for (const Executors& of_shard : holders_of(executors, grid, is_divided)) {
    for (ModelExecutor* shard : of_shard) copy_values(shard->parameters(), whole);
  }
  whole.refresh_compute(stream);
}

Result<CheckpointInfo> read_checkpoint_info(const Checkpoint& checkpoint) {
  CheckpointInfo info;
  info.callbacks = checkpoint.run().value("callbacks", Json::object());
  if (!info.callbacks.is_object()) {
    return make_error(ErrorCode::invalid_file, "{}: run.callbacks: expected an object, got {}",
                      checkpoint.path(), describe_json(info.callbacks));
  }
  const Json scale = checkpoint.run().value("gradient_scale", Json(1.0));
  if (!scale.is_number() || !(scale.get<double>() > 0.0) || scale.get<double>() > 1.0) {
    return make_error(ErrorCode::invalid_file,
                      "{}: run.gradient_scale: expected a number in (0, 1], got {}",
                      checkpoint.path(), describe_json(scale));
  }
  info.gradient_scale = scale.get<double>();
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
