#include "runtime/result.hpp"

#include <cstdio>
#include <cstdlib>

namespace collie {

void check_failed(const char* file, int line, const char* condition, std::string_view message) {
  fmt::print(stderr, "{}:{}: check failed: {}{}{}\n", file, line, condition,
             message.empty() ? "" : ": ", message);
  std::fflush(stderr);
  std::abort();
}

std::string_view to_string(ErrorCode code) {
  switch (code) {
    case ErrorCode::invalid_config:
      return "invalid config";
    case ErrorCode::invalid_file:
      return "invalid file";
    case ErrorCode::invalid_data:
      return "invalid data";
    case ErrorCode::not_found:
      return "not found";
    case ErrorCode::io:
      return "input/output error";
    case ErrorCode::out_of_memory:
      return "out of memory";
    case ErrorCode::unsupported:
      return "unsupported";
    case ErrorCode::non_finite:
      return "non-finite number";
    case ErrorCode::cancelled:
      return "cancelled";
    case ErrorCode::lost:
      return "lost";
  }
  return "unknown error";
}

}  // namespace collie
