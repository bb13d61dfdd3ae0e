#include "runtime/safetensors.hpp"

#include <cstring>
#include <new>
#include <unordered_map>

#include "runtime/limits.hpp"
#include "runtime/safetensors_header.hpp"
#include "runtime/suggest.hpp"

namespace collie {

namespace {

std::shared_ptr<std::byte> aligned_copy(std::span<const std::byte> bytes) {
  constexpr std::align_val_t alignment{limits::buffer_alignment_bytes};
  std::shared_ptr<std::byte> copy(
      static_cast<std::byte*>(::operator new(bytes.size(), alignment)),
      [](std::byte* memory) { ::operator delete (memory, std::align_val_t{alignment}); });
  std::memcpy(copy.get(), bytes.data(), bytes.size());
  return copy;
}

}  // namespace

struct SafetensorsFile::State {
  std::string path;
  std::span<const std::byte> bytes;
  std::shared_ptr<const MappedFile> mapped;  // unset where the bytes are somebody else's
  std::shared_ptr<const void> keeper;
  std::vector<TensorEntry> entries;
  std::unordered_map<std::string_view, std::size_t> by_name;
  SafetensorsMetadata metadata;
  std::size_t data_bytes = 0;
};

Result<SafetensorsFile> SafetensorsFile::open(const std::string& path) {
  COLLIE_TRY(std::shared_ptr<const MappedFile> file, MappedFile::open(path));
  return open(std::move(file));
}

Result<SafetensorsFile> SafetensorsFile::open(std::shared_ptr<const MappedFile> file) {
  auto state = std::make_shared<State>();
  state->path = file->path();
  state->bytes = file->bytes();
  state->mapped = std::move(file);
  return parse(std::move(state));
}

Result<SafetensorsFile> SafetensorsFile::from_bytes(std::span<const std::byte> bytes,
                                                    std::string name,
                                                    std::shared_ptr<const void> keeper) {
  auto state = std::make_shared<State>();
  state->path = std::move(name);
  state->bytes = bytes;
  state->keeper = std::move(keeper);
  return parse(std::move(state));
}

Result<SafetensorsFile> SafetensorsFile::parse(std::shared_ptr<State> state) {
  COLLIE_TRY(SafetensorsHeader header, parse_safetensors_header(state->bytes, state->path));
  state->entries = std::move(header.entries);
  state->metadata = std::move(header.metadata);
  state->data_bytes = header.data_bytes;
  for (std::size_t i = 0; i < state->entries.size(); ++i) {
    state->by_name.emplace(state->entries[i].name, i);
  }
  return SafetensorsFile(std::move(state));
}

const std::string& SafetensorsFile::path() const {
  return state_->path;
}
std::span<const TensorEntry> SafetensorsFile::entries() const {
  return state_->entries;
}
const SafetensorsMetadata& SafetensorsFile::metadata() const {
  return state_->metadata;
}
std::size_t SafetensorsFile::data_bytes() const {
  return state_->data_bytes;
}

const TensorEntry* SafetensorsFile::find(std::string_view name) const {
  const auto found = state_->by_name.find(name);
  return found == state_->by_name.end() ? nullptr : &state_->entries[found->second];
}

std::span<const std::byte> SafetensorsFile::bytes(const TensorEntry& entry) const {
  return state_->bytes.subspan(entry.offset_bytes, entry.size_bytes);
}

Result<Tensor> SafetensorsFile::tensor(const TensorEntry& entry) const {
  if (entry.shape.size() > static_cast<std::size_t>(limits::tensor_rank_max)) {
    return make_error(ErrorCode::unsupported, "{}: tensor {}: {} dimensions are more than {}",
                      state_->path, quoted_name(entry.name), entry.shape.size(),
                      limits::tensor_rank_max);
  }
  const Shape shape{std::span<const std::int64_t>(entry.shape)};
  const std::span<const std::byte> data = bytes(entry);
  if (reinterpret_cast<std::uintptr_t>(data.data()) % size_of(entry.dtype) == 0) {
    return Tensor(Allocator::borrow(data.data(), data.size(), state_), entry.dtype, shape);
  }
  const std::shared_ptr<std::byte> copy = aligned_copy(data);
  return Tensor(Allocator::borrow(copy.get(), data.size(), copy), entry.dtype, shape);
}

Result<Tensor> SafetensorsFile::tensor(std::string_view name) const {
  const TensorEntry* entry = find(name);
  if (entry != nullptr) return tensor(*entry);
  return make_error(ErrorCode::not_found, "{}: tensor {} is missing", path(), quoted_name(name));
}

void SafetensorsFile::drop_pages(const TensorEntry& entry) const {
  if (state_->mapped) state_->mapped->drop_pages(entry.offset_bytes, entry.size_bytes);
}

}  // namespace collie
