#include "models/tokenizer/trainer.hpp"

#include <algorithm>
#include <queue>
#include <tuple>

namespace collie::tok {
namespace {

using Pair = std::uint64_t;  // left id in the upper half, so that pairs order as (left, right)

Pair make_pair_of(std::int32_t left, std::int32_t right) {
  return (static_cast<Pair>(static_cast<std::uint32_t>(left)) << 32) |
         static_cast<std::uint32_t>(right);
}

struct PairState {
  std::int64_t count = 0;
  std::vector<std::uint32_t> words;  // that may hold it; a word may be named twice
};

struct Candidate {
  std::int64_t count;
  Pair pair;
  bool operator<(const Candidate& other) const {  // the heap's top is the greatest
    return std::tie(count, other.pair) < std::tie(other.count, pair);
  }
};

class MergeLearner {
 public:
  MergeLearner(std::vector<CountedWord> words, std::vector<std::string>& tokens)
      : words_(std::move(words)), tokens_(tokens) {
    for (std::size_t id = 0; id < tokens_.size(); ++id) {
      ids_.emplace(tokens_[id], static_cast<std::int32_t>(id));
    }
    for (std::uint32_t w = 0; w < words_.size(); ++w) {
      const auto& symbols = words_[w].symbols;
      for (std::size_t i = 0; i + 1 < symbols.size(); ++i) {
        change(make_pair_of(symbols[i], symbols[i + 1]), words_[w].count, w);
      }
    }
    push_touched();
  }

  std::vector<LearnedMerge> run(std::size_t size_max) {
    std::vector<LearnedMerge> merges;
    while (tokens_.size() < size_max && !heap_.empty()) {
      Candidate top = heap_.top();
      heap_.pop();
      PairState& state = pairs_[top.pair];
      if (state.count != top.count) {  // it shrank since it was pushed
        if (state.count > 0) heap_.push({state.count, top.pair});
        continue;
      }
      const auto left = static_cast<std::int32_t>(top.pair >> 32);
      const auto right = static_cast<std::int32_t>(top.pair & 0xFFFFFFFFu);
      const std::int32_t id = id_of(tokens_[left] + tokens_[right]);
      merges.push_back({left, right, id});
      const std::vector<std::uint32_t> holders = std::move(state.words);
      state.words.clear();
      for (const std::uint32_t w : holders) merge_in(w, merges.back());
      // Whatever is left of the pair (aaa -> one merge) is counted out as well.
      pairs_[top.pair].count = 0;
      push_touched();
    }
    return merges;
  }

 private:
  std::int32_t id_of(const std::string& token) {
    const auto [it, is_new] = ids_.emplace(token, static_cast<std::int32_t>(tokens_.size()));
    if (is_new) tokens_.push_back(token);
    return it->second;
  }

  void change(Pair pair, std::int64_t by, std::uint32_t word) {
    PairState& state = pairs_[pair];
    state.count += by;
    if (by <= 0) return;
    if (state.words.empty() || state.words.back() != word) state.words.push_back(word);
    touched_.push_back(pair);
  }

  void push_touched() {
    std::sort(touched_.begin(), touched_.end());
    touched_.erase(std::unique(touched_.begin(), touched_.end()), touched_.end());
    for (const Pair pair : touched_) {
      if (const std::int64_t count = pairs_[pair].count; count > 0) heap_.push({count, pair});
    }
    touched_.clear();
  }

  void merge_in(std::uint32_t w, const LearnedMerge& merge) {
    auto& symbols = words_[w].symbols;
    const std::int64_t count = words_[w].count;
    std::size_t kept = 0;  // symbols[0, kept) are merged already
    for (std::size_t i = 0; i < symbols.size(); ++i) {
      if (i + 1 == symbols.size() || symbols[i] != merge.left || symbols[i + 1] != merge.right) {
        symbols[kept++] = symbols[i];
        continue;
      }
      if (kept > 0) {
        change(make_pair_of(symbols[kept - 1], merge.left), -count, w);
        change(make_pair_of(symbols[kept - 1], merge.id), count, w);
      }
      if (i + 2 < symbols.size()) {
        change(make_pair_of(merge.right, symbols[i + 2]), -count, w);
        change(make_pair_of(merge.id, symbols[i + 2]), count, w);
      }
      symbols[kept++] = merge.id;
      ++i;
    }
    symbols.resize(kept);
  }

  std::vector<CountedWord> words_;
  std::vector<std::string>& tokens_;
  std::unordered_map<std::string, std::int32_t> ids_;
  std::unordered_map<Pair, PairState> pairs_;
  std::vector<Pair> touched_;
  std::priority_queue<Candidate> heap_;
};

}  // namespace

std::vector<LearnedMerge> learn_merges(std::vector<CountedWord> words,
                                       std::vector<std::string>& tokens, std::size_t size_max) {
  return MergeLearner(std::move(words), tokens).run(size_max);
}

}  // namespace collie::tok
