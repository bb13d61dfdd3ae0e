// Learning the merges of a byte-level BPE from counted words.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

namespace collie::tok {

struct CountedWord {
  std::vector<std::int32_t> symbols;
  std::int64_t count = 0;
};

struct LearnedMerge {
  std::int32_t left;
  std::int32_t right;
  std::int32_t id;
};

// Merges the most frequent pair of neighbours (ties: the smaller ids) until `tokens` has size_max
// entries or no pair is left. tokens: the strings of the initial symbols, to which new ones are
// appended. The order is that of the tokenizers library's BpeTrainer. Time: about the total length
// of the distinct words, times the number of merges that touch each.
std::vector<LearnedMerge> learn_merges(std::vector<CountedWord> words,
                                       std::vector<std::string>& tokens, std::size_t size_max);

}  // namespace collie::tok
