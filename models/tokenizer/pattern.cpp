#include "models/tokenizer/pattern.hpp"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "models/tokenizer/unicode_additions.hpp"
#include "runtime/limits.hpp"

namespace collie::tok {
namespace {

template <auto free_function>
struct Deleter {
  template <class T>
  void operator()(T* pointer) const {
    free_function(pointer);
  }
};
using CompileContext = std::unique_ptr<pcre2_compile_context, Deleter<pcre2_compile_context_free>>;
using Code = std::unique_ptr<pcre2_code, Deleter<pcre2_code_free>>;

// PCRE2 wants writable memory per thread while it matches; patterns themselves are shared.
struct MatchMemory {
  std::unique_ptr<pcre2_match_data, Deleter<pcre2_match_data_free>> data{
      pcre2_match_data_create(1, nullptr)};
  std::unique_ptr<pcre2_jit_stack, Deleter<pcre2_jit_stack_free>> stack{
      pcre2_jit_stack_create(32 * 1024, limits::pattern_stack_bytes_max, nullptr)};
  std::unique_ptr<pcre2_match_context, Deleter<pcre2_match_context_free>> context{
      pcre2_match_context_create(nullptr)};

  MatchMemory() {
    COLLIE_CHECK(data && stack && context, "no memory for pattern matching");
    pcre2_jit_stack_assign(context.get(), nullptr, stack.get());
    pcre2_set_match_limit(context.get(), limits::pattern_match_steps_max);
    pcre2_set_heap_limit(context.get(), limits::pattern_heap_kib_max);
  }
};

MatchMemory& match_memory() {
  thread_local MatchMemory memory;
  return memory;
}

// One place of a pattern while it is rewritten.
class Translator {
 public:
  explicit Translator(std::string_view pattern) : pattern_(pattern) {}

  Result<std::string> run() {
    while (position_ < pattern_.size()) {
      const char c = pattern_[position_];
      if (c == '\\') {
        COLLIE_TRY_VOID(escape());
        continue;
      }
      if (!in_class_ && c == '[') {
        open_class();
        continue;
      }
      if (in_class_) COLLIE_TRY_VOID(class_character(c));
      out_.push_back(c);
      ++position_;
    }
    return std::move(out_);
  }

 private:
  void open_class() {
    in_class_ = true;
    out_.push_back(pattern_[position_++]);
    for (const char c : {'^', ']'}) {
      if (position_ < pattern_.size() && pattern_[position_] == c) {
        out_.push_back(c);
        ++position_;
      }
    }
  }

  Status class_character(char c) {
    const std::string_view rest = pattern_.substr(position_);
    if (c == ']') {
      in_class_ = false;
    } else if ((c == '[' && !rest.starts_with("[:")) || rest.starts_with("&&")) {
      return make_error(ErrorCode::unsupported, "nested or intersected character classes");
    } else if (c == '[') {
      const std::size_t end = rest.find(":]");
      if (end == std::string_view::npos) {
        return make_error(ErrorCode::invalid_file, "unterminated POSIX class");
      }
      out_.append(rest.substr(0, end + 1));  // the caller copies the closing bracket
      position_ += end + 1;
    }
    return ok_status();
  }

  Status escape() {
    if (position_ + 1 >= pattern_.size()) {
      return make_error(ErrorCode::invalid_file, "a lone backslash at its end");
    }
    const char c = pattern_[position_ + 1];
    if (std::string_view("hHKGXCQERN").find(c) != std::string_view::npos) {
      return make_error(ErrorCode::unsupported, "\\{}", c);
    }
    position_ += 2;
    switch (c) {
      case 's':
        return members(white_space, false, "\\s");
      case 'S':
        return members(white_space, true, "\\S");
      case 'w':
        return members(word, false, "\\w");
      case 'W':
        return members(word, true, "\\W");
      case 'd':
        return members(category("Nd"), false, "\\d");
      case 'D':
        return members(category("Nd"), true, "\\D");
      case 'p':
        return property(false);
      case 'P':
        return property(true);
      default:
        out_.append({'\\', c});
        return ok_status();
    }
  }

