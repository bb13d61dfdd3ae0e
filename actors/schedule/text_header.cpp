#include <fmt/ranges.h>

#include <vector>

#include "actors/schedule/text_parts.hpp"
#include "runtime/limits.hpp"
#include "runtime/suggest.hpp"

namespace collie {

namespace {

const std::array<std::string, 10> keys = {"name",          "ranks",  "stages",  "placement",
                                          "micro-batches", "slices", "channel", "versions",
                                          "contract",      "policy"};

class HeaderReader {
 public:
  explicit HeaderReader(TextCursor& cursor) : cursor_(cursor) {}

  Result<Schedule> read() {
    COLLIE_TRY_VOID(read_first_line());
    while (true) {
      cursor_.skip_space();
      const std::size_t at = cursor_.at();
      const std::string_view key = cursor_.word();
      if (key == "rank" || (key.empty() && cursor_.at_end())) {
        cursor_.go_to(at);
        return finish();
      }
      COLLIE_TRY_VOID(read_key(key, at));
    }
  }

 private:
  Status read_first_line() {
    cursor_.skip_space();
    const std::size_t at = cursor_.at();
    if (cursor_.word() != "schedule") {
      return cursor_.error_at(at, "a schedule file starts with 'schedule 1'");
    }
    int format = 0;
    COLLIE_TRY_VOID(read_number_within(cursor_, format, "the format's number", 0, 1'000'000));
    if (format == 1) return ok_status();
    return cursor_.error_at(at, "format {} is not known; this program reads 'schedule 1'", format);
  }

  Status read_key(std::string_view key, std::size_t at) {
    const auto found = std::ranges::find(keys, key);
    if (found == keys.end()) return unknown_key(key, at);
    std::optional<std::size_t>& seen = seen_[static_cast<std::size_t>(found - keys.begin())];
    if (seen) return cursor_.error_at(at, "{} is given a second time", key);
    seen = at;
    if (key == "placement") return read_placement();
    if (key == "channel") return read_channel(cursor_, schedule_.channel);
    if (key == "versions") return read_versions(cursor_, schedule_.versions);
    if (key == "policy") return read_policy(cursor_, schedule_.policy);
    if (key == "ranks") return read_int(ranks_, key, limits::schedule_ranks_max);
    if (key == "stages") return read_int(stages_, key, limits::schedule_stages_max);
    if (key == "slices") return read_int(schedule_.slices, key, limits::schedule_slices_max);
    if (key == "micro-batches") {
      return read_int(schedule_.micro_batches, key, limits::micro_batches_max);
    }
    if (key == "name") {
      COLLIE_TRY(schedule_.name, read_name(cursor_));
      return ok_status();
    }
    COLLIE_TRY(bounds_at_, read_contract(cursor_, schedule_.contract));
    return ok_status();
  }

  Status unknown_key(std::string_view key, std::size_t at) {
    if (key.empty()) key = cursor_.token();
    std::string hint = did_you_mean(key, keys);
    if (hint.empty()) hint = fmt::format("; known are {}, then rank", fmt::join(keys, ", "));
    return cursor_.error_at(at, "unknown key {}{}", quoted_name(key), hint);
  }

  Status read_int(int& field, std::string_view what, int most) {
    return read_number_within(cursor_, field, what, 1, most);
  }

  Status read_placement() {
    COLLIE_TRY(const std::size_t kind, read_choice(cursor_, placement_words, "placement"));
    kind_ = static_cast<PlacementKind>(kind);
    if (kind_ == PlacementKind::looped || kind_ == PlacementKind::wave) {
      return read_int(chunks_, "the number of chunks per rank", limits::schedule_stages_max);
    }
    if (kind_ != PlacementKind::table) return ok_status();
    do {
      if (table_.size() == static_cast<std::size_t>(limits::schedule_stages_max)) {
        return cursor_.error_at(cursor_.at(), "the table has more than {} stages", table_.size());
      }
      table_.push_back(0);
      COLLIE_TRY_VOID(read_number_within(cursor_, table_.back(), "a rank of the table", 0,
                                         limits::schedule_ranks_max - 1));
      cursor_.skip_space();
    } while (cursor_.take(','));
    return ok_status();
  }

