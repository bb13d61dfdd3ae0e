// Json without its definition: enough to take it by reference or to declare a Result<Json>.
#pragma once

#include <nlohmann/json_fwd.hpp>

namespace collie {

using Json = nlohmann::ordered_json;

}  // namespace collie
