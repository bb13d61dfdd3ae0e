// Rotary frequencies from a configuration.
#include <cmath>
#include <numbers>
#include <string>

#include "models/families/family.hpp"

namespace collie {

namespace {

constexpr double factor_max = 1e6;
constexpr double theta_max = 1e12;

// As transformers computes them, in float32.
std::vector<double> plain_frequencies(double theta, std::int64_t head_dim) {
  std::vector<double> frequencies;
  for (std::int64_t index = 0; index < head_dim; index += 2) {
    const float exponent = static_cast<float>(index) / static_cast<float>(head_dim);
    frequencies.push_back(1.0F / std::pow(static_cast<float>(theta), exponent));
  }
  return frequencies;
}

Status scale_linear(const JsonReader& scaling, std::vector<double>& frequencies) {
  COLLIE_TRY(const double factor, scaling.get_number("factor", 1.0, factor_max));
  for (double& frequency : frequencies) frequency /= factor;
  return ok_status();
}

// Long waves are slowed by the factor, short ones kept, those between interpolated.
Status scale_llama3(const JsonReader& scaling, std::vector<double>& frequencies) {
  COLLIE_TRY(const double factor, scaling.get_number("factor", 1.0, factor_max));
  COLLIE_TRY(const double low, scaling.get_number("low_freq_factor", 1e-6, factor_max));
  COLLIE_TRY(const double high, scaling.get_number("high_freq_factor", 1e-6, factor_max));
  COLLIE_TRY(const std::int64_t original,
             scaling.get_int("original_max_position_embeddings", 1, limits::sequence_length_max));
  if (high <= low) return scaling.error("high_freq_factor", "must be above low_freq_factor");
  const auto old_context = static_cast<double>(original);
  for (double& frequency : frequencies) {
    const double wavelength = 2.0 * std::numbers::pi / frequency;
    if (wavelength > old_context / low) {
      frequency /= factor;
    } else if (wavelength >= old_context / high) {
      const double smooth = (old_context / wavelength - low) / (high - low);
      frequency = (1.0 - smooth) * frequency / factor + smooth * frequency;
    }
  }
  return ok_status();
}

Status apply_scaling(const JsonReader& scaling, std::vector<double>& frequencies) {
  const std::string_view key = scaling.has("rope_type") ? "rope_type" : "type";
  COLLIE_TRY(const std::string type, scaling.optional_string(key, "default"));
  if (type == "default") return ok_status();
  if (type == "linear") return scale_linear(scaling, frequencies);
  if (type == "llama3") return scale_llama3(scaling, frequencies);
  return unsupported_key(
      scaling, key,
      fmt::format("RoPE scaling {} is not supported, only default, linear and llama3",
                  describe_json(Json(type))));
}

}  // namespace

Status read_rotary(const JsonReader& config, ModelTraits& traits) {
  if (traits.head_dim % 2 != 0) {
    return config.error("head_dim",
                        fmt::format("must be even for rotary positions, is {}", traits.head_dim));
  }
  COLLIE_TRY(double theta, config.optional_number("rope_theta", 10000.0, 1.0, theta_max));
  COLLIE_TRY(const double partial, config.optional_number("partial_rotary_factor", 1.0, 0.0, 1.0));
  if (partial != 1.0) return unsupported_key(config, "partial_rotary_factor", "must be 1");
  for (const std::string_view key : {"rope_parameters", "rope_scaling"}) {
    if (!config.has(key)) continue;
    COLLIE_TRY(const JsonReader scaling, config.get_object(key));
    COLLIE_TRY(theta, scaling.optional_number("rope_theta", theta, 1.0, theta_max));
    COLLIE_TRY(const double part, scaling.optional_number("partial_rotary_factor", 1.0, 0.0, 1.0));
    if (part != 1.0) return unsupported_key(scaling, "partial_rotary_factor", "must be 1");
    traits.inverse_frequencies = plain_frequencies(theta, traits.head_dim);
    return apply_scaling(scaling, traits.inverse_frequencies);
  }
  traits.inverse_frequencies = plain_frequencies(theta, traits.head_dim);
  return ok_status();
}

}  // namespace collie