  // Where a key stands, or the place that lacks it.
  std::size_t place_of(std::string_view key) const {
    const auto index = static_cast<std::size_t>(std::ranges::find(keys, key) - keys.begin());
    return seen_[index].value_or(cursor_.at());
  }

  Result<Schedule> finish() {
    for (const std::string_view key : {"ranks", "micro-batches"}) {
      if (place_of(key) == cursor_.at()) {
        return cursor_.error_at(cursor_.at(), "the key {} is missing", key);
      }
    }
    COLLIE_TRY(schedule_.placement, placed());
    const int stages = schedule_.stages();
    if (stages_ != 0 && stages_ != stages) {
      return cursor_.error_at(place_of("stages"), "stages is {}, but the placement gives {}",
                              stages_, stages);
    }
    const std::size_t units = std::size_t{1} * stages * schedule_.micro_batches * schedule_.slices *
                              schedule_.placement.directions();
    if (units > limits::schedule_units_max) {
      return cursor_.error_at(place_of("micro-batches"),
                              "stages x micro-batches x slices are {}; at most {} are possible",
                              units, limits::schedule_units_max);
    }
    COLLIE_TRY_VOID(check_bounds());
    schedule_.programs.resize(static_cast<std::size_t>(ranks_));
    return std::move(schedule_);
  }

  Result<Placement> placed() const {
    if (chunks_ > limits::schedule_stages_max / ranks_) {
      return cursor_.error_at(place_of("placement"), "{} ranks x {} chunks are more than {} stages",
                              ranks_, chunks_, limits::schedule_stages_max);
    }
    switch (kind_) {
      case PlacementKind::linear:
        return Placement::linear(ranks_);
      case PlacementKind::looped:
        return Placement::looped(ranks_, chunks_);
      case PlacementKind::wave:
        return Placement::wave(ranks_, chunks_);
      case PlacementKind::bidirectional:
        return Placement::bidirectional(ranks_);
      case PlacementKind::table:
        break;
    }
    auto placement = Placement::table(ranks_, table_);
    if (placement.ok()) return placement;
    return cursor_.error_at(place_of("placement"), "{}", placement.error().message);
  }

  // The contract's expressions have a value for every stage.
  Status check_bounds() const {
    const Contract& contract = schedule_.contract;
    const std::array<std::string_view, 3> texts = {contract.staleness, contract.mismatch,
                                                   contract.versions};
    const auto known = variables_of(schedule_);
    std::array<Variable, 5> variables = {known[0], known[1], known[2], known[3], {"s", 0}};
    for (std::size_t i = 0; i < texts.size(); ++i) {
      for (int stage = 0; bounds_at_[i] && stage < schedule_.stages(); ++stage) {
        variables[4].value = stage;
        const Evaluation value = evaluate_expression(texts[i], variables);
        if (value.ok()) continue;
        return cursor_.error_at(*bounds_at_[i] + value.error_column - 1, "{}", value.problem);
      }
    }
    return ok_status();
  }

  TextCursor& cursor_;
  Schedule schedule_;
  std::array<std::optional<std::size_t>, keys.size()> seen_;
  BoundPlaces bounds_at_;
  int ranks_ = 0;
  int stages_ = 0;
  PlacementKind kind_ = PlacementKind::linear;
  int chunks_ = 1;
  std::vector<int> table_;
};

}  // namespace

Result<Schedule> read_header(TextCursor& cursor) {
  return HeaderReader(cursor).read();
}

std::array<Variable, 4> variables_of(const Schedule& schedule) {
  const int every = schedule.versions.step_every;
  const int of_step = every == 0 ? schedule.micro_batches : every;
  return {{{"P", schedule.ranks()},
           {"S", schedule.stages()},
           {"M", schedule.micro_batches},
           {"m", of_step}}};
}

}  // namespace collie
