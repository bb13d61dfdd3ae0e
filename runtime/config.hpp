// What a run is told: one JSON file, dotted overrides, every key with a default, a range and a line
// of help. The keys are public API; configs/collie.schema.json is generated from the same table
// (config_schema) and a test keeps the two in step. Relative paths are relative to the working
// directory.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "runtime/callback_section.hpp"
#include "runtime/dtype.hpp"
#include "runtime/json.hpp"
#include "runtime/optimizer_section.hpp"
#include "runtime/result.hpp"
#include "runtime/tuning_section.hpp"

namespace collie {

enum class DataFormat { automatic, text, jsonl, json };
enum class LrSchedule { constant, linear, cosine, polynomial, inverse_sqrt, wsd };
enum class LrDecay { linear, cosine, one_minus_sqrt };
enum class SaveDtype { same, float32, bfloat16, float16 };

// The model to start from: exactly one of path and fresh.
struct ModelSection {
  std::string path;       // Hugging Face directory with weights
  Json fresh;             // a Hugging Face config object: new weights drawn from train.seed
  std::string tokenizer;  // directory or tokenizer.json; empty: model.path
  std::int64_t tokenizer_vocab_size = 0;  // > 0: train a byte-level BPE of this size on data.train
  DType dtype = DType::f32;               // of the arithmetic: "float32" or "bfloat16"
  bool master_weights = true;             // false: bfloat16 weights without float32 ones
  double dropout = 0.0;                // in training, of embeddings and what halves of layers add
  std::int64_t resize_vocabulary = 0;  // > 0: rows of the vocabulary, at least the model's

  // Whether the weights are new; fresh is an object then and null otherwise.
  bool is_fresh() const { return fresh.is_object(); }
};

// A file of training data, or a directory of tokens. JSON takes a string or {path, weight, name}.
struct DataSource {
  DataSource() = default;
  DataSource(std::string file) : path(std::move(file)) {}  // NOLINT: a name is a source

  std::string path;
  double weight = 0.0;  // its share of the rows, relative to the others; 0: not given
  std::string name;     // in reports; empty: the last part of the path

  bool operator==(const DataSource&) const = default;
};

struct DataSection {
  // Where no weight is given, all rows of all sources are one set, each drawn once an epoch. Where
  // one is, each source is drawn by its weight (1 where it has none) and has epochs of its own.
  std::vector<DataSource> train;
  std::vector<std::string> validation;  // files; at most one of this and validation_fraction
  double validation_fraction = 0.0;     // of the training records, chosen by a hash of their index
  DataFormat format = DataFormat::automatic;
  std::int64_t sequence_length = 1024;  // tokens a row
  bool packing = true;                  // several documents a row; false: one a row, padded
  std::int64_t packing_window = 0;      // pieces that packing looks at together; 0: all
  bool shuffle = true;
  std::string document_separator;  // plain text: cuts a file; empty: a file is one document
  std::string text_key = "text";   // names of the fields in JSON records
  std::string instruction_key = "instruction";
  std::string input_key = "input";
  std::string output_key = "output";
  std::string messages_key = "messages";
  std::string chat_template = "auto";  // auto (the model's, else plain), plain, or a Jinja file
  std::int64_t max_records = 0;        // of each split, 0: all
};

// What schedules that plan with costs reckon with, in any one unit of time and one of memory.
struct PlanSection {
  double forward = 1.0, input = 1.0, weight = 1.0;  // of one stage and micro-batch: F, I, W
  double communication = 0.0;                       // of a message between ranks
  double activation = 1.0;    // memory that F keeps for a micro-batch on one rank
  double weight_stash = 0.5;  // of that, what stays between I and W
  double memory_cap = 0.0;    // of a rank; 0: the schedule's usual one
};

struct GridSection {
  int dp = 1;                     // replicas
  int tp = 1;                     // tensor shards of a stage
  int pp = 1;                     // ranks of the pipeline
  int threads = 0;                // of each actor's stream; 0: cores / (dp * tp * pp)
  int scheduler_threads = 0;      // of the actor system; 0: chosen from the cores
  std::string schedule = "1f1b";  // a generator's name or a file
  int chunks = 0;                 // stages of a rank; 0: the schedule's usual number
  int group = 0;                  // micro-batches of a group or update; 0: the usual number
  int slices = 1;                 // of a micro-batch along the sequence
  int warm_up_steps = 0;          // synchronous updates before the asynchronous ones
  PlanSection plan;

