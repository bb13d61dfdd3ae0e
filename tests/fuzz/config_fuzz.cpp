// libFuzzer target: the bytes up to the first NUL are a configuration, what follows are overrides
// with a NUL between them. What loads must print and load as the same again.
#include <cstddef>
#include <cstdint>

#include "runtime/config.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string_view input(reinterpret_cast<const char*>(data), size);
  std::string_view text = input.substr(0, input.find('\0'));
  std::vector<std::string> overrides;
  while (text.size() < input.size()) {
    input.remove_prefix(text.size() + 1);
    text = input.substr(0, input.find('\0'));
    overrides.emplace_back(text);
  }
  input = {reinterpret_cast<const char*>(data), size};
  const auto config = collie::parse_config(input.substr(0, input.find('\0')), "fuzz", overrides);
  if (!config.ok()) {
    COLLIE_CHECK(config.error().message.find('\n') == std::string::npos, "a message of two lines");
    return 0;
  }
  const std::string printed = collie::dump_json(collie::to_json(*config));
  const auto again = collie::parse_config(printed, "printed");
  COLLIE_CHECK(again.ok(), "the printed configuration does not load");
  COLLIE_CHECK(collie::dump_json(collie::to_json(*again)) == printed, "printing is not stable");
  return 0;
}
