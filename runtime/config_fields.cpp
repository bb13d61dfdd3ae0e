#include "runtime/config_fields.hpp"

#include <algorithm>

#include "runtime/limits.hpp"
#include "runtime/suggest.hpp"

namespace collie::config {
namespace {

constexpr std::int64_t count_max = std::int64_t{1} << 53;  // exact as a JSON number everywhere

template <class T>
Integer integer(T& value, std::int64_t low, std::int64_t high = count_max) {
  return {[&value] { return static_cast<std::int64_t>(value); },
          [&value](std::int64_t read) { value = static_cast<T>(read); }, low, high};
}

// For enums: names in the order of their values.
template <class T>
Choice choice(T& value, const std::vector<std::pair<T, std::string_view>>& names) {
  Choice result;
  for (const auto& [_, name] : names) result.names.push_back(name);
  result.get = [&value, names] {
    const auto found = std::find_if(names.begin(), names.end(),
                                    [&](const auto& entry) { return entry.first == value; });
    COLLIE_CHECK(found != names.end(), "a value that has no name");
    return found->second;
  };
  result.set = [&value, names](std::size_t place) { value = names[place].first; };
  return result;
}

// For names that a registry further up resolves.
Choice choice(std::string& value, const std::vector<std::string_view>& names) {
  return {names, [&value] { return std::string_view(value); },
          [&value, names](std::size_t place) { value = names[place]; }};
}

using Fields = std::vector<Field>;

void append_model(Fields& fields, ModelSection& model) {
  const auto add = [&](Field field) { fields.push_back(std::move(field)); };
  add({"model.path", &model.path,
       "Hugging Face model directory to start from; either this or model.fresh"});
  add({"model.fresh", FreeObject{&model.fresh},
       "Hugging Face config object (model_type, hidden_size, ...) of a new model with random "
       "weights; either this or model.path"});
  add({"model.tokenizer", &model.tokenizer,
       "directory or tokenizer.json; empty: the one of model.path"});
  add({"model.tokenizer_vocab_size", integer(model.tokenizer_vocab_size, 0, limits::vocabulary_max),
       "above 0: train a byte-level BPE tokenizer of this size on data.train"});
  add({"model.dtype",
       choice<DType>(model.dtype, {{DType::f32, "float32"}, {DType::bf16, "bfloat16"}}),
       "of the arithmetic; weights and optimizer state are kept in float32"});
}

void append_data(Fields& fields, DataSection& data) {
  const auto add = [&](Field field) { fields.push_back(std::move(field)); };
  add({"data.train", &data.train, "training files: text, JSON or JSON lines"});
  add({"data.validation", &data.validation,
       "validation files; at most one of this and data.validation_fraction"});
  add({"data.validation_fraction", Number{&data.validation_fraction, 0.0, 1.0, false, true},
       "share of the training records held out for validation"});
  add({"data.format",
       choice<DataFormat>(data.format, {{DataFormat::automatic, "auto"},
                                        {DataFormat::text, "text"},
                                        {DataFormat::jsonl, "jsonl"},
                                        {DataFormat::json, "json"}}),
       "of all files; auto: by extension"});
  add({"data.sequence_length", integer(data.sequence_length, 1, limits::sequence_length_max),
       "tokens in a row"});
  add({"data.packing", &data.packing,
       "put several documents into a row, blind to each other; false: one a row, padded"});
  add({"data.shuffle", &data.shuffle, "draw a new order of the rows in each epoch"});
  add({"data.document_separator", &data.document_separator,
       "cuts plain text files into documents; empty: a file is one document"});
  add({"data.text_key", &data.text_key, "name of this field in JSON records"});
  add({"data.instruction_key", &data.instruction_key, "name of this field in JSON records"});
  add({"data.input_key", &data.input_key, "name of this field in JSON records"});
  add({"data.output_key", &data.output_key, "name of this field in JSON records"});
  add({"data.messages_key", &data.messages_key, "name of this field in JSON records"});
  add({"data.max_records", integer(data.max_records, 0),
       "read at most this many records for training and for validation; 0: all"});
}

void append_grid(Fields& fields, GridSection& grid) {
  const auto add = [&](Field field) { fields.push_back(std::move(field)); };
  add({"grid.dp", integer(grid.dp, 1, limits::grid_axis_max), "replicas of the model"});
  add({"grid.tp", integer(grid.tp, 1, limits::grid_axis_max), "tensor shards of each stage"});
  add({"grid.pp", integer(grid.pp, 1, limits::grid_axis_max), "ranks of the pipeline"});
  add({"grid.threads", integer(grid.threads, 0, limits::threads_per_stream_max),
       "threads of each rank's arithmetic; 0: cores / ranks"});
  add({"grid.scheduler_threads", integer(grid.scheduler_threads, 0, limits::threads_per_stream_max),
       "threads of the actor system; 0: chosen from the cores"});
  add({"grid.schedule", &grid.schedule,
       "pipeline schedule: a name from \"collie-actor-node schedule list\", or a .schedule or .csv "
       "file; it has grid.pp ranks and train.accumulation micro-batches"});
  add({"grid.chunks", integer(grid.chunks, 0, limits::grid_axis_max),
       "stages of each rank, where the schedule takes a number; 0: its usual one"});
}

void append_optimizer(Fields& fields, OptimizerSection& optimizer) {
  const auto add = [&](Field field) { fields.push_back(std::move(field)); };
  add({"train.optimizer.name", choice(optimizer.name, {"adamw", "sgd"}), "optimizer"});
  add({"train.optimizer.beta1", Number{&optimizer.beta1, 0.0, 1.0, false, true},
       "decay of the first moment"});
  add({"train.optimizer.beta2", Number{&optimizer.beta2, 0.0, 1.0, false, true},
       "decay of the second moment"});
  add({"train.optimizer.epsilon", Number{&optimizer.epsilon, 0.0, 1.0, true, false},
       "added to the root of the second moment"});
  add({"train.optimizer.momentum", Number{&optimizer.momentum, 0.0, 1.0, false, true},
       "decay of sgd's velocity"});
  add({"train.optimizer.weight_decay", Number{&optimizer.weight_decay, 0.0, 100.0},
       "weight decay, decoupled (adamw) or as a part of the gradient (sgd); never on norms and "
       "biases"});
}

void append_train(Fields& fields, TrainSection& train) {
  const auto add = [&](Field field) { fields.push_back(std::move(field)); };
  add({"train.max_steps", integer(train.max_steps, 0),
       "optimizer steps; training needs either this or train.epochs"});
  add({"train.epochs", Number{&train.epochs, 0.0, 1e6}, "passes over the data, also in part"});
  add({"train.micro_batch_size", integer(train.micro_batch_size, 1, limits::micro_batches_max),
       "rows in a micro-batch"});
  add({"train.accumulation", integer(train.accumulation, 1, limits::micro_batches_max),
       "micro-batches a step on each replica; with pp > 1 at least pp keeps the pipeline busy"});
  add({"train.lr", Number{&train.lr, 0.0, 1000.0}, "highest learning rate"});
  add({"train.lr_schedule",
       choice<LrSchedule>(train.lr_schedule, {{LrSchedule::constant, "constant"},
                                              {LrSchedule::linear, "linear"},
                                              {LrSchedule::cosine, "cosine"}}),
       "how the learning rate goes on after the warm-up"});
  add({"train.warmup_steps", integer(train.warmup_steps, 0),
       "steps in which the learning rate rises from 0"});
  add({"train.warmup_ratio", Number{&train.warmup_ratio, 0.0, 1.0},
       "the same as a share of all steps; at most one of the two"});
  add({"train.min_lr_ratio", Number{&train.min_lr_ratio, 0.0, 1.0},
       "last learning rate as a share of train.lr"});
  append_optimizer(fields, train.optimizer);
  add({"train.clip_norm", Number{&train.clip_norm, 0.0, 1e9},
       "greatest global gradient norm; 0: no clipping"});
  add({"train.recompute", choice(train.recompute, {"none", "attention", "full"}),
       "which activations are computed again in the backward pass to save memory"});
  add({"train.seed", integer(train.seed, 0), "of new weights and of the order of the data"});
}

void append_rest(Fields& fields, RunConfig& config) {
  const auto add = [&](Field field) { fields.push_back(std::move(field)); };
  add({"eval.every_steps", integer(config.eval.every_steps, 0),
       "steps between evaluations; 0: only after the last step"});
  add({"eval.max_batches", integer(config.eval.max_batches, 0),
       "micro-batches an evaluation; 0: all validation data"});
  add({"checkpoint.every_steps", integer(config.checkpoint.every_steps, 0),
       "steps between checkpoints; 0: only when the run ends or is stopped"});
  add({"checkpoint.keep_last", integer(config.checkpoint.keep_last, 0),
       "newest checkpoints to keep; 0: all"});
  add({"checkpoint.resume", &config.checkpoint.resume,
       "auto: from the newest checkpoint of output.directory; never; or a checkpoint's path"});
  add({"output.directory", &config.output.directory, "of all results; empty: runs/<name>"});
  add({"output.save_dtype",
       choice<SaveDtype>(config.output.save_dtype, {{SaveDtype::same, "same"},
                                                    {SaveDtype::float32, "float32"},
                                                    {SaveDtype::bfloat16, "bfloat16"},
                                                    {SaveDtype::float16, "float16"}}),
       "of the saved model; same: as it was loaded, model.dtype for a fresh one"});
  add({"output.trace_steps", integer(config.output.trace_steps, 0, limits::traced_steps_max),
       "steps, after the first, whose every action is checked against the schedule and written to "
       "trace.jsonl"});
  add({"output.log_every_steps", integer(config.output.log_every_steps, 1),
       "steps between lines when the output is not a terminal"});
  add({"limits.memory_bytes", integer(config.limits.memory_bytes, 0),
       "memory the plan must fit into; 0: what is free and the control group allows"});
}

// What other trainers call it.
constexpr std::pair<std::string_view, std::string_view> other_names[] = {
    {"learning_rate", "train.lr"},
    {"batch_size", "train.micro_batch_size"},
    {"per_device_train_batch_size", "train.micro_batch_size"},
    {"gradient_accumulation_steps", "train.accumulation"},
    {"max_grad_norm", "train.clip_norm"},
    {"lr_scheduler_type", "train.lr_schedule"},
    {"num_train_epochs", "train.epochs"},
    {"max_length", "data.sequence_length"},
    {"model_name_or_path", "model.path"},
};

std::string_view last_part(std::string_view path) {
  return path.substr(path.rfind('.') + 1);
}

}  // namespace

std::vector<Field> fields_of(RunConfig& config) {
  Fields fields;
  fields.push_back({"name", &config.name, "of the run; part of its default output directory"});
  append_model(fields, config.model);
  append_data(fields, config.data);
  append_grid(fields, config.grid);
  append_train(fields, config.train);
  append_rest(fields, config);
  return fields;
}

std::vector<std::string> split_path(std::string_view path) {
  std::vector<std::string> parts;
  for (std::size_t begin = 0; begin <= path.size();) {
    const std::size_t end = std::min(path.find('.', begin), path.size());
    parts.emplace_back(path.substr(begin, end - begin));
    begin = end + 1;
  }
  return parts;
}

std::string_view nearest_path(std::string_view path, const std::vector<Field>& fields) {
  constexpr std::size_t compared_bytes_max = 80;  // keys are shorter; the distance is quadratic
  if (path.size() > compared_bytes_max) return {};
  for (const auto& [other, ours] : other_names) {
    if (last_part(path) == other) return ours;
  }
  std::string_view nearest;
  std::size_t least = path.size();  // twice the distance: more than half the letters is too far
  for (const Field& field : fields) {
    // The right name in the wrong section is nearer than a wrong name in the right one.
    const std::size_t whole = 2 * edit_distance(path, field.path);
    const std::size_t part = 2 * edit_distance(last_part(path), last_part(field.path)) + 1;
    if (std::min(whole, part) >= least) continue;
    least = std::min(whole, part);
    nearest = field.path;
  }
  return nearest;
}

}  // namespace collie::config
