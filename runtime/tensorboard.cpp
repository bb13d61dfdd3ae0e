#include "runtime/tensorboard.hpp"

#include <array>
#include <bit>

namespace collie::tensorboard {

namespace {

constexpr std::array<std::uint32_t, 256> make_crc_table() {
  constexpr std::uint32_t polynomial = 0x82F63B78;  // bits reversed
  std::array<std::uint32_t, 256> table{};
  for (std::uint32_t byte = 0; byte < 256; ++byte) {
    std::uint32_t remainder = byte;
    for (int bit = 0; bit < 8; ++bit) {
      remainder = (remainder >> 1) ^ ((remainder & 1) != 0 ? polynomial : 0);
    }
    table[byte] = remainder;
  }
  return table;
}

// So that the CRC of data that holds CRCs is no special case.
std::uint32_t masked_crc32c(std::string_view bytes) {
  return std::rotr(crc32c(bytes), 15) + 0xA282EAD8U;
}

template <class T>
void append_little_endian(std::string& out, T value) {
  for (std::size_t i = 0; i < sizeof(T); ++i) out += static_cast<char>((value >> (8 * i)) & 0xFF);
}

// Protobuf's wire format: a key (field number and type), then the value.
class Message {
 public:
  Message& integer(int field, std::uint64_t value) {
    key(field, 0);
    varint(value);
    return *this;
  }
  Message& fixed64(int field, double value) {
    key(field, 1);
    append_little_endian(bytes_, std::bit_cast<std::uint64_t>(value));
    return *this;
  }
  Message& fixed32(int field, float value) {
    key(field, 5);
    append_little_endian(bytes_, std::bit_cast<std::uint32_t>(value));
    return *this;
  }
  Message& bytes(int field, std::string_view value) {
    key(field, 2);
    varint(value.size());
    bytes_ += value;
    return *this;
  }
  Message& message(int field, const Message& value) { return bytes(field, value.bytes_); }
  std::string take() { return std::move(bytes_); }

 private:
  void key(int field, int wire_type) {
    varint(static_cast<std::uint64_t>(field) << 3 | static_cast<std::uint64_t>(wire_type));
  }
  void varint(std::uint64_t value) {
    for (; value >= 0x80; value >>= 7) bytes_ += static_cast<char>((value & 0x7F) | 0x80);
    bytes_ += static_cast<char>(value);
  }
  std::string bytes_;
};

// Field numbers of the .proto files.
enum EventField { wall_time = 1, step_number = 2, file_version = 3, summary = 5, session_log = 7 };
enum SummaryField { values = 1 };
enum ValueField { tag_name = 1, simple_value = 2, tensor = 8, metadata = 9 };
enum TensorField { data_type = 1, shape = 2, string_values = 8 };

// Proto3 leaves zeros out.
Message event_at(double time_s, std::int64_t step) {
  Message event;
  if (time_s != 0.0) event.fixed64(wall_time, time_s);
  if (step != 0) event.integer(step_number, static_cast<std::uint64_t>(step));
  return event;
}

}  // namespace

std::uint32_t crc32c(std::string_view bytes) {
  static constexpr std::array<std::uint32_t, 256> table = make_crc_table();
  std::uint32_t crc = 0xFFFFFFFFU;
  for (const char byte : bytes) {
    crc = (crc >> 8) ^ table[(crc ^ static_cast<unsigned char>(byte)) & 0xFF];
  }
  return ~crc;
}

std::string framed_record(std::string_view data) {
  std::string record;
  append_little_endian(record, static_cast<std::uint64_t>(data.size()));
  append_little_endian(record, masked_crc32c(record));
  record += data;
  append_little_endian(record, masked_crc32c(data));
  return record;
}

std::string version_event(double time_s) {
  return event_at(time_s, 0).bytes(file_version, "brain.Event:2").take();
}

std::string session_start_event(double time_s, std::int64_t step) {
  constexpr std::uint64_t start = 1;
  return event_at(time_s, step).message(session_log, Message().integer(1, start)).take();
}

std::string scalars_event(double time_s, std::int64_t step, std::span<const Scalar> scalars) {
  Message all;
  for (const Scalar& scalar : scalars) {
    Message value;
    value.bytes(tag_name, scalar.tag).fixed32(simple_value, static_cast<float>(scalar.value));
    all.message(values, value);
  }
  return event_at(time_s, step).message(summary, all).take();
}

std::string text_event(double time_s, std::int64_t step, std::string_view tag,
                       std::string_view text) {
  constexpr std::uint64_t string_type = 7;
  Message one_element;  // a shape of one dimension of size 1
  one_element.message(2, Message().integer(1, 1));
  Message strings;
  strings.integer(data_type, string_type).message(shape, one_element).bytes(string_values, text);
  Message plugin;
  plugin.message(1, Message().bytes(1, "text"));
  Message value;
  value.bytes(tag_name, tag).message(tensor, strings).message(metadata, plugin);
  return event_at(time_s, step).message(summary, Message().message(values, value)).take();
}

}  // namespace collie::tensorboard
