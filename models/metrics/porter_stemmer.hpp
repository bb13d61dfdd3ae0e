// Porter's stemmer (M. Porter, "An algorithm for suffix stripping", Program 14.3, 1980) with the
// extensions of NLTK's PorterStemmer, which rouge-score uses.
#pragma once

#include <string>
#include <string_view>

namespace collie::metrics {

// word: lower-case ASCII letters and digits.
std::string porter_stem(std::string_view word);

}  // namespace collie::metrics
