// Whatever the text: an error of one line, or a document that is the same after writing and
// reading.
#include <cstdint>
#include <cstdlib>

#include "runtime/json.hpp"

using namespace collie;

namespace {

void require(bool condition) {
  if (!condition) std::abort();
}

void read_all_ways(const Json& json) {
  const auto reader = JsonReader::open(json, "fuzz");
  if (!reader.ok()) return;
  for (const auto& [key, value] : json.items()) {
    const bool integer = reader->get_int(key, INT64_MIN, INT64_MAX).ok();
    const bool number = reader->get_number(key, -1e308, 1e308).ok();
    require(!integer || number);
    const bool text = reader->get_string(key).ok();
    require(text == value.is_string());
    static_cast<void>(reader->get_ints(key, 0, 9).ok());
    static_cast<void>(reader->get_strings(key).ok());
    require(describe_json(value).size() < 100);
  }
  require(reader->refuse_unknown_keys().ok());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto json = parse_json(text, "fuzz", 1 << 20);
  if (!json.ok()) {
    require(json.error().message.find('\n') == std::string::npos);
    return 0;
  }
  const std::string written = dump_json(*json, 0);
  const auto again = parse_json(written, "fuzz again");
  require(again.ok());
  require(dump_json(*again, 0) == written);
  read_all_ways(*json);
  return 0;
}
