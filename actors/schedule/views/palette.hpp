// The colours of verbs in the page and in drawings.
#pragma once

#include <string>
#include <string_view>

#include "actors/schedule/action.hpp"

namespace collie {

// "#3f72b5"; lighter shades (chunk or weight version, modulo 4) keep the hue.
std::string_view colour_of(Verb verb);
std::string tinted_colour(Verb verb, int shade);
bool is_dark(std::string_view colour);  // so that white text can be read on it

}  // namespace collie
