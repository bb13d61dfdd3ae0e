// TensorBoard's event files, byte by byte: records as TensorFlow frames them (TFRecord), each an
// Event message of tensorflow/core/util/event.proto in protobuf's wire format. Pure functions from
// values to bytes; protobuf itself is not needed for so little.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace collie::tensorboard {

struct Scalar {
  std::string tag;     // "train/loss"
  double value = 0.0;  // stored as float32, as PyTorch's SummaryWriter does
};

// CRC-32C (Castagnoli, RFC 3720 appendix B.4).
std::uint32_t crc32c(std::string_view bytes);

// length (8 bytes, little endian), its masked CRC, the data, its masked CRC.
std::string framed_record(std::string_view data);

// ---- Event messages, not yet framed

// The first event of every file.
std::string version_event(double time_s);
// Readers drop the points of step and later ones that stand in older files of the directory.
std::string session_start_event(double time_s, std::int64_t step);
std::string scalars_event(double time_s, std::int64_t step, std::span<const Scalar> scalars);
// For the text tab, where it is shown as Markdown.
std::string text_event(double time_s, std::int64_t step, std::string_view tag,
                       std::string_view text);

}  // namespace collie::tensorboard
