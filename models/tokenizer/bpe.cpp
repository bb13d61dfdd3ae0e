#include "models/tokenizer/bpe.hpp"

#include <algorithm>
#include <tuple>

#include "models/tokenizer/byte_alphabet.hpp"
#include "models/tokenizer/utf8.hpp"

namespace collie::tok {
namespace {

constexpr std::string_view marker = "\xE2\x96\x81";  // U+2581, SentencePiece's space
constexpr std::size_t short_symbols_max = 40;        // below, a scan beats a heap

}  // namespace

// Where no token has the marker inside, merges never cross the place before a marker, so a whole
// text falls into words that the cache knows.
void BpeModel::encode(std::string_view piece, BpeScratch& scratch,
                      std::vector<std::int32_t>& out) const {
  if (!cut_at_marker_ || (ignore_merges_ && vocabulary_.find(piece))) {
    encode_word(piece, scratch, out);
    return;
  }
  while (!piece.empty()) {
    std::size_t begin = 0;
    while (piece.substr(begin).starts_with(marker)) begin += marker.size();
    const std::size_t end = std::min(piece.find(marker, begin), piece.size());
    encode_word(piece.substr(0, end), scratch, out);
    piece.remove_prefix(end);
  }
}

void BpeModel::encode_word(std::string_view word, BpeScratch& scratch,
                           std::vector<std::int32_t>& out) const {
  if (!WordCache::fits(word)) {
    encode_new_word(word, scratch, out);
    return;
  }
  const std::uint64_t hash = WordCache::hash(word);
  const std::span<const std::int32_t> known = scratch.words.find(hash, word);
  if (!known.empty()) {
    out.insert(out.end(), known.begin(), known.end());
    return;
  }
  const std::size_t size_before = out.size();
  encode_new_word(word, scratch, out);
  scratch.words.insert(hash, word, std::span(out).subspan(size_before));
}

void BpeModel::encode_new_word(std::string_view word, BpeScratch& scratch,
                               std::vector<std::int32_t>& out) const {
  std::string characters;
  const auto as_characters = [&]() -> std::string_view {
    if (!byte_level_) return word;
    if (characters.empty()) append_as_alphabet(characters, word);
    return characters;
  };
  if (ignore_merges_) {
    if (const auto id = vocabulary_.find(as_characters())) {
      out.push_back(*id);
      return;
    }
  }
  scratch.ids.clear();
  if (!byte_level_ || !symbols_of_bytes(word, scratch.ids)) {
    scratch.ids.clear();
    symbols_of_characters(as_characters(), scratch.ids);
  }
  if (scratch.ids.size() <= short_symbols_max) {
    merge_short(scratch);
  } else {
    merge_long(scratch);
  }
  out.insert(out.end(), scratch.ids.begin(), scratch.ids.end());
}

bool BpeModel::symbols_of_bytes(std::string_view word, std::vector<std::int32_t>& ids) const {
  for (const char byte : word) {
    const std::int32_t id = byte_ids_[static_cast<std::uint8_t>(byte)];
    if (id < 0) return false;
    ids.push_back(id);
  }
  return true;
}

// tokenizers, BPE::merge_word: a character that is no token becomes its bytes' tokens if all of
// them exist, else the unknown token (one for a whole run when fuse_unk), else nothing.
void BpeModel::symbols_of_characters(std::string_view word, std::vector<std::int32_t>& ids) const {
  bool unknown_pending = false;
  const auto flush = [&] {
    if (unknown_pending) ids.push_back(*unknown_id_);
    unknown_pending = false;
  };
  for (std::size_t position = 0; position < word.size();) {
    const std::size_t bytes = code_point_at(word, position).bytes;
    const std::string_view character = word.substr(position, bytes);
    position += bytes;
    if (const auto id = vocabulary_.find(character)) {
      flush();
      ids.push_back(*id);
    } else if (!(byte_fallback_ && fall_back_to_bytes(character, ids)) && unknown_id_) {
      if (!fuse_unknown_) flush();
      unknown_pending = true;
    }
  }
  flush();
}

bool BpeModel::fall_back_to_bytes(std::string_view character,
                                  std::vector<std::int32_t>& ids) const {
  const auto id_of = [&](char byte) { return fallback_ids_[static_cast<std::uint8_t>(byte)]; };
  if (std::any_of(character.begin(), character.end(), [&](char c) { return id_of(c) < 0; })) {
    return false;
  }
  for (const char byte : character) ids.push_back(id_of(byte));
  return true;
}

void BpeModel::merge_short(BpeScratch& scratch) const {
  std::vector<std::int32_t>& ids = scratch.ids;
  if (ids.size() < 2) return;
  std::array<Merge, short_symbols_max> pairs;  // pairs[i] is of symbols i and i + 1
  std::size_t count = ids.size();
  for (std::size_t i = 0; i + 1 < count; ++i) pairs[i] = merges_.find(ids[i], ids[i + 1]);
  while (true) {
    std::size_t best = count;
    // -1, no merge, is the greatest as an unsigned number.
    std::uint32_t best_rank = ~std::uint32_t{0};
    for (std::size_t i = 0; i + 1 < count; ++i) {
      const auto rank = static_cast<std::uint32_t>(pairs[i].rank);
      if (rank < best_rank) {
        best_rank = rank;
        best = i;
      }
    }
    if (best == count) break;
    ids[best] = pairs[best].id;
    std::copy(ids.begin() + best + 2, ids.begin() + count, ids.begin() + best + 1);
    if (best + 2 < count) {
      std::copy(pairs.begin() + best + 2, pairs.begin() + count - 1, pairs.begin() + best + 1);
    }
    --count;
    if (best > 0) pairs[best - 1] = merges_.find(ids[best - 1], ids[best]);
    if (best + 1 < count) pairs[best] = merges_.find(ids[best], ids[best + 1]);
  }
  ids.resize(count);
}

void BpeModel::merge_long(BpeScratch& scratch) const {
  auto& symbols = scratch.symbols;
  auto& heap = scratch.heap;
  const auto count = static_cast<std::int32_t>(scratch.ids.size());
  symbols.clear();
  heap.clear();
  for (std::int32_t i = 0; i < count; ++i) {
    symbols.push_back(
        {scratch.ids[static_cast<std::size_t>(i)], i - 1, i + 1 < count ? i + 1 : -1});
  }
  const auto after = [](const BpeScratch::Candidate& a, const BpeScratch::Candidate& b) {
    return std::tie(a.rank, a.position) > std::tie(b.rank, b.position);
  };
  const auto at = [&](std::int32_t position) -> BpeScratch::Symbol& {
    return symbols[static_cast<std::size_t>(position)];
  };
  const auto push = [&](std::int32_t position) {
    if (position < 0 || at(position).next < 0) return;
    const Merge merge = merges_.find(at(position).id, at(at(position).next).id);
    if (merge.rank < 0) return;
    heap.push_back({merge.rank, position, merge.id});
    std::push_heap(heap.begin(), heap.end(), after);
  };
  for (std::int32_t i = 0; i < count; ++i) push(i);
  while (!heap.empty()) {
    std::pop_heap(heap.begin(), heap.end(), after);
    const BpeScratch::Candidate top = heap.back();
    heap.pop_back();
    BpeScratch::Symbol& left = at(top.position);
    if (left.id < 0 || left.next < 0) continue;
    BpeScratch::Symbol& right = at(left.next);
    // The pair at this place may have changed since it was pushed.
    if (merges_.find(left.id, right.id).id != top.id) continue;
    left.id = top.id;
    right.id = -1;
    left.next = right.next;
    if (left.next >= 0) at(left.next).previous = top.position;
    push(left.previous);
    push(top.position);
  }
  scratch.ids.clear();
  for (std::int32_t i = 0; i >= 0; i = at(i).next) scratch.ids.push_back(at(i).id);
}

}  // namespace collie::tok
