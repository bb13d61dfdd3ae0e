// How the outside world's failures travel: a typed error with a one-line message, never an
// exception.
#pragma once

#include <fmt/format.h>

#include <string>
#include <utility>
#include <variant>

#include "runtime/check.hpp"

namespace collie {

enum class ErrorCode {
  invalid_config,  // a key, a value or a combination the configuration does not allow
  invalid_file,    // a file whose content breaks its format
  invalid_data,    // a dataset or a request that cannot be used
  not_found,       // a file, tensor or name that should exist
  io,              // the file system said no
  out_of_memory,   // the plan does not fit
  unsupported,     // valid, but not something this build can do
  non_finite,      // NaN or infinity where a number was needed
  cancelled,       // the user asked to stop
  lost,            // an actor or a peer died
};

std::string_view to_string(ErrorCode code);

// The message is one line that names the thing (file, key, tensor) and the remedy.
struct [[nodiscard]] Error {
  ErrorCode code = ErrorCode::invalid_data;
  std::string message;
};

template <class... Args>
Error make_error(ErrorCode code, fmt::format_string<Args...> format, Args&&... args) {
  return Error{code, fmt::format(format, std::forward<Args>(args)...)};
}

// Either a value or an Error. Asking for the one that is not there is a programmer's error.
template <class T>
class [[nodiscard]] Result {
 public:
  Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}
  Result(Error error) : state_(std::in_place_index<1>, std::move(error)) {}

  bool ok() const { return state_.index() == 0; }
  explicit operator bool() const { return ok(); }

  T& value() & {
    require_ok();
    return std::get<0>(state_);
  }
  const T& value() const& {
    require_ok();
    return std::get<0>(state_);
  }
  T&& value() && {
    require_ok();
    return std::get<0>(std::move(state_));
  }
  T& operator*() & { return value(); }
  const T& operator*() const& { return value(); }
  T* operator->() { return &value(); }
  const T* operator->() const { return &value(); }

  const Error& error() const& {
    COLLIE_CHECK(!ok(), "error() of a Result that holds a value");
    return std::get<1>(state_);
  }
  Error&& error() && {
    COLLIE_CHECK(!ok(), "error() of a Result that holds a value");
    return std::get<1>(std::move(state_));
  }

 private:
  void require_ok() const {
    COLLIE_CHECK(ok(), "value() of a failed Result: {}", std::get<1>(state_).message);
  }
  std::variant<T, Error> state_;
};

struct Unit {};
using Status = Result<Unit>;
inline Status ok_status() {
  return Unit{};
}

}  // namespace collie

#define COLLIE_CONCAT_INNER(a, b) a##b
#define COLLIE_CONCAT(a, b) COLLIE_CONCAT_INNER(a, b)

// COLLIE_TRY(auto x, f()): x is f()'s value, or the enclosing function returns f()'s error.
#define COLLIE_TRY(declaration, expression)                         \
  auto COLLIE_CONCAT(collie_try_, __LINE__) = (expression);         \
  if (!COLLIE_CONCAT(collie_try_, __LINE__).ok())                   \
    return std::move(COLLIE_CONCAT(collie_try_, __LINE__)).error(); \
  declaration = std::move(COLLIE_CONCAT(collie_try_, __LINE__)).value()

// COLLIE_TRY_VOID(f()): the same where the value does not matter.
#define COLLIE_TRY_VOID(expression)                             \
  do {                                                          \
    if (auto collie_status = (expression); !collie_status.ok()) \
      return std::move(collie_status).error();                  \
  } while (false)
