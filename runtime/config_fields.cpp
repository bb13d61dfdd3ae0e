#include "runtime/config_fields.hpp"

#include <algorithm>

#include "runtime/config_field_makers.hpp"
#include "runtime/limits.hpp"
#include "runtime/suggest.hpp"

namespace collie::config {
namespace {

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
       "of the arithmetic; optimizer state is kept in float32, and so are weights unless "
       "model.master_weights is false"});
  add({"model.master_weights", &model.master_weights,
       "false: with dtype bfloat16 the weights are kept in bfloat16 alone, 2 bytes a parameter "
       "instead of 6; updates are made in float32 and rounded, see train.optimizer.rounding"});
  add({"model.dropout", Number{&model.dropout, 0.0, 1.0, false, true},
       "in training: of the embeddings and of what each half of a layer adds to the residual "
       "stream "
       "(GPT-2's embd_pdrop and resid_pdrop, not its attn_pdrop); any family"});
  add({"model.resize_vocabulary", integer(model.resize_vocabulary, 0, limits::vocabulary_max),
       "above 0: rows that embedding and head are given, at least the model's; the new ones start "
       "as the mean of the old"});
}

void append_data(Fields& fields, DataSection& data) {
  const auto add = [&](Field field) { fields.push_back(std::move(field)); };
  add({"data.train", data_sources(data.train),
       "training files (text, JSON or JSON lines) and directories that \"tokenize\" wrote; as "
       "{path, weight, name} they are mixed by weight"});
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
  add({"data.packing_window", integer(data.packing_window, 0),
       "pieces of documents that packing looks at together, in the order of the files; 0: all"});
  add({"data.shuffle", &data.shuffle, "draw a new order of the rows in each epoch"});
  add({"data.document_separator", &data.document_separator,
       "cuts plain text files into documents; empty: a file is one document"});
  add({"data.text_key", &data.text_key, "name of this field in JSON records"});
  add({"data.instruction_key", &data.instruction_key, "name of this field in JSON records"});
  add({"data.input_key", &data.input_key, "name of this field in JSON records"});
  add({"data.output_key", &data.output_key, "name of this field in JSON records"});
  add({"data.messages_key", &data.messages_key, "name of this field in JSON records"});
  add({"data.chat_template", &data.chat_template,
       "how chats become text: auto (the model's own template, else plain), plain, or a Jinja "
       "file"});
  add({"data.max_records", integer(data.max_records, 0),
       "read at most this many records for training and for validation; 0: all"});
}

void append_plan(Fields& fields, PlanSection& plan) {
  const auto add = [&](std::string_view key, double& value, std::string_view help) {
    fields.push_back({key, Number{&value, 0.0, 1e15}, help});
  };
  add("grid.plan.forward", plan.forward,
      "time of F of one stage, for schedules that plan with costs, in any unit");
  add("grid.plan.input", plan.input, "time of I");
  add("grid.plan.weight", plan.weight, "time of W");
  add("grid.plan.communication", plan.communication, "time of a message between ranks");
  add("grid.plan.activation", plan.activation,
      "memory that F keeps for a micro-batch on one rank, in any unit");
  add("grid.plan.weight_stash", plan.weight_stash, "of that, what stays between I and W");
  add("grid.plan.memory_cap", plan.memory_cap,
      "memory of a rank that the plan may use; 0: the schedule's usual cap");
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
  add({"grid.group", integer(grid.group, 0, limits::micro_batches_max),
       "micro-batches of a group (interleaved) or of an update (asynchronous), where the schedule "
       "takes a number; 0: its usual one"});
  add({"grid.slices", integer(grid.slices, 1, limits::schedule_slices_max),
       "slices of a micro-batch along the sequence, where the schedule cuts it"});
  add({"grid.warm_up_steps", integer(grid.warm_up_steps, 0, limits::micro_batches_max),
       "synchronous updates before the asynchronous ones, where the schedule has them"});
  append_plan(fields, grid.plan);
}

void append_rest(Fields& fields, RunConfig& config) {
  const auto add = [&](Field field) { fields.push_back(std::move(field)); };
  append_evaluation(fields, config.eval);
  add({"checkpoint.every_steps", integer(config.checkpoint.every_steps, 0),
       "steps between checkpoints; 0: only when the run ends or is stopped"});
  add({"checkpoint.every_epochs", Number{&config.checkpoint.every_epochs, 0.0, 1e6},
       "the same in passes over the data, also in part; at most one of the two"});
  add({"checkpoint.keep_last", integer(config.checkpoint.keep_last, 0),
       "newest checkpoints to keep; 0: all"});
  add({"checkpoint.resume", &config.checkpoint.resume,
       "auto: from the newest checkpoint of output.directory; never; or a checkpoint's path"});
  append_callbacks(fields, config);
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
  add({"output.monitors", NameList{{"jsonl", "csv", "tensorboard"}, &config.output.monitors},
       "where metrics are written: metrics.jsonl (always), metrics.csv, TensorBoard event files"});
  add({"output.network_interface", &config.output.network_interface,
       "whose traffic the metrics count; empty: all interfaces but the loopback"});
  add({"output.disk", &config.output.disk,
       "block device whose transfers the metrics count; empty: what this process reads and "
       "writes"});
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
    {"early_stopping_patience", "callbacks.early_stop.patience"},
    {"early_stopping_threshold", "callbacks.early_stop.min_delta"},
    {"load_best_model_at_end", "checkpoint.best.load"},
    {"metric_for_best_model", "checkpoint.best.metric"},
    {"lr_scheduler_type", "train.lr_schedule"},
    {"num_train_epochs", "train.epochs"},
    {"max_length", "data.sequence_length"},
    {"model_name_or_path", "model.path"},
    {"lora_alpha", "tuning.alpha"},
    {"lora_rank", "tuning.rank"},
    {"lora_dropout", "tuning.dropout"},
    {"target_modules", "tuning.targets"},
    {"layers_to_transform", "tuning.layers"},
    {"init_lora_weights", "tuning.init"},
    {"use_rslora", "tuning.rslora"},
    {"use_dora", "tuning.dora"},
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
  append_tuning(fields, config.tuning);
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
