#include <fmt/ranges.h>

#include "actors/schedule/text_parts.hpp"
#include "runtime/limits.hpp"
#include "runtime/suggest.hpp"

namespace collie {

namespace {

// The next "key=", of which the cursor is left behind the '='; nothing where something else stands.
std::optional<std::string_view> read_option(TextCursor& cursor) {
  cursor.skip_space();
  const std::size_t at = cursor.at();
  const std::string_view key = cursor.word();
  if (!key.empty() && cursor.take('=')) return key;
  cursor.go_to(at);
  return std::nullopt;
}

Error unknown_option(const TextCursor& cursor, std::string_view key,
                     std::span<const std::string> known) {
  std::string hint = did_you_mean(key, known);
  if (hint.empty()) hint = fmt::format("; known are {}", fmt::join(known, ", "));
  return cursor.error_at(cursor.at() - key.size() - 1, "unknown option {}{}", quoted_name(key),
                         hint);
}

// The text of an expression: a word, or with blanks in it between braces.
Result<std::string> read_bound(TextCursor& cursor, std::optional<std::size_t>& place) {
  const bool is_braced = cursor.take('{');
  const std::size_t begin = cursor.at();
  place = begin;
  if (!is_braced) return std::string(cursor.token());
  const std::string_view rest = cursor.rest().substr(0, limits::expression_bytes_max + 1);
  const std::size_t end = rest.find_first_of("}\n");
  if (end == rest.npos || rest[end] == '\n') {
    return cursor.error_at(begin - 1, "the expression's closing '}}' is missing");
  }
  cursor.go_to(begin + end + 1);
  return std::string(rest.substr(0, end));
}

}  // namespace

Status read_channel(TextCursor& cursor, Channel& channel) {
  static const std::array<std::string, 1> known = {"credit"};
  COLLIE_TRY(const std::size_t kind, read_choice(cursor, channel_words, "channel"));
  channel.kind = static_cast<ChannelKind>(kind);
  if (channel.kind == ChannelKind::rendezvous) channel.credit = 0;
  while (const auto key = read_option(cursor)) {
    if (*key != known[0]) return unknown_option(cursor, *key, known);
    COLLIE_TRY_VOID(
        read_number_within(cursor, channel.credit, "credit", 0, limits::schedule_credit_max));
  }
  return ok_status();
}

Status read_versions(TextCursor& cursor, Versions& versions) {
  static const std::array<std::string, 6> known = {"forward",    "backward", "correction",
                                                   "step-every", "warm-up",  "anneal-steps"};
  while (const auto key = read_option(cursor)) {
    if (*key == "forward" || *key == "backward") {
      COLLIE_TRY(const std::size_t rule, read_choice(cursor, version_rule_words, "version rule"));
      (*key == "forward" ? versions.forward : versions.backward) = static_cast<VersionRule>(rule);
    } else if (*key == "correction") {
      COLLIE_TRY(const std::size_t kind, read_choice(cursor, correction_words, "correction"));
      versions.correction = static_cast<Correction>(kind);
    } else if (std::ranges::find(known.begin() + 3, known.end(), *key) != known.end()) {
      int& field = *key == "warm-up"      ? versions.warm_up_steps
                   : *key == "step-every" ? versions.step_every
                                          : versions.anneal_steps;
      COLLIE_TRY_VOID(read_number_within(cursor, field, *key, 0, limits::micro_batches_max));
    } else {
      return unknown_option(cursor, *key, known);
    }
  }
  return ok_status();
}

Status read_policy(TextCursor& cursor, Policy& policy) {
  static const std::array<std::string, 1> known = {"in-flight"};
  constexpr std::array kinds = {Verb::forward, Verb::backward_input, Verb::backward_weight,
                                Verb::backward};
  while (true) {
    if (const auto key = read_option(cursor)) {
      if (*key != known[0]) return unknown_option(cursor, *key, known);
      COLLIE_TRY_VOID(
          read_number_within(cursor, policy.in_flight, "in-flight", 0, limits::micro_batches_max));
      break;
    }
    const std::size_t at = cursor.at();
    const std::string_view word = cursor.word();
    const auto kind = std::ranges::find(kinds, word, letter);
    if (kind == kinds.end()) {
      cursor.go_to(at);
      break;
    }
    if (std::ranges::find(policy.priority, *kind) != policy.priority.end()) {
      return cursor.error_at(at, "{} is in the policy a second time", word);
    }
    policy.priority.push_back(*kind);
  }
  if (policy.decides()) return ok_status();
  return cursor.error_at(cursor.at(), "a policy is kinds of actions by priority: 'I W B F'");
}

Result<BoundPlaces> read_contract(TextCursor& cursor, Contract& contract) {
  static const std::array<std::string, 3> known = {"staleness", "mismatch", "versions"};
  const std::array<std::string*, 3> fields = {&contract.staleness, &contract.mismatch,
                                              &contract.versions};
  BoundPlaces places;
  cursor.skip_space();
  const std::size_t at = cursor.at();
  contract.synchronous = cursor.word() == "synchronous";
  if (!contract.synchronous) cursor.go_to(at);
  while (const auto key = read_option(cursor)) {
    const auto found = std::ranges::find(known, *key);
    if (found == known.end()) return unknown_option(cursor, *key, known);
    const auto index = static_cast<std::size_t>(found - known.begin());
    COLLIE_TRY(*fields[index], read_bound(cursor, places[index]));
  }
  if (contract.synchronous || places != BoundPlaces{}) return places;
  return cursor.error_at(
      at, "a contract is 'synchronous', or 'staleness=EXPR mismatch=EXPR versions=EXPR'");
}

}  // namespace collie
