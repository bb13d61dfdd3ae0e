#include "models/tokenizer/vocabulary.hpp"

#include <algorithm>
#include <bit>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "models/tokenizer/json_node.hpp"
#include "runtime/limits.hpp"

namespace collie::tok {

Result<Vocabulary> Vocabulary::build(const std::vector<Entry>& entries, std::string_view where) {
  const auto bad = [&](const Entry& entry, std::string_view what) {
    return make_error(ErrorCode::invalid_file, "{}: token {} {}", where, excerpt(entry.token),
                      what);
  };
  Vocabulary vocabulary;
  std::size_t bytes = 0;
  std::size_t id_end = 0;
  for (const Entry& entry : entries) {
    if (entry.id < 0 || static_cast<std::size_t>(entry.id) >= limits::vocabulary_max) {
      return bad(entry,
                 fmt::format("has id {}, outside 0 to {}", entry.id, limits::vocabulary_max - 1));
    }
    if (entry.token.size() > limits::token_bytes_max) {
      return bad(entry, fmt::format("is longer than {} bytes", limits::token_bytes_max));
    }
    bytes += entry.token.size();
    id_end = std::max(id_end, static_cast<std::size_t>(entry.id) + 1);
  }
  vocabulary.text_.reserve(bytes);
  vocabulary.places_.resize(id_end);
  vocabulary.slots_.assign(std::bit_ceil(entries.size() * 2 + 1), -1);
  for (const Entry& entry : entries) {
    Place& place = vocabulary.places_[static_cast<std::size_t>(entry.id)];
    if (place.used) return bad(entry, fmt::format("has id {}, which is taken", entry.id));
    const std::size_t slot = vocabulary.slot_of(entry.token);
    if (vocabulary.slots_[slot] >= 0) return bad(entry, "occurs twice");
    place = {vocabulary.text_.size(), static_cast<std::uint32_t>(entry.token.size()), true};
    vocabulary.text_.append(entry.token);
    vocabulary.slots_[slot] = entry.id;
  }
  vocabulary.size_ = entries.size();
  return vocabulary;
}

std::size_t Vocabulary::slot_of(std::string_view token) const {
  const std::size_t mask = slots_.size() - 1;
  std::size_t slot = XXH3_64bits(token.data(), token.size()) & mask;
  while (slots_[slot] >= 0 && *this->token(slots_[slot]) != token) slot = (slot + 1) & mask;
  return slot;
}

std::optional<std::int32_t> Vocabulary::find(std::string_view token) const {
  if (slots_.empty()) return std::nullopt;
  const std::int32_t id = slots_[slot_of(token)];
  return id < 0 ? std::nullopt : std::optional(id);
}

std::optional<std::string_view> Vocabulary::token(std::int32_t id) const {
  if (id < 0 || id >= id_end()) return std::nullopt;
  const Place& place = places_[static_cast<std::size_t>(id)];
  if (!place.used) return std::nullopt;
  return std::string_view(text_).substr(place.offset, place.bytes);
}

}  // namespace collie::tok
