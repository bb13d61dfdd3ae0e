// The keys of training, tuning, evaluation and callbacks.
#include "runtime/config_field_makers.hpp"
#include "runtime/limits.hpp"

namespace collie::config {
namespace {

// A hyperparameter whose default is the optimizer's own.
OptionalNumber optional(std::optional<double>& value, double low, double high,
                        bool low_open = false, bool high_open = false) {
  return {&value, low, high, low_open, high_open};
}

void append_moments(Fields& fields, OptimizerSection& optimizer) {
  const auto add = [&](Field field) { fields.push_back(std::move(field)); };
  add({"train.optimizer.beta1", optional(optimizer.beta1, 0.0, 1.0, false, true),
       "decay of the first moment; null: 0.9, sophia 0.965, adan 0.98, adafactor none (0)"});
  add({"train.optimizer.beta2", optional(optimizer.beta2, 0.0, 1.0, false, true),
       "decay of the second moment (lion: of the stored momentum); null: 0.999, lion and sophia "
       "0.99, adan 0.92, muon's AdamW 0.95"});
  add({"train.optimizer.beta3", Number{&optimizer.beta3, 0.0, 1.0, false, true},
       "decay of adan's squared gradients"});
  add({"train.optimizer.epsilon", optional(optimizer.epsilon, 0.0, 1.0, true, false),
       "added to the root of the second moment (adafactor, adalomo: to squared gradients); null: "
       "1e-8, adafactor and adalomo 1e-30, muon's AdamW 1e-10"});
  add({"train.optimizer.momentum", optional(optimizer.momentum, 0.0, 1.0, false, true),
       "decay of the velocity; null: sgd 0.9, muon 0.95"});
  add({"train.optimizer.dampening", Number{&optimizer.dampening, 0.0, 1.0},
       "sgd: share of the gradient that does not enter the velocity"});
  add({"train.optimizer.nesterov", &optimizer.nesterov,
       "sgd, muon: step along the velocity after next; null: sgd false, muon true"});
  add({"train.optimizer.weight_decay", optional(optimizer.weight_decay, 0.0, 100.0),
       "decoupled, or as a part of the gradient (sgd); null: 0, sophia 0.1"});
  add({"train.optimizer.decay_scope",
       choice<DecayScope>(optimizer.decay_scope,
                          {{DecayScope::matrices, "matrices"}, {DecayScope::all, "all"}}),
       "what weight decay is for: matrices and embeddings, or norms and biases too"});
}

void append_optimizer(Fields& fields, OptimizerSection& optimizer) {
  const auto add = [&](Field field) { fields.push_back(std::move(field)); };
  add({"train.optimizer.name",
       choice(optimizer.name,
              {"adamw", "sgd", "lion", "adan", "sophia", "adafactor", "muon", "lomo", "adalomo"}),
       "optimizer"});
  append_moments(fields, optimizer);
  add({"train.optimizer.proximal", &optimizer.proximal,
       "adan: divide by 1 + lr * weight_decay in place of multiplying by 1 - lr * weight_decay"});
  add({"train.optimizer.rho", Number{&optimizer.rho, 0.0, 1e9, true, false},
       "sophia: the curvature's factor; higher: smaller steps"});
  add({"train.optimizer.hessian_interval", integer(optimizer.hessian_interval, 1, 1'000'000),
       "sophia: updates from one estimate of the curvature to the next"});
  add({"train.optimizer.hessian_share", Number{&optimizer.hessian_share, 0.0, 1.0, true, false},
       "sophia: share of a step's micro-batches, rounded up, that an estimate goes through once "
       "more with labels drawn from the model"});
  add({"train.optimizer.decay_rate", Number{&optimizer.decay_rate, 0.0, 1.0, true, false},
       "adafactor, adalomo: the second moment decays by 1 - step^-decay_rate"});
  add({"train.optimizer.clip_threshold", Number{&optimizer.clip_threshold, 0.0, 1e9, true, false},
       "adafactor, adalomo: greatest root mean square of an update"});
  add({"train.optimizer.scale_parameter", &optimizer.scale_parameter,
       "adafactor: the learning rate is relative to a parameter's root mean square"});
  add({"train.optimizer.relative_step", &optimizer.relative_step,
       "adafactor: 1 / sqrt(step), at most 0.01, in place of train.lr"});
  add({"train.optimizer.warmup_init", &optimizer.warmup_init,
       "adafactor: relative steps start at 1e-6 * step"});
  add({"train.optimizer.clip_value", Number{&optimizer.clip_value, 0.0, 1e9},
       "lomo, adalomo: greatest value of a gradient's element; 0: no clipping"});
  add({"train.optimizer.in_backward", &optimizer.in_backward,
       "update each layer within the last backward of a step, so that all gradients are never held "
       "at once; null: true for lomo and adalomo where the run allows it"});
  add({"train.optimizer.clip",
       choice<ClipNorm>(optimizer.clip,
                        {{ClipNorm::two_pass, "two_pass"}, {ClipNorm::previous, "previous"}}),
       "in_backward with train.clip_norm: make the weight gradients once for their norm and again "
       "for the update, or clip by the norm of the step before (the first step of a run is not "
       "clipped then)"});
  add({"train.optimizer.rounding",
       choice<Rounding>(optimizer.rounding,
                        {{Rounding::nearest, "nearest"}, {Rounding::stochastic, "stochastic"}}),
       "of updated weights where model.master_weights is false; stochastic keeps small updates on "
       "average"});
  add({"train.optimizer.newton_schulz_steps",
       integer(optimizer.newton_schulz_steps, 1, limits::newton_schulz_steps_max),
       "muon: iterations that make an update orthogonal"});
  add({"train.optimizer.muon_scale",
       choice<MuonScale>(optimizer.muon_scale,
                         {{MuonScale::original, "original"}, {MuonScale::adamw, "adamw"}}),
       "muon: an n x m update times sqrt(max(1, n / m)), or 0.2 * sqrt(max(n, m)), as large as "
       "AdamW's"});
  add({"train.optimizer.state_dtype",
       choice<DType>(optimizer.state_dtype, {{DType::f32, "float32"}, {DType::bf16, "bfloat16"}}),
       "of moments that have the size of the parameters; bfloat16 is rounded to nearest, so with "
       "beta2 above 0.99 small changes of a second moment are lost"});
  add({"train.optimizer.groups", parameter_groups(optimizer.groups),
       "hyperparameters of the parameters that a pattern means; the first match counts"});
}

void append_lr_schedule(Fields& fields, TrainSection& train) {
  const auto add = [&](Field field) { fields.push_back(std::move(field)); };
  add({"train.lr_power", Number{&train.lr_power, 0.0, 100.0, true, false},
       "polynomial: exponent of what remains"});
  add({"train.lr_timescale", integer(train.lr_timescale, 0),
       "inverse_sqrt: steps after which the rate is halved at four times as many; 0: the warm-up, "
       "or 10,000 without one"});
  add({"train.lr_decay_steps", integer(train.lr_decay_steps, 0),
       "wsd: steps of the last phase; 0: train.lr_decay_ratio of all"});
  add({"train.lr_decay_ratio", Number{&train.lr_decay_ratio, 0.0, 1.0},
       "wsd: the last phase as a share of all steps"});
  add({"train.lr_decay",
       choice<LrDecay>(train.lr_decay, {{LrDecay::linear, "linear"},
                                        {LrDecay::cosine, "cosine"},
                                        {LrDecay::one_minus_sqrt, "1-sqrt"}}),
       "wsd: how the last phase falls"});
}

}  // namespace

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
                                              {LrSchedule::cosine, "cosine"},
                                              {LrSchedule::polynomial, "polynomial"},
                                              {LrSchedule::inverse_sqrt, "inverse_sqrt"},
                                              {LrSchedule::wsd, "wsd"}}),
       "how the learning rate goes on after the warm-up; wsd: it stays, then decays"});
  add({"train.warmup_steps", integer(train.warmup_steps, 0),
       "steps in which the learning rate rises from 0"});
  add({"train.warmup_ratio", Number{&train.warmup_ratio, 0.0, 1.0},
       "the same as a share of all steps; at most one of the two"});
  add({"train.min_lr_ratio", Number{&train.min_lr_ratio, 0.0, 1.0},
       "last learning rate as a share of train.lr"});
  append_lr_schedule(fields, train);
  append_optimizer(fields, train.optimizer);
  add({"train.clip_norm", Number{&train.clip_norm, 0.0, 1e9},
       "greatest global gradient norm; 0: no clipping"});
  add({"train.post_validation", &train.post_validation,
       "stages update and go on to the next step before the global gradient norm is known, and "
       "take "
       "the update back where it asks for clipping; synchronous schedules only; keeps a copy of "
       "parameters and optimizer state until then"});
  add({"train.zero", integer(train.zero, 0, 3),
       "ZeRO: with several replicas each keeps optimizer state (1), gradients too (2), values too "
       "(3) of its share of the parameters alone"});
  add({"train.zero_copies", &train.zero_copies,
       "ZeRO-3: values of other replicas' shares are copied into rooms of each replica's own, as "
       "between machines; false: they are read where they stand, which takes no memory"});
  add({"train.zero_prefetch", integer(train.zero_prefetch, 0, limits::zero_prefetch_max),
       "ZeRO-3 with train.zero_copies: for how many segments (half layers) values are fetched "
       "while the present one computes; each takes a segment's memory"});
  add({"train.recompute", choice(train.recompute, {"none", "attention", "full"}),
       "which activations are computed again in the backward pass to save memory"});
  add({"train.seed", integer(train.seed, 0), "of new weights and of the order of the data"});
}

