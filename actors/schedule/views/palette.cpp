#include "actors/schedule/views/palette.hpp"

#include <fmt/format.h>

#include <array>

namespace collie {

std::string_view colour_of(Verb verb) {
  switch (verb) {
    case Verb::forward:
      return "#3f72b5";
    case Verb::backward_input:
      return "#e0606e";
    case Verb::backward_weight:
      return "#d8b53c";
    case Verb::backward:
      return "#a03a78";
    case Verb::recompute:
      return "#5fb8d6";
    case Verb::step:
      return "#2c8a44";
    default:
      return "#7a8494";
  }
}

std::string tinted_colour(Verb verb, int shade) {
  constexpr std::array shades = {0.0, 0.32, 0.52, 0.68};
  const double share = shades.at(static_cast<std::size_t>(shade) % shades.size());
  std::string tinted = "#";
  for (const std::size_t at : {1, 3, 5}) {
    const double value = std::stoi(std::string(colour_of(verb).substr(at, 2)), nullptr, 16);
    tinted += fmt::format("{:02x}", static_cast<int>(value + (255.0 - value) * share));
  }
  return tinted;
}

bool is_dark(std::string_view colour) {
  const auto channel = [&](std::size_t at) {
    return std::stoi(std::string(colour.substr(at, 2)), nullptr, 16);
  };
  return 0.299 * channel(1) + 0.587 * channel(3) + 0.114 * channel(5) < 145.0;
}

}  // namespace collie
