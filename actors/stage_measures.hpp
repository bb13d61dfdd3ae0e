// What a stage says of its gradients and its parameters at the end of a step. From inside work
// submitted to the stream.
#pragma once

#include <span>

#include "actors/messages.hpp"
#include "models/parameters.hpp"

namespace collie {

// Of each owned parameter; the first that is not finite is named. of_turns: the squares, by
// parameter, of those whose gradients take turns and are gone. With ZeRO a parameter of another
// replica's share counts as 0.
void measure_gradients(Stream& stream, const Parameters& parameters, RoundReport& report,
                       std::span<const double> of_turns = {});

// A sum over parameters of a hash of name and bytes: the same however the layers are divided into
// stages, because addition forgets the order.
std::uint64_t hash_of(const Parameters& parameters);

}  // namespace collie
