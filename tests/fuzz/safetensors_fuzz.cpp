// Whatever the bytes: an error of one line, or a file whose every tensor can be read to its end.
#include <cstdint>
#include <cstdlib>

#include "runtime/safetensors.hpp"

using namespace collie;

namespace {

void require(bool condition) {
  if (!condition) std::abort();
}

std::uint64_t sum_of(std::span<const std::byte> bytes) {
  std::uint64_t sum = 0;
  for (const std::byte byte : bytes) sum += static_cast<std::uint64_t>(byte);
  return sum;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::span<const std::byte> bytes(reinterpret_cast<const std::byte*>(data), size);
  const auto file = SafetensorsFile::from_bytes(bytes, "fuzz");
  if (!file.ok()) {
    require(file.error().message.find('\n') == std::string::npos);
    return 0;
  }
  std::size_t end = size - file->data_bytes();
  for (const TensorEntry& entry : file->entries()) {
    require(entry.offset_bytes == end);
    end += entry.size_bytes;
    require(file->find(entry.name) == &entry);
    const auto tensor = file->tensor(entry);
    require(tensor.ok() || entry.shape.size() > 4);
    if (!tensor.ok()) continue;
    require(tensor->size_bytes() == entry.size_bytes);
    require(sum_of({tensor->raw(), tensor->size_bytes()}) == sum_of(file->bytes(entry)));
  }
  require(end == size);
  return 0;
}
