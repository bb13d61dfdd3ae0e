// Names that a pattern means.
#pragma once

#include <string_view>

namespace collie {

// "*" stands for any text, "?" for one character; all of the text must match. Quadratic at worst.
bool matches_glob(std::string_view pattern, std::string_view text);

}  // namespace collie
