// The pre-tokenizers' well-known patterns on plain ASCII words and numbers, which are most of a
// text, without the regular expression engine.
#pragma once

#include <cstddef>
#include <string_view>

namespace collie::tok {

enum class AsciiShortcut { none, gpt2, llama3, qwen };

// The shortcut whose pattern this is, letter for letter.
AsciiShortcut shortcut_for(std::string_view pattern);

// The bytes of the match that begins exactly at `from`, or 0 where only the engine can tell.
std::size_t ascii_match_bytes(AsciiShortcut shortcut, std::string_view text, std::size_t from);

}  // namespace collie::tok
