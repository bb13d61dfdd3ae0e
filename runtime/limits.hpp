// Every bound of the program. A number that limits a queue, a wait, a file or a request lives here.
#pragma once

#include <cstddef>
#include <cstdint>

namespace collie::limits {

// Tensors.
inline constexpr int tensor_rank_max = 4;
inline constexpr std::int64_t tensor_bytes_max = std::int64_t{1} << 40;
inline constexpr std::size_t buffer_alignment_bytes = 64;

// Files read from outside.
inline constexpr std::size_t safetensors_header_bytes_max = 100'000'000;  // the format's own limit
inline constexpr std::size_t json_bytes_max = std::size_t{256} << 20;
inline constexpr int json_depth_max = 64;
inline constexpr std::size_t config_bytes_max = std::size_t{1} << 20;
inline constexpr std::size_t safetensors_rank_max = 8;  // on disk; ours is tensor_rank_max
inline constexpr std::size_t index_shards_max = 10'000;
inline constexpr std::size_t checkpoint_files_max = 100'000;

// Tokenizers.
inline constexpr std::size_t vocabulary_max = 2'000'000;
inline constexpr std::size_t merges_max = 4'000'000;
inline constexpr std::size_t token_bytes_max = 64 * 1024;
inline constexpr std::size_t added_tokens_max = 100'000;
inline constexpr std::size_t tokenizer_steps_max = 32;    // normalizers, pre-tokenizers, decoders
inline constexpr std::size_t normalizer_growth_max = 64;  // times the input, plus token_bytes_max
inline constexpr std::size_t pattern_bytes_max = 8 * 1024;
inline constexpr std::size_t pattern_stack_bytes_max = std::size_t{1} << 20;
inline constexpr std::uint32_t pattern_match_steps_max = 10'000'000;
inline constexpr std::uint32_t pattern_heap_kib_max = 20 * 1024;

// Chat templates: programs that come with a model.
inline constexpr std::size_t chat_template_bytes_max = std::size_t{1} << 20;
inline constexpr int chat_template_nesting_max = 100;    // brackets and blocks in each other
inline constexpr int chat_template_recursion_max = 400;  // nodes under evaluation, through macros
inline constexpr std::int64_t chat_template_steps_max = 50'000'000;  // nodes and 64-byte copies
inline constexpr std::size_t chat_template_output_bytes_max = std::size_t{128} << 20;
inline constexpr std::size_t chat_template_memory_bytes_max = std::size_t{1} << 30;
inline constexpr std::int64_t chat_template_range_max = 100'000;  // as jinja2's sandbox

// Datasets.
inline constexpr std::size_t record_bytes_max = std::size_t{64} << 20;
inline constexpr std::size_t text_document_bytes_max = std::size_t{1} << 30;
inline constexpr std::size_t dataset_tokens_max = std::size_t{1} << 31;  // held in memory
inline constexpr std::size_t token_shards_max = 100'000;
inline constexpr std::int64_t token_shard_tokens_max = std::int64_t{1} << 40;
inline constexpr std::size_t evaluation_samples_max = 10'000'000;
inline constexpr std::size_t evaluation_options_max = 1000;  // or references, of one sample
inline constexpr std::size_t evaluators_max = 64;
inline constexpr std::int64_t best_checkpoints_max = 1000;
inline constexpr std::int64_t new_tokens_max = 1'000'000;  // of one generated sample
inline constexpr int generation_rows_max = 8;     // sequences of a group that are decoded together
inline constexpr int generation_round_fills = 8;  // prompts of a round for each place of a sequence
// Keys and values of all sequences under way on one stream.
inline constexpr std::int64_t generation_cache_bytes_max = std::int64_t{4} << 30;

// Models.
inline constexpr std::int64_t layers_max = 4096;
inline constexpr std::int64_t hidden_size_max = 1 << 20;
inline constexpr std::int64_t sequence_length_max = 1 << 24;

// Optimizers.
inline constexpr std::size_t parameter_groups_max = 256;
inline constexpr std::size_t group_pattern_bytes_max = 256;
inline constexpr std::int64_t newton_schulz_steps_max = 100;

// The grid.
inline constexpr int grid_axis_max = 1024;
inline constexpr int micro_batches_max = 1 << 16;
inline constexpr std::int64_t micro_batch_tokens_max = std::int64_t{1} << 28;
inline constexpr int threads_per_stream_max = 256;
inline constexpr int link_credit_default = 2;
inline constexpr std::size_t inbox_messages_max = std::size_t{1} << 20;
inline constexpr int stream_depth_max = 4;    // actions a shard may enqueue ahead of completion
inline constexpr int zero_prefetch_max = 64;  // segments whose values are fetched ahead

// Schedules and their files.
inline constexpr int traced_steps_max = 1000;
inline constexpr std::size_t schedule_bytes_max = std::size_t{256} << 20;
inline constexpr int schedule_ranks_max = 1 << 14;
inline constexpr int schedule_stages_max = 1 << 16;
inline constexpr int schedule_slices_max = 1024;
inline constexpr int schedule_credit_max = 1 << 20;
inline constexpr std::size_t schedule_actions_max = 20'000'000;  // after repeats, over all ranks
inline constexpr std::size_t schedule_units_max = 20'000'000;    // stages x micro-batches x slices
inline constexpr int schedule_repeats_deep_max = 16;
inline constexpr std::size_t schedule_name_bytes_max = 200;
inline constexpr std::size_t expression_bytes_max = 200;
inline constexpr int expression_depth_max = 32;

// Pictures of schedules.
inline constexpr std::size_t view_actions_max = 400'000;  // of one page or drawing
inline constexpr int view_ranks_max = 1024;

// Waits.
inline constexpr int progress_deadline_s = 600;  // no shard completes any work for this long

static_assert(safetensors_header_bytes_max <= json_bytes_max);

}  // namespace collie::limits