void append_tuning(Fields& fields, TuningSection& tuning) {
  const auto add = [&](Field field) { fields.push_back(std::move(field)); };
  add({"tuning.method",
       choice(tuning.method,
              {"auto", "full", "lora", "ia3", "prefix", "prompt", "p_tuning", "houlsby"}),
       "what is trained: the whole model (full), or something small beside it; auto: what "
       "tuning.adapter is, full without one"});
  add({"tuning.adapter", &tuning.adapter,
       "PEFT directory to start from; its adapter_config.json then says what the keys below leave "
       "open"});
  add({"tuning.rank", integer(tuning.rank, 0, limits::hidden_size_max), "lora; 0: 8"});
  add({"tuning.alpha", optional(tuning.alpha, 0.0, 1e6),
       "lora: the update is scaled by alpha / rank; null: 16"});
  add({"tuning.dropout", optional(tuning.dropout, 0.0, 1.0, false, true),
       "lora: of the adapters' input; null: 0"});
  add({"tuning.targets", &tuning.targets,
       "modules to adapt: names (\"q_proj\"), paths, * for any characters, or \"all-linear\"; "
       "empty: the method's usual ones"});
  add({"tuning.modules_to_save", &tuning.modules_to_save,
       "modules that are trained whole and saved with the adapter"});
  add({"tuning.exclude_modules", &tuning.exclude_modules,
       "modules that are not adapted although tuning.targets names them"});
  add({"tuning.layers", &tuning.layers,
       "layers to adapt, numbers from 0 on or ranges as \"4-7\"; empty: all"});
  add({"tuning.rank_pattern", FreeObject{&tuning.rank_pattern},
       "lora: {module: rank} for modules whose rank is not tuning.rank; the first that fits "
       "counts"});
  add({"tuning.alpha_pattern", FreeObject{&tuning.alpha_pattern},
       "lora: {module: alpha} for modules whose alpha is not tuning.alpha"});
  add({"tuning.init", choice(tuning.init, {"auto", "kaiming", "gaussian"}),
       "lora: how A starts, with variance 1 / (3 inputs) or 1 / rank^2; auto: kaiming"});
  add({"tuning.rslora", &tuning.rslora, "lora: scale by alpha / sqrt(rank); null: false"});
  add({"tuning.dora", &tuning.dora,
       "lora: train each weight's magnitude apart from its direction; null: false"});
  add({"tuning.bias", choice(tuning.bias, {"auto", "none", "all", "lora_only"}),
       "lora: biases that are trained too, none, all or those of adapted modules; auto: none"});
  add({"tuning.virtual_tokens", integer(tuning.virtual_tokens, 0, limits::sequence_length_max),
       "prefix, prompt, p_tuning; 0: 20"});
  add({"tuning.projection_size", integer(tuning.projection_size, 0, limits::hidden_size_max),
       "width of the net that makes the virtual tokens; 0: prefix none, p_tuning the model's "
       "hidden size"});
  add({"tuning.bottleneck", integer(tuning.bottleneck, 0, limits::hidden_size_max),
       "houlsby: width of the adapters; 0: 64"});
  add({"tuning.save_merged", &tuning.save_merged,
       "write the model with the adapter merged into it to model/, beside adapter/"});
}

