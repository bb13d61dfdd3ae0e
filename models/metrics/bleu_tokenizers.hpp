// How sacrebleu cuts a line into words before it counts n-grams.
#pragma once

#include <string>
#include <string_view>

namespace collie::metrics {

enum class BleuTokenizer {
  v13a,           // "13a": mteval-v13a, what WMT and nearly every paper uses
  international,  // "intl": mteval-v14, Unicode punctuation and symbols
  character,      // "char"
  none,           // at white space alone
};

// The line with its words divided by white space. Not idempotent.
std::string tokenize_for_bleu(std::string_view line, BleuTokenizer tokenizer);

}  // namespace collie::metrics