  Status property(bool negated) {
    const std::string_view rest = pattern_.substr(position_);
    const std::size_t end = rest.find('}');
    if (!rest.starts_with('{') || end == std::string_view::npos) {
      return make_error(ErrorCode::unsupported, "\\p without braces");
    }
    position_ += end + 1;
    std::string_view name = rest.substr(1, end - 1);
    if (name.starts_with('^')) {
      negated = !negated;
      name.remove_prefix(1);
    }
    return members(category(name), negated, fmt::format("\\{}{{{}}}", negated ? 'P' : 'p', name));
  }

  // Inside a class a negated set cannot be spelled out, so it keeps PCRE2's own meaning.
  Status members(const std::string& set, bool negated, std::string_view original) {
    if (in_class_) {
      out_.append(negated ? original : std::string_view(set));
    } else {
      out_.append(negated ? "[^" : "[").append(set).append("]");
    }
    return ok_status();
  }

  static std::string category(std::string_view name) {
    std::string set = fmt::format("\\p{{{}}}", name);
    for (const auto& additions : category_additions) {
      if (additions.category == name) set.append(additions.members);
    }
    return set;
  }

  inline static const std::string white_space =
      R"(\x{9}-\x{d}\x{20}\x{85}\x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000})";
  inline static const std::string word =
      category("L") + category("M") + category("Nd") + R"(\p{Nl}\p{Pc}\p{Alphabetic})";

  std::string_view pattern_;
  std::size_t position_ = 0;
  bool in_class_ = false;
  std::string out_;
};

Code compile(const std::string& translated, int& error, std::size_t& offset) {
  const CompileContext context{pcre2_compile_context_create(nullptr)};
  COLLIE_CHECK(context, "no memory for a pattern");
  pcre2_set_newline(context.get(), PCRE2_NEWLINE_LF);
  // In Oniguruma ^ and $ always mean lines.
  return Code{pcre2_compile(reinterpret_cast<PCRE2_SPTR>(translated.data()), translated.size(),
                            PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C,
                            &error, &offset, context.get())};
}

}  // namespace

struct Pattern::Compiled {
  Code code;
  bool jit = false;
};

Result<std::string> translate_pattern(std::string_view pattern) {
  return Translator(pattern).run();
}

Pattern Pattern::literal(std::string text) {
  Pattern result;
  result.literal_ = std::move(text);
  return result;
}

Result<Pattern> Pattern::regex(std::string_view pattern) {
  if (pattern.size() > limits::pattern_bytes_max) {
    return make_error(ErrorCode::invalid_file, "longer than {} bytes", limits::pattern_bytes_max);
  }
  COLLIE_TRY(const std::string translated, translate_pattern(pattern));
  auto compiled = std::make_shared<Compiled>();
  int error = 0;
  std::size_t offset = 0;
  compiled->code = compile(translated, error, offset);
  if (!compiled->code) {
    char message[256] = {};
    pcre2_get_error_message(error, reinterpret_cast<PCRE2_UCHAR*>(message), sizeof(message));
    return make_error(ErrorCode::invalid_file, "not a usable regular expression ({})", message);
  }
  compiled->jit = pcre2_jit_compile(compiled->code.get(), PCRE2_JIT_COMPLETE) == 0;
  Pattern result;
  result.compiled_ = std::move(compiled);
  result.shortcut_ = shortcut_for(pattern);
  return result;
}

std::optional<Span> Pattern::find(std::string_view text, std::size_t from) const {
  if (!compiled_) {
    const std::size_t begin = text.find(literal_, from);
    if (begin == std::string_view::npos) return std::nullopt;
    return Span{begin, begin + literal_.size()};
  }
  if (const std::size_t bytes = ascii_match_bytes(shortcut_, text, from)) {
    return Span{from, from + bytes};
  }
  MatchMemory& memory = match_memory();
  const auto match = compiled_->jit ? pcre2_jit_match : pcre2_match;
  const auto subject = reinterpret_cast<PCRE2_SPTR>(text.data());
  const std::uint32_t options = compiled_->jit ? 0 : PCRE2_NO_UTF_CHECK;
  if (match(compiled_->code.get(), subject, text.size(), from, options, memory.data.get(),
            memory.context.get()) < 0) {
    return std::nullopt;
  }
  const PCRE2_SIZE* const bounds = pcre2_get_ovector_pointer(memory.data.get());
  if (bounds[0] < from || bounds[1] < bounds[0]) return std::nullopt;
  return Span{bounds[0], bounds[1]};
}

}  // namespace collie::tok
