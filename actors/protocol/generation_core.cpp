#include "actors/protocol/generation_core.hpp"

#include <algorithm>
#include <utility>

#include "runtime/check.hpp"

namespace collie {

namespace {

int prompts_of(const GenerationSettings& settings, int replica, int replicas) {
  return (settings.prompts - replica + replicas - 1) / replicas;
}

}  // namespace

void GenerationCore::begin(const GenerationSettings& settings, int replica, int replicas,
                           bool together) {
  COLLIE_CHECK(settings.groups > 0 && settings.rows > 0 && settings.max_tokens > 0,
               "{} groups of {} rows of {} tokens", settings.groups, settings.rows,
               settings.max_tokens);
  settings_ = settings;
  replica_ = replica;
  replicas_ = replicas;
  together_ = together;
  prompts_ = prompts_of(settings, replica, replicas);
  turn_ = 0;
  generated_.assign(static_cast<std::size_t>(prompts_), {});
  // No replica has more prompts than the first.
  const int most = together ? prompts_of(settings, 0, replicas) : prompts_;
  groups_.assign(static_cast<std::size_t>(settings.groups), {});
  groups_left_ = 0;
  for (int g = 0; g < settings.groups; ++g) {
    Group& group = groups_[static_cast<std::size_t>(g)];
    group.rows.resize(static_cast<std::size_t>(settings.rows));
    group.next_prompt = g;
    group.is_over = g >= most;
    groups_left_ += group.is_over ? 0 : 1;
  }
}

GenerationCore::Group& GenerationCore::group_of(std::uint32_t turn) {
  return groups_[turn % static_cast<std::uint32_t>(settings_.groups)];
}

bool GenerationCore::is_idle(const Group& group) const {
  return group.next_prompt >= prompts_ &&
         std::ranges::all_of(group.rows, [](const Row& row) { return row.prompt < 0; });
}

// A place is free and a prompt is left for it.
bool GenerationCore::may_begin(const Group& group) const {
  return group.next_prompt < prompts_ &&
         std::ranges::any_of(group.rows, [](const Row& row) { return row.prompt < 0; });
}

GenerationCore::State GenerationCore::settle(std::uint32_t round, Inbox& inbox) {
  while (groups_left_ > 0) {
    Group& group = group_of(turn_);
    if (group.is_asked) {
      const std::uint32_t last = turn_ - static_cast<std::uint32_t>(settings_.groups);
      if (!has_samples(round, last, inbox)) return State::waits;
      group.is_over = take_samples(round, last, inbox);
      groups_left_ -= group.is_over ? 1 : 0;
      inbox.pass(round, last + 1);
    }
    if (group.is_over) {
      ++turn_;
      continue;
    }
    const bool begins = may_begin(group);
    const auto prompt = static_cast<std::uint32_t>(group.next_prompt);
    return begins && !inbox.has(tokens_key(round, prompt)) ? State::waits : State::ready;
  }
  return State::over;
}

bool GenerationCore::has_samples(std::uint32_t round, std::uint32_t turn,
                                 const Inbox& inbox) const {
  if (!together_) return inbox.has(sampled_key(round, turn, replica_));
  for (int replica = 0; replica < replicas_; ++replica) {
    if (!inbox.has(sampled_key(round, turn, replica))) return false;
  }
  return true;
}

// Returns whether the group's turns are over.
bool GenerationCore::take_samples(std::uint32_t round, std::uint32_t turn, Inbox& inbox) {
  bool is_over = true;
  for (int replica = 0; replica < replicas_; ++replica) {
    if (!together_ && replica != replica_) continue;
    const auto sampled = std::get<Sampled>(inbox.take(sampled_key(round, turn, replica)));
    if (replica == replica_) apply(group_of(turn), sampled.ids);
    is_over = is_over && sampled.is_idle;
  }
  return is_over;
}

void GenerationCore::apply(Group& group, const std::vector<std::int32_t>& ids) {
  COLLIE_CHECK(ids.size() == group.asked.size(), "{} tokens for {} sequences", ids.size(),
               group.asked.size());
  for (std::size_t i = 0; i < ids.size(); ++i) {
    Row& row = group.rows[group.asked[i]];
    GeneratedSequence& sequence = generated_[static_cast<std::size_t>(row.prompt)];
    const std::optional<FinishReason> end = end_of(row, ids[i]);
    const bool is_text = end != FinishReason::end_token && end != FinishReason::non_finite;
    if (is_text) sequence.ids.push_back(ids[i]);
    ++row.made;
    row.id = ids[i];
    if (!end) continue;
    sequence.prompt = row.prompt * replicas_ + replica_;
    sequence.finish = *end;
    row = Row();
  }
  group.asked.clear();
  group.is_asked = false;
}

// The same order of questions as the single-stream Generator's. row: before the token.
std::optional<FinishReason> GenerationCore::end_of(const Row& row, std::int32_t id) const {
  if (id < 0) return FinishReason::non_finite;
  if (std::ranges::find(settings_.end_ids, id) != settings_.end_ids.end()) {
    return FinishReason::end_token;
  }
  if (row.made + 1 >= settings_.max_tokens) return FinishReason::max_tokens;
  if (row.position + 1 >= settings_.context_length) return FinishReason::context_full;
  return std::nullopt;
}

bool GenerationCore::is_idle_after(std::uint32_t turn, const std::vector<std::int32_t>& ids) const {
  const Group& group = groups_[turn % static_cast<std::uint32_t>(settings_.groups)];
  COLLIE_CHECK(group.is_asked && ids.size() == group.asked.size(), "turn {} is not under way",
               turn);
  if (group.next_prompt < prompts_) return false;
  const auto sequences =
      std::ranges::count_if(group.rows, [](const Row& row) { return row.prompt >= 0; });
  if (static_cast<std::size_t>(sequences) != ids.size()) return false;
  for (std::size_t i = 0; i < ids.size(); ++i) {
    if (!end_of(group.rows[group.asked[i]], ids[i])) return false;
  }
  return true;
}

Work GenerationCore::take_turn(std::uint32_t round, Inbox& inbox) {
  Group& group = group_of(turn_);
  Work work;
  work.kind = WorkKind::forward;
  work.turn.group = static_cast<int>(turn_ % static_cast<std::uint32_t>(settings_.groups));
  work.turn.sampling = settings_.sampling;
  if (may_begin(group)) {
    begin_prompt(group, round, inbox, work);
  } else if (is_idle(group)) {
    const int places = settings_.groups * settings_.rows;
    work.turn.is_idle = true;
    work.turn.rows.push_back({.place = places, .begins = true, .capacity = 1});
  } else {
    decode(group, work);
  }
  group.is_asked = true;
  ++turn_;
  return work;
}

void GenerationCore::begin_prompt(Group& group, std::uint32_t round, Inbox& inbox, Work& work) {
  const auto free = std::ranges::find_if(group.rows, [](const Row& row) { return row.prompt < 0; });
  const auto index = static_cast<std::size_t>(free - group.rows.begin());
  const auto prompt = static_cast<std::uint32_t>(group.next_prompt);
  work.batch = std::get<Tokens>(inbox.take(tokens_key(round, prompt))).batch;
  const std::int64_t tokens = work.batch.sequence;
  const std::int64_t room = settings_.context_length - tokens;
  COLLIE_CHECK(work.batch.rows == 1 && tokens > 0 && room > 0, "prompt {} of {} tokens", prompt,
               tokens);
  *free = {.prompt = group.next_prompt, .position = tokens};
  group.next_prompt += settings_.groups;
  group.asked = {index};
  work.turn.rows.push_back({.place = work.turn.group * settings_.rows + static_cast<int>(index),
                            .begins = true,
                            .capacity = tokens + std::min(room, settings_.max_tokens)});
}

void GenerationCore::decode(Group& group, Work& work) {
  for (std::size_t index = 0; index < group.rows.size(); ++index) {
    Row& row = group.rows[index];
    if (row.prompt < 0) continue;
    group.asked.push_back(index);
    work.turn.rows.push_back({.place = work.turn.group * settings_.rows + static_cast<int>(index),
                              .id = row.id,
                              .position = row.position++});
  }
}

std::vector<GeneratedSequence> GenerationCore::take_generated() {
  return std::exchange(generated_, {});
}

std::string GenerationCore::describe() const {
  return fmt::format("turn {} of {} groups, {} not over", turn_, settings_.groups, groups_left_);
}

}  // namespace collie