void append_evaluation(Fields& fields, EvalSection& eval) {
  const auto add = [&](Field field) { fields.push_back(std::move(field)); };
  add({"eval.every_steps", integer(eval.every_steps, 0),
       "steps between evaluations; 0: only after the last step"});
  add({"eval.every_epochs", Number{&eval.every_epochs, 0.0, 1e6},
       "the same in passes over the data, also in part; at most one of the two"});
  add({"eval.max_batches", integer(eval.max_batches, 0),
       "micro-batches an evaluation; 0: all validation data"});
  add({"eval.evaluators", evaluator_items(eval.evaluators),
       "what is measured beside the loss of the validation data"});
}

void append_callbacks(Fields& fields, RunConfig& config) {
  const auto add = [&](Field field) { fields.push_back(std::move(field)); };
  const auto add_metric = [&](std::string_view name, std::string_view mode, WatchedMetric& metric) {
    add({name, &metric.name, "figure to watch, evaluator#value, as validation#loss"});
    add({mode, choice(metric.mode, {"auto", "min", "max"}),
         "which is better; auto: less of losses and perplexities, more of all else"});
  };
  BestSection& best = config.checkpoint.best;
  add_metric("checkpoint.best.metric", "checkpoint.best.mode", best.metric);
  add({"checkpoint.best.keep", integer(best.keep, 0, limits::best_checkpoints_max),
       "best checkpoints, after evaluations, to keep in <output.directory>/best; 0: none"});
  add({"checkpoint.best.load", &best.load,
       "save as the model the best checkpoint, in place of the last step's parameters"});
  EarlyStopSection& stop = config.callbacks.early_stop;
  add_metric("callbacks.early_stop.metric", "callbacks.early_stop.mode", stop.metric);
  add({"callbacks.early_stop.patience", integer(stop.patience, 0),
       "evaluations without an improvement after which the run ends; 0: never"});
  add({"callbacks.early_stop.min_delta", Number{&stop.min_delta, 0.0, 1e9},
       "an improvement is larger than this"});
  SamplesSection& samples = config.callbacks.samples;
  add({"callbacks.samples.prompts", &samples.prompts,
       "texts the model continues, to the terminal and samples.jsonl"});
  add({"callbacks.samples.every_steps", integer(samples.every_steps, 0),
       "steps between samples; 0: only after the last step"});
  add({"callbacks.samples.max_tokens", integer(samples.max_tokens, 1, limits::new_tokens_max),
       "new tokens of a sample"});
  add({"callbacks.samples.temperature", Number{&samples.temperature, 0.0, 100.0},
       "of samples; 0: always the most likely token"});
  add({"callbacks.non_finite", choice(config.callbacks.non_finite, {"error", "stop", "skip"}),
       "a step whose loss or gradient is not finite, which is never applied: ends the run as an "
       "error, ends it as a stop that is saved, or is left out"});
  add({"callbacks.max_skipped", integer(config.callbacks.max_skipped, 1),
       "steps left out one after the other before the run ends"});
}

}  // namespace collie::config
