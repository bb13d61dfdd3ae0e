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

// Datasets.
inline constexpr std::size_t record_bytes_max = std::size_t{64} << 20;
inline constexpr std::size_t text_document_bytes_max = std::size_t{1} << 30;
inline constexpr std::size_t dataset_tokens_max = std::size_t{1} << 31;

// Models.
inline constexpr std::int64_t layers_max = 4096;
inline constexpr std::int64_t hidden_size_max = 1 << 20;
inline constexpr std::int64_t sequence_length_max = 1 << 24;

// The grid.
inline constexpr int grid_axis_max = 1024;
inline constexpr int micro_batches_max = 1 << 16;
inline constexpr std::int64_t micro_batch_tokens_max = std::int64_t{1} << 28;
inline constexpr int threads_per_stream_max = 256;
inline constexpr int link_credit_default = 2;
inline constexpr std::size_t inbox_messages_max = std::size_t{1} << 20;
inline constexpr int stream_depth_max = 4;  // actions a shard may enqueue ahead of completion

// Waits.
inline constexpr int progress_deadline_s = 600;  // no shard completes any work for this long

static_assert(safetensors_header_bytes_max <= json_bytes_max);

}  // namespace collie::limits
