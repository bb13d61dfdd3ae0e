#include <algorithm>
#include <array>
#include <optional>
#include <unordered_map>

#include "runtime/json.hpp"
#include "runtime/safetensors.hpp"

namespace collie {

namespace {

constexpr std::size_t header_alignment_bytes = 8;

// Hugging Face's library puts the widest types first, in this order, so that every tensor is
// aligned; then by name.
constexpr std::array<DType, 10> layout_order = {DType::i64,  DType::f64,    DType::f32, DType::i32,
                                                DType::bf16, DType::f16,    DType::i16, DType::i8,
                                                DType::u8,   DType::boolean};

struct Slot {
  TensorSpec spec;
  std::size_t shard = 0;
  std::uint64_t size_bytes = 0;
  std::uint64_t begin_bytes = 0;  // in the shard's data
  std::uint64_t written_bytes = 0;
};

struct Shard {
  std::string name;
  std::vector<Slot*> slots;
  std::optional<OutputFile> file;  // from the first byte to the last
  std::uint64_t data_begin = 0;
  std::uint64_t missing_bytes = 0;
  bool closed = false;
};

std::uint64_t bytes_of_spec(const TensorSpec& spec) {
  std::uint64_t bytes = size_of(spec.dtype);
  for (const std::int64_t dim : spec.shape) {
    COLLIE_CHECK(
        dim >= 0 && !__builtin_mul_overflow(bytes, static_cast<std::uint64_t>(dim), &bytes),
        "tensor {} has no valid shape", spec.name);
  }
  return bytes;
}

std::size_t layout_rank(DType dtype) {
  return static_cast<std::size_t>(std::find(layout_order.begin(), layout_order.end(), dtype) -
                                  layout_order.begin());
}

// As huggingface_hub's split_torch_state_dict_into_shards: in the given order, a shard is full when
// the next tensor would take it over the limit, and a tensor over the limit is a shard of its own.
std::vector<Shard> split_into_shards(std::vector<Slot>& slots, std::uint64_t shard_bytes_max) {
  std::vector<Shard> shards;
  Shard current;
  for (Slot& slot : slots) {
    if (shard_bytes_max > 0 && slot.size_bytes > shard_bytes_max) {
      Shard& own = shards.emplace_back();
      own.slots.push_back(&slot);
      own.missing_bytes = slot.size_bytes;
      continue;
    }
    if (shard_bytes_max > 0 && current.missing_bytes + slot.size_bytes > shard_bytes_max) {
      shards.push_back(std::exchange(current, {}));
    }
    current.slots.push_back(&slot);
    current.missing_bytes += slot.size_bytes;
  }
  if (!current.slots.empty() || shards.empty()) shards.push_back(std::move(current));
  return shards;
}

void lay_out(std::vector<Shard>& shards, std::string_view stem) {
  for (std::size_t i = 0; i < shards.size(); ++i) {
    Shard& shard = shards[i];
    shard.name = shards.size() == 1
                     ? fmt::format("{}.safetensors", stem)
                     : fmt::format("{}-{:05}-of-{:05}.safetensors", stem, i + 1, shards.size());
    std::sort(shard.slots.begin(), shard.slots.end(), [](const Slot* a, const Slot* b) {
      const std::size_t rank_a = layout_rank(a->spec.dtype);
      const std::size_t rank_b = layout_rank(b->spec.dtype);
      return rank_a != rank_b ? rank_a < rank_b : a->spec.name < b->spec.name;
    });
    std::uint64_t begin = 0;
    for (Slot* slot : shard.slots) {
      slot->shard = i;
      slot->begin_bytes = begin;
      begin += slot->size_bytes;
    }
  }
}

std::string header_of(const Shard& shard, const SafetensorsMetadata& metadata) {
  Json header = Json::object();
  auto& members = header.get_ref<Json::object_t&>();
  if (!metadata.empty()) {
    Json& texts = members.emplace_back("__metadata__", Json::object()).second;
    for (const auto& [key, text] : metadata) texts[key] = text;
  }
  for (const Slot* slot : shard.slots) {
    Json& entry = members.emplace_back(slot->spec.name, Json::object()).second;
    entry["dtype"] = to_string(slot->spec.dtype);
    entry["shape"] = slot->spec.shape;
    entry["data_offsets"] = {slot->begin_bytes, slot->begin_bytes + slot->size_bytes};
  }
  std::string text = dump_json(header, 0);
  const std::size_t excess = text.size() % header_alignment_bytes;
  if (excess > 0) text.append(header_alignment_bytes - excess, ' ');
  std::string length(8, '\0');
  for (std::size_t i = 0; i < 8; ++i) length[i] = static_cast<char>(text.size() >> (8 * i) & 0xff);
  return length + text;
}

}  // namespace

struct SafetensorsWriter::State {
  const DirectoryWriter* directory = nullptr;
  SafetensorsWriterOptions options;
  std::vector<Slot> slots;
  std::vector<Shard> shards;
  std::unordered_map<std::string_view, Slot*> by_name;

