// libFuzzer: arbitrary bytes as a tokenizer.json. Whatever loads must encode and decode without
// harm, and streaming must give the same text as decoding at once.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "models/tokenizer/tokenizer.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view json(reinterpret_cast<const char*>(data), size);
  auto tokenizer = collie::Tokenizer::from_json(json, "fuzz");
  if (!tokenizer.ok()) {
    if (tokenizer.error().message.find('\n') != std::string::npos) std::abort();
    return 0;
  }
  // The input's end doubles as a text, valid UTF-8 or not.
  const std::string_view tail = json.substr(size - size / 4);
  for (const std::string_view text :
       {std::string_view("ab  I'm 12,345 <s>\xC3\xA9\xCC\x81 \xF0\x9F\x98\x80\n\n x"), tail}) {
    const auto ids = tokenizer->encode(text, true);
    for (const std::int32_t id : ids) {
      if (id < 0 || id >= tokenizer->vocab_size()) std::abort();
    }
    (void)tokenizer->decode(ids, true);
    collie::TokenStream stream(*tokenizer);
    for (const std::int32_t id : ids) (void)stream.push(id);
    (void)stream.flush();
  }
  return 0;
}
