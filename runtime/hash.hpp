// One 64-bit hash (XXH3) for files, parameters and chunks on the wire. It finds accidents, not
// attackers.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace collie {

std::uint64_t hash_bytes(std::span<const std::byte> bytes);

// The same over pieces: how they were cut does not matter.
class Hash64 {
 public:
  Hash64();
  Hash64(Hash64&&) noexcept;
  Hash64& operator=(Hash64&&) noexcept;
  ~Hash64();

  void update(std::span<const std::byte> bytes);
  void update(std::string_view text) { update(std::as_bytes(std::span(text.data(), text.size()))); }
  std::uint64_t value() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// Order matters.
std::uint64_t combine_hashes(std::span<const std::uint64_t> hashes);

// 16 lower-case hexadecimal digits, and back.
std::string hash_text(std::uint64_t hash);
std::optional<std::uint64_t> hash_from_text(std::string_view text);

}  // namespace collie
