#include "models/metrics/porter_stemmer.hpp"

#include <array>
#include <initializer_list>
#include <optional>
#include <utility>
#include <vector>

namespace collie::metrics {

namespace {

// Paper, section 2: a consonant is a letter other than a, e, i, o, u, and other than y after a
// consonant.
std::vector<bool> consonants_of(std::string_view word) {
  std::vector<bool> flags;
  for (std::size_t i = 0; i < word.size(); ++i) {
    const bool is_vowel = std::string_view("aeiou").find(word[i]) != std::string_view::npos;
    flags.push_back(word[i] == 'y' ? i == 0 || !flags[i - 1] : !is_vowel);
  }
  return flags;
}

// The m of [C](VC)^m[V].
int measure(std::string_view stem) {
  const std::vector<bool> flags = consonants_of(stem);
  int count = 0;
  for (std::size_t i = 1; i < flags.size(); ++i) count += !flags[i - 1] && flags[i] ? 1 : 0;
  return count;
}

bool has_measure(std::string_view stem) {
  return measure(stem) > 0;
}

bool is_long(std::string_view stem) {
  return measure(stem) > 1;
}

bool contains_vowel(std::string_view stem) {
  for (const bool is_consonant : consonants_of(stem)) {
    if (!is_consonant) return true;
  }
  return false;
}

bool ends_in_double_consonant(std::string_view word) {
  const std::size_t n = word.size();
  return n >= 2 && word[n - 1] == word[n - 2] && consonants_of(word)[n - 1];
}

// *o: the stem ends in consonant, vowel, consonant, the last of them not w, x or y; NLTK: or is a
// vowel and a consonant.
bool ends_in_cvc(std::string_view word) {
  const std::vector<bool> flags = consonants_of(word);
  const std::size_t n = word.size();
  if (n == 2) return !flags[0] && flags[1];
  return n >= 3 && flags[n - 3] && !flags[n - 2] && flags[n - 1] &&
         std::string_view("wxy").find(word[n - 1]) == std::string_view::npos;
}

std::string joined(std::string_view stem, std::string_view suffix) {
  return std::string(stem).append(suffix);
}

struct Rule {
  std::string_view suffix;
  std::string_view replacement;
};

// The first rule whose suffix the word has decides, also when its condition does not hold.
template <class Condition>
std::string apply(std::string_view word, std::initializer_list<Rule> rules,
                  const Condition& condition) {
  for (const Rule& rule : rules) {
    if (!word.ends_with(rule.suffix)) continue;
    const std::string_view stem = word.substr(0, word.size() - rule.suffix.size());
    return condition(stem, rule) ? joined(stem, rule.replacement) : std::string(word);
  }
  return std::string(word);
}

bool has_measure_rule(std::string_view stem, const Rule&) {
  return has_measure(stem);
}

std::string step_1a(const std::string& word) {
  if (word.ends_with("ies") && word.size() == 4) return word.substr(0, 3);
  return apply(word, {{"sses", "ss"}, {"ies", "i"}, {"ss", "ss"}, {"s", ""}},
               [](std::string_view, const Rule&) { return true; });
}

// What follows a removed -ed or -ing.
std::string tidy_stem(std::string_view stem) {
  for (const std::string_view suffix : {"at", "bl", "iz"}) {
    if (stem.ends_with(suffix)) return joined(stem, "e");
  }
  if (ends_in_double_consonant(stem)) {
    const bool stays = std::string_view("lsz").find(stem.back()) != std::string_view::npos;
    return std::string(stays ? stem : stem.substr(0, stem.size() - 1));
  }
  return measure(stem) == 1 && ends_in_cvc(stem) ? joined(stem, "e") : std::string(stem);
}

std::string step_1b(const std::string& word) {
  const std::string_view view = word;
  if (view.ends_with("ied")) {
    return joined(view.substr(0, view.size() - 3), view.size() == 4 ? "ie" : "i");
  }
  if (view.ends_with("eed")) {
    const std::string_view stem = view.substr(0, view.size() - 3);
    return has_measure(stem) ? joined(stem, "ee") : word;
  }
  for (const std::string_view suffix : {"ed", "ing"}) {
    if (!view.ends_with(suffix)) continue;
    const std::string_view stem = view.substr(0, view.size() - suffix.size());
    if (contains_vowel(stem)) return tidy_stem(stem);
  }
  return word;
}

std::string step_1c(const std::string& word) {
  return apply(word, {{"y", "i"}}, [](std::string_view stem, const Rule&) {
    return stem.size() > 1 && consonants_of(stem).back();
  });
}

std::string step_2(const std::string& word) {
  const std::string_view view = word;
  if (view.ends_with("alli") && has_measure(view.substr(0, view.size() - 4))) {
    return step_2(joined(view.substr(0, view.size() - 4), "al"));
  }
  return apply(word,
               {{"ational", "ate"}, {"tional", "tion"}, {"enci", "ence"},   {"anci", "ance"},
                {"izer", "ize"},    {"bli", "ble"},     {"alli", "al"},     {"entli", "ent"},
                {"eli", "e"},       {"ousli", "ous"},   {"ization", "ize"}, {"ation", "ate"},
                {"ator", "ate"},    {"alism", "al"},    {"iveness", "ive"}, {"fulness", "ful"},
                {"ousness", "ous"}, {"aliti", "al"},    {"iviti", "ive"},   {"biliti", "ble"},
                {"fulli", "ful"},   {"logi", "log"}},
               [&](std::string_view stem, const Rule& rule) {
                 // The l of -logi counts with the stem, so that geology goes the way of
                 // archaeology.
                 return has_measure(rule.suffix == "logi" ? view.substr(0, view.size() - 3) : stem);
               });
}

std::string step_3(const std::string& word) {
  return apply(word,
               {{"icate", "ic"},
                {"ative", ""},
                {"alize", "al"},
                {"iciti", "ic"},
                {"ical", "ic"},
                {"ful", ""},
                {"ness", ""}},
               has_measure_rule);
}

std::string step_4(const std::string& word) {
  return apply(word,
               {{"al", ""},
                {"ance", ""},
                {"ence", ""},
                {"er", ""},
                {"ic", ""},
                {"able", ""},
                {"ible", ""},
                {"ant", ""},
                {"ement", ""},
                {"ment", ""},
                {"ent", ""},
                {"ion", ""},
                {"ou", ""},
                {"ism", ""},
                {"ate", ""},
                {"iti", ""},
                {"ous", ""},
                {"ive", ""},
                {"ize", ""}},
               [](std::string_view stem, const Rule& rule) {
                 if (!is_long(stem)) return false;
                 return rule.suffix != "ion" || stem.back() == 's' || stem.back() == 't';
               });
}

std::string step_5(const std::string& word) {
  std::string_view rest = word;
  if (rest.ends_with('e')) {
    const std::string_view stem = rest.substr(0, rest.size() - 1);
    if (is_long(stem) || (measure(stem) == 1 && !ends_in_cvc(stem))) rest = stem;
  }
  if (rest.ends_with("ll") && is_long(rest.substr(0, rest.size() - 1))) rest.remove_suffix(1);
  return std::string(rest);
}

std::optional<std::string_view> irregular_stem(std::string_view word) {
  static constexpr std::array<std::pair<std::string_view, std::string_view>, 16> forms = {{
      {"sky", "sky"},
      {"skies", "sky"},
      {"dying", "die"},
      {"lying", "lie"},
      {"tying", "tie"},
      {"news", "news"},
      {"innings", "inning"},
      {"inning", "inning"},
      {"outings", "outing"},
      {"outing", "outing"},
      {"cannings", "canning"},
      {"canning", "canning"},
      {"howe", "howe"},
      {"proceed", "proceed"},
      {"exceed", "exceed"},
      {"succeed", "succeed"},
  }};
  for (const auto& [form, stem] : forms) {
    if (form == word) return stem;
  }
  return std::nullopt;
}

}  // namespace

std::string porter_stem(std::string_view word) {
  if (const auto stem = irregular_stem(word)) return std::string(*stem);
  if (word.size() <= 2) return std::string(word);
  return step_5(step_4(step_3(step_2(step_1c(step_1b(step_1a(std::string(word))))))));
}

}  // namespace collie::metrics