  int actors() const { return dp * tp * pp; }
};

struct TrainSection {
  std::int64_t max_steps = 0;  // exactly one of max_steps and epochs is above 0
  double epochs = 0.0;
  std::int64_t micro_batch_size = 1;  // rows of one micro-batch
  std::int64_t accumulation = 1;      // micro-batches a step on each replica
  double lr = 1e-4;                   // peak learning rate
  LrSchedule lr_schedule = LrSchedule::cosine;
  std::int64_t warmup_steps = 0;       // at most one of warmup_steps and warmup_ratio is above 0
  double warmup_ratio = 0.0;           // of all steps, rounded up
  double min_lr_ratio = 0.0;           // the schedule ends at lr * min_lr_ratio
  double lr_power = 1.0;               // polynomial
  std::int64_t lr_timescale = 0;       // inverse_sqrt; 0: the warm-up, or 10,000 without one
  std::int64_t lr_decay_steps = 0;     // wsd: of the last phase; 0: lr_decay_ratio says
  double lr_decay_ratio = 0.1;         // wsd: of all steps, rounded up
  LrDecay lr_decay = LrDecay::cosine;  // wsd: the shape of the last phase
  OptimizerSection optimizer;
  double clip_norm = 1.0;          // global gradient norm, 0: no clipping
  bool post_validation = false;    // stages update before the global norm is known
  std::int64_t zero = 0;           // ZeRO stage: replicas share optimizer state (1), and so on
  bool zero_copies = false;        // ZeRO-3: other replicas' values are copied, not read in place
  std::int64_t zero_prefetch = 1;  // ... so many segments before they are used
  std::string recompute = "none";  // none, attention or full
  std::int64_t seed = 0;           // of new weights, shuffling and everything else drawn
};

struct OutputSection {
  std::int64_t trace_steps = 0;  // steps whose actions are written to trace.jsonl
  std::string directory;         // empty: runs/<name>
  SaveDtype save_dtype =
      SaveDtype::same;  // of the model directory; same: as loaded, or model.dtype
  std::int64_t log_every_steps = 1;
  std::vector<std::string> monitors = {"jsonl"};  // jsonl (always written), csv, tensorboard
  std::string network_interface;                  // counted; empty: all but the loopback
  std::string disk;                               // counted; empty: what this process does itself
};

struct LimitsSection {
  std::int64_t memory_bytes = 0;  // the plan must fit; 0: what the machine has
};

struct RunConfig {
  std::string name = "run";
  ModelSection model;
  DataSection data;
  GridSection grid;
  TrainSection train;
  TuningSection tuning;
  EvalSection eval;
  CheckpointSection checkpoint;
  CallbacksSection callbacks;
  OutputSection output;
  LimitsSection limits;
};

// overrides: "train.lr=1e-4", applied in order. A value is read as JSON where the key is not a
// string, otherwise taken as it stands; a key that names a list also takes a single string. Keys
// below model.fresh are free. Errors are invalid_config (or not_found, io, invalid_file for the
// file itself) and name the file and the full dotted key; an unknown key comes with the nearest
// known one. The result is complete: output.directory is never empty.
Result<RunConfig> load_config(const std::string& path,
                              const std::vector<std::string>& overrides = {});
// The same for a document that is already there; source stands in the messages for the file's name.
Result<RunConfig> parse_config(std::string_view text, std::string_view source,
                               const std::vector<std::string>& overrides = {});

// What training needs beyond a consistent configuration: training files and max_steps or epochs.
// Other commands do without.
Status require_trainable(const RunConfig& config);

// What is allowed and has no effect, one line each: for a person to see at the start of a run.
std::vector<std::string> config_warnings(const RunConfig& config);

// Every key with its value, defaults included; parse_config of its dump gives the same again.
Json to_json(const RunConfig& config);

// JSON Schema (draft 2020-12) of the file: types, ranges, choices, defaults and help.
Json config_schema();

}  // namespace collie
