// Token strings and their ids, both ways.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/result.hpp"

namespace collie::tok {

class Vocabulary {
 public:
  struct Entry {
    std::string_view token;
    std::int32_t id;
  };

  // Ids may have holes but no duplicates; they lie in [0, limits::vocabulary_max). Tokens are at
  // most limits::token_bytes_max bytes. `where` begins the error messages.
  static Result<Vocabulary> build(const std::vector<Entry>& entries, std::string_view where);

  std::optional<std::int32_t> find(std::string_view token) const;
  std::optional<std::string_view> token(std::int32_t id) const;

  std::int32_t id_end() const { return static_cast<std::int32_t>(places_.size()); }
  std::size_t size() const { return size_; }

 private:
  struct Place {
    std::uint64_t offset = 0;
    std::uint32_t bytes = 0;
    bool used = false;
  };

  std::size_t slot_of(std::string_view token) const;

  std::string text_;                 // all tokens, one after the other
  std::vector<Place> places_;        // by id
  std::vector<std::int32_t> slots_;  // open addressing, a power of two, -1 is free
  std::size_t size_ = 0;
};

}  // namespace collie::tok
