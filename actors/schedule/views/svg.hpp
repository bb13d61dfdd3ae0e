// A drawing of a schedule for papers and slides: lanes per rank, labelled boxes, an axis of time
// and a legend. Pure.
#pragma once

#include <string>

#include "actors/schedule/views/picture.hpp"

namespace collie {

struct SvgOptions {
  double width = 1200.0;   // of the whole drawing, in pixels
  bool with_title = true;  // papers have captions
};

// invalid_config: more actions than limits::view_actions_max or ranks than limits::view_ranks_max.
Result<std::string> svg_drawing(const Picture& picture, const SvgOptions& options = {});

}  // namespace collie
