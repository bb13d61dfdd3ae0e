// How good a model's answers are. A metric keeps one small row for each sample it was shown, keyed
// by the sample's place in the evaluation set. So a sample that comes twice (the padding of a last
// batch, a second replica) counts once, and the result is the same to the last bit however the
// samples were divided over replicas and batches.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/json.hpp"
#include "runtime/result.hpp"

namespace collie {

// What is known about one sample. Each metric reads the fields it names and refuses a sample that
// lacks them.
struct MetricSample {
  std::int64_t index = -1;  // place in the evaluation set, from 0

  // Generation: bleu, rouge, exact_match, decode. UTF-8, without special tokens.
  std::string prediction;
  std::vector<std::string> references;  // each is right; at least one

  // Classification: accuracy, classification. One entry for each thing that is classified (one for
  // a text, many for tags); a negative label is not counted, a negative prediction is no class.
  std::vector<std::int64_t> predicted_labels;
  std::vector<std::int64_t> labels;

  // Choice by likelihood: accuracy; labels[0] is the right option then. The log-likelihood of an
  // option is the sum over its tokens, in nats; the length acc_norm divides by is in characters.
  std::vector<double> option_log_likelihoods;
  std::vector<double> option_lengths;

  // Language modelling: perplexity.
  double loss_sum = 0.0;          // of the valid tokens, in nats
  std::int64_t valid_tokens = 0;  // those with a loss
};

struct MetricValue {
  std::string name;  // within the metric: "acc", "rouge1_f"
  double value = 0.0;
};

class Metric {
 public:
  virtual ~Metric() = default;

  // invalid_data for a sample that lacks a field, non_finite for numbers that are none.
  virtual Status update(std::span<const MetricSample> batch) = 0;
  // Takes over what another metric of the same name and options has seen.
  virtual void merge(const Metric& other) = 0;
  // invalid_data where no sample was seen.
  virtual Result<std::vector<MetricValue>> result() const = 0;
  virtual void reset() = 0;
  virtual std::int64_t sample_count() const = 0;
  // Writes what does not fit into values into this existing directory; most metrics have nothing.
  virtual Status save([[maybe_unused]] const std::string& directory) const { return ok_status(); }
};

// The names, in the order of the registry:
//   accuracy        acc, and acc_norm for options; correct, total
//   perplexity      loss, perplexity, tokens. options: none
//   bleu            bleu, bleu_macro (mean of sentence BLEU), precision_<n>, brevity_penalty,
//                   hypothesis_length, reference_length. options: tokenizer (13a, intl, char,
//                   none), smoothing (exp, floor, add-k, none), smooth_value, max_order (1 to 8)
//   rouge           <type>_p, _r, _f. options: types (rouge1 ... rouge9, rougeL, rougeLsum),
//                   stemmer (false)
//   classification  precision, recall, f_beta, and precision/<tag> ... for per_tag. options:
//                   average (macro, micro, weighted), beta (1), per_tag (false), tags (names of
//                   the labels 0, 1, ...; without it the labels that were seen)
//   exact_match     exact_match, and token_f1 with the normalisation. options: normalization
//                   (none, squad)
//   decode          samples, and decode.jsonl from save(). options: max_samples (0: all)
std::vector<std::string> metric_names();

// options is an object, or null for the defaults; source names it in messages. invalid_config for
// an unknown name or option (with the nearest known one) or a value out of range.
Result<std::unique_ptr<Metric>> make_metric(std::string_view name, const Json& options,
                                            std::string_view source);

}  // namespace collie