  std::string index_name() const { return options.stem + ".safetensors.index.json"; }
  Status begin(Shard& shard) const;
  Status finish(Shard& shard) const;
  Status write_index() const;
};

Status SafetensorsWriter::State::begin(Shard& shard) const {
  const std::string header = header_of(shard, options.metadata);
  COLLIE_TRY(shard.file, directory->create_file(shard.name));
  shard.data_begin = header.size();
  return shard.file->append(header);
}

Status SafetensorsWriter::State::finish(Shard& shard) const {
  if (!shard.file) COLLIE_TRY_VOID(begin(shard));  // nothing but a header
  shard.closed = true;
  COLLIE_TRY_VOID(shard.file->close());
  shard.file.reset();
  return ok_status();
}

Status SafetensorsWriter::State::write_index() const {
  std::map<std::string_view, std::string_view> sorted;
  std::uint64_t total_bytes = 0;
  for (const Slot& slot : slots) {
    sorted.emplace(slot.spec.name, shards[slot.shard].name);
    total_bytes += slot.size_bytes;
  }
  Json index;
  index["metadata"]["total_size"] = total_bytes;
  auto& weight_map = (index["weight_map"] = Json::object()).get_ref<Json::object_t&>();
  for (const auto& [name, file] : sorted) weight_map.emplace_back(std::string(name), file);
  return directory->write_file(index_name(), dump_json(index) + "\n");
}

SafetensorsWriter::SafetensorsWriter(std::unique_ptr<State> state) : state_(std::move(state)) {}
SafetensorsWriter::SafetensorsWriter(SafetensorsWriter&&) noexcept = default;
SafetensorsWriter& SafetensorsWriter::operator=(SafetensorsWriter&&) noexcept = default;
SafetensorsWriter::~SafetensorsWriter() = default;

Result<SafetensorsWriter> SafetensorsWriter::create(const DirectoryWriter& directory,
                                                    std::vector<TensorSpec> tensors,
                                                    SafetensorsWriterOptions options) {
  COLLIE_TRY_VOID(safe_component(options.stem));
  auto state = std::make_unique<State>();
  state->directory = &directory;
  state->options = std::move(options);
  state->slots.reserve(tensors.size());
  for (TensorSpec& spec : tensors) {
    const std::uint64_t size_bytes = bytes_of_spec(spec);
    Slot& slot = state->slots.emplace_back();
    slot.spec = std::move(spec);
    slot.size_bytes = size_bytes;
    const bool added = state->by_name.emplace(slot.spec.name, &slot).second;
    COLLIE_CHECK(added && slot.spec.name != "__metadata__", "two tensors {}", slot.spec.name);
  }
  state->shards = split_into_shards(state->slots, state->options.shard_bytes_max);
  lay_out(state->shards, state->options.stem);
  return SafetensorsWriter(std::move(state));
}

Status SafetensorsWriter::append(std::string_view name, std::span<const std::byte> piece) {
  const auto found = state_->by_name.find(name);
  COLLIE_CHECK(found != state_->by_name.end(), "tensor {} was not declared", name);
  Slot& slot = *found->second;
  COLLIE_CHECK(piece.size() <= slot.size_bytes - slot.written_bytes,
               "{} bytes more for tensor {}, {} of {} were written", piece.size(), name,
               slot.written_bytes, slot.size_bytes);
  if (piece.empty()) return ok_status();
  Shard& shard = state_->shards[slot.shard];
  if (!shard.file) COLLIE_TRY_VOID(state_->begin(shard));
  COLLIE_TRY_VOID(
      shard.file->write_at(shard.data_begin + slot.begin_bytes + slot.written_bytes, piece));
  slot.written_bytes += piece.size();
  shard.missing_bytes -= piece.size();
  if (shard.missing_bytes == 0) return state_->finish(shard);
  return ok_status();
}

Status SafetensorsWriter::append(std::string_view name, const Tensor& piece) {
  const auto found = state_->by_name.find(name);
  COLLIE_CHECK(found != state_->by_name.end() && found->second->spec.dtype == piece.dtype(),
               "tensor {} was not declared as {}", name, to_string(piece.dtype()));
  return append(name, std::span(piece.raw(), piece.size_bytes()));
}

Status SafetensorsWriter::close() {
  for (Shard& shard : state_->shards) {
    if (shard.closed) continue;
    COLLIE_CHECK(shard.missing_bytes == 0, "{} lacks {} bytes", shard.name, shard.missing_bytes);
    COLLIE_TRY_VOID(state_->finish(shard));
  }
  if (state_->shards.size() > 1) return state_->write_index();
  return ok_status();
}

std::vector<std::string> SafetensorsWriter::file_names() const {
  std::vector<std::string> names;
  for (const Shard& shard : state_->shards) names.push_back(shard.name);
  if (names.size() > 1) names.push_back(state_->index_name());
  return names;
}

}  // namespace collie
