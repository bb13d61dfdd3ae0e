#include <charconv>

#include "actors/schedule/text_format.hpp"
#include "actors/schedule/text_parts.hpp"

namespace collie {

namespace {

constexpr std::size_t line_width = 100;

// name, as a word if it can be one.
std::string written_name(std::string_view name) {
  const auto is_plain = [](char letter) {
    return is_word_letter(letter) || is_digit(letter) || letter == '.' || letter == '+';
  };
  if (std::ranges::all_of(name, is_plain)) return std::string(name);
  std::string text = "\"";
  for (const char letter : name) {
    if (letter == '"' || letter == '\\') {
      text += {'\\', letter};
    } else if (static_cast<unsigned char>(letter) < 0x20 || letter == 0x7f) {
      text += fmt::format("\\x{:02x}", static_cast<unsigned char>(letter));
    } else {
      text += letter;
    }
  }
  return text + '"';
}

std::string written_placement(const Placement& placement) {
  if (placement.kind() != PlacementKind::looped && placement.kind() != PlacementKind::wave) {
    return placement.describe();
  }
  return fmt::format("{} {}", placement.describe(), placement.stages() / placement.ranks());
}

std::string written_bound(std::string_view key, std::string_view text) {
  const bool is_word = text.find_first_of(" \t\r#{}") == text.npos;
  return is_word ? fmt::format(" {}={}", key, text) : fmt::format(" {}={{{}}}", key, text);
}

std::string written_contract(const Contract& contract) {
  if (contract == Contract{}) return "synchronous";
  const std::string bounds = written_bound("staleness", contract.staleness) +
                             written_bound("mismatch", contract.mismatch) +
                             written_bound("versions", contract.versions);
  return contract.synchronous ? "synchronous" + bounds : bounds.substr(1);
}

template <class Words, class Value>
const std::string& word_of(const Words& words, Value value) {
  return words.at(static_cast<std::size_t>(value));
}

std::string written_header(const Schedule& schedule) {
  const Versions& versions = schedule.versions;
  std::string text = "schedule 1\n";
  if (!schedule.name.empty()) text += fmt::format("name {}\n", written_name(schedule.name));
  text += fmt::format("ranks {}\nplacement {}\nmicro-batches {}\n", schedule.ranks(),
                      written_placement(schedule.placement), schedule.micro_batches);
  if (schedule.slices != 1) text += fmt::format("slices {}\n", schedule.slices);
  text += fmt::format("channel {} credit={}\n", word_of(channel_words, schedule.channel.kind),
                      schedule.channel.credit);
  if (versions != Versions{}) {
    text += fmt::format("versions forward={} backward={} correction={} step-every={} warm-up={}",
                        word_of(version_rule_words, versions.forward),
                        word_of(version_rule_words, versions.backward),
                        word_of(correction_words, versions.correction), versions.step_every,
                        versions.warm_up_steps);
    const bool anneals_as_usual = versions.anneal_steps == Versions{}.anneal_steps;
    text += anneals_as_usual ? "\n" : fmt::format(" anneal-steps={}\n", versions.anneal_steps);
  }
  if (schedule.policy.decides()) {
    text += "policy";
    for (const Verb verb : schedule.policy.priority) text += fmt::format(" {}", letter(verb));
    text += fmt::format(" in-flight={}\n", schedule.policy.in_flight);
  }
  return text + fmt::format("contract {}\n", written_contract(schedule.contract));
}

// A run of `count` times `length` actions that differ only in their micro-batch, each by a fixed
// step.
struct Run {
  std::size_t length = 0;
  int count = 0;
};

class ProgramWriter {
 public:
  explicit ProgramWriter(std::string& out) : out_(out) {}

  void write(int rank, const std::vector<Action>& program, bool with_repeats) {
    out_ += fmt::format("\nrank {}:", rank);
    line_begin_ = out_.rfind('\n') + 1;
    std::size_t at = 0;
    while (at < program.size()) {
      const Run run = with_repeats ? longest_run(program, at) : Run{};
      if (run.count == 0) {
        at += write_cell(program, at, nullptr);
        continue;
      }
      begin_word();
      out_ += fmt::format("repeat k 0..{} {{", run.count - 1);
      end_word();
      const Action* const next = program.data() + run.length;
      for (std::size_t i = at; i < at + run.length;) i += write_cell(program, i, next);
      begin_word();
      out_ += '}';
      end_word();
      at += run.length * static_cast<std::size_t>(run.count);
    }
    out_ += '\n';
  }

