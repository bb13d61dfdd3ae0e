// One self-contained HTML page: no network, no server, no library. Pure.
#pragma once

#include <span>
#include <string>

#include "actors/schedule/views/picture.hpp"

namespace collie {

struct HtmlOptions {
  std::string title = "Pipeline schedule";
  std::string time_unit = {};    // "s", "ms"; empty: the costs' own unit
  std::string memory_unit = {};  // the same
};

// Pictures stand one above the other with a common axis of time and a common scale of memory: two
// schedules to compare, or a simulation above a measured run. No text of a schedule or title can
// leave its place in the page. invalid_config: more actions than limits::view_actions_max, or no
// picture.
Result<std::string> html_page(std::span<const Picture> pictures, const HtmlOptions& options);

}  // namespace collie