 private:
  static bool is_alike(Action left, const Action& right) {
    left.micro_batch = right.micro_batch;
    return left == right;
  }

  static int runs_of(const std::vector<Action>& program, std::size_t at, std::size_t length) {
    std::size_t i = at + length;
    for (; i < program.size(); ++i) {
      const Action& before = program[i - length];
      if (!is_alike(before, program[i])) break;
      if (i < at + 2 * length) continue;
      const int step = before.micro_batch - program[i - 2 * length].micro_batch;
      if (program[i].micro_batch - before.micro_batch != step) break;
    }
    return static_cast<int>((i - at) / length);
  }

  // The one that covers most, of those that save more words than they cost; the shortest of equals.
  static Run longest_run(const std::vector<Action>& program, std::size_t at) {
    constexpr std::size_t length_max = 96;
    constexpr std::size_t saving_min = 6;
    Run best;
    for (std::size_t length = 1; length <= length_max; ++length) {
      if (at + 3 * length > program.size()) break;
      if (program[at + length - 1].overlaps_next) continue;
      const int count = runs_of(program, at, length);
      const std::size_t covered = length * static_cast<std::size_t>(count);
      if (count < 3 || covered < length + saving_min) continue;
      if (covered > best.length * static_cast<std::size_t>(best.count)) best = {length, count};
    }
    return best;
  }

  // One action, or a pair; how many these were. next: where the same action of the run's next round
  // stands, counted from the program's begin; null outside of runs.
  std::size_t write_cell(const std::vector<Action>& program, std::size_t at, const Action* next) {
    begin_word();
    std::size_t i = at;
    const bool is_pair = program[i].overlaps_next && i + 1 < program.size();
    if (is_pair) out_ += '(';
    write_action(program[i], step_at(program, i, next));
    while (program[i].overlaps_next && i + 1 < program.size()) {
      out_ += ';';
      ++i;
      write_action(program[i], step_at(program, i, next));
    }
    if (is_pair) out_ += ')';
    end_word();
    return i + 1 - at;
  }

  static int step_at(const std::vector<Action>& program, std::size_t i, const Action* next) {
    return next == nullptr ? 0 : next[i].micro_batch - program[i].micro_batch;
  }

  void write_action(const Action& action, int step) {
    const std::string_view verb = letter(action.verb);
    if (has_micro_batch(action.verb)) {
      write_int(action.stage);
      out_ += verb;
      write_micro_batch(action.micro_batch, step);
      if (action.slice != 0) {
        out_ += '.';
        write_int(action.slice);
      }
    } else {
      out_ += verb;
      if (action.verb != Verb::fence) write_int(action.stage);
      const bool has_horizon =
          action.verb == Verb::predict && (action.micro_batch != 0 || step != 0);
      if (action.verb == Verb::pin || action.verb == Verb::drop || has_horizon) {
        out_ += '.';
        write_micro_batch(action.micro_batch, step);
      }
    }
    if (action.direction != 0) out_ += '~';
  }

  // As a function of the repeat's k where it changes from round to round.
  void write_micro_batch(int first, int step) {
    if (step == 0) return write_int(first);
    const std::string term = step == 1 ? "k" : fmt::format("{}*k", step);
    if (first == 0 && step > 0) {
      out_ += fmt::format("{{{}}}", term);
    } else if (step == -1) {
      out_ += fmt::format("{{{}-k}}", first);
    } else {
      out_ += fmt::format("{{{}+{}}}", term, first);
    }
  }

  void write_int(int value) {
    std::array<char, 12> digits;
    const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), value).ptr;
    out_.append(digits.data(), end);
  }

  void begin_word() {
    blank_at_ = out_.size();
    out_ += ' ';
  }
  // Moves the word to the next line where the line is full.
  void end_word() {
    if (out_.size() - line_begin_ <= line_width) return;
    out_.replace(blank_at_, 1, "\n  ");
    line_begin_ = blank_at_ + 1;
  }

  std::string& out_;
  std::size_t line_begin_ = 0;
  std::size_t blank_at_ = 0;
};

}  // namespace

std::string to_text(const Schedule& schedule, const ScheduleTextOptions& options) {
  std::string text = written_header(schedule);
  ProgramWriter writer(text);
  for (std::size_t rank = 0; rank < schedule.programs.size(); ++rank) {
    if (schedule.programs[rank].empty()) continue;
    writer.write(static_cast<int>(rank), schedule.programs[rank], options.with_repeats);
  }
  return text;
}

}  // namespace collie
