// The generators by name, for the registry. See generators.hpp for what they are given; the bounds
// of their arguments have been checked by make_schedule.
#pragma once

#include "actors/schedule/generators.hpp"

namespace collie {

// Synchronous, one chunk per rank: simple.cpp
Result<Schedule> gpipe(const GeneratorOptions& options);
Result<Schedule> one_f_one_b(const GeneratorOptions& options);

// Several chunks per rank, looped: interleaved.cpp
Result<Schedule> interleaved(const GeneratorOptions& options);
Result<Schedule> looped_bfs(const GeneratorOptions& options);

// Split backwards: zero_bubble.cpp
Result<Schedule> zb_h1(const GeneratorOptions& options);
Result<Schedule> zb_h2(const GeneratorOptions& options);
Result<Schedule> interleaved_zb(const GeneratorOptions& options);

// Two chunks per rank, there and back again: v_shape.cpp
Result<Schedule> zbv(const GeneratorOptions& options);
Result<Schedule> dualpipev(const GeneratorOptions& options);

// Two replicas in opposite directions: bidirectional.cpp
Result<Schedule> dualpipe(const GeneratorOptions& options);
Result<Schedule> chimera(const GeneratorOptions& options);

// Zigzag: wave.cpp
Result<Schedule> hanayo(const GeneratorOptions& options);

// Micro-batches cut along the sequence: sequence.cpp
Result<Schedule> seq1f1b(const GeneratorOptions& options);

// No flush between updates: asynchronous.cpp
Result<Schedule> pipedream(const GeneratorOptions& options);
Result<Schedule> pipedream_vsync(const GeneratorOptions& options);
Result<Schedule> pipedream_2bw(const GeneratorOptions& options);
Result<Schedule> pipemare(const GeneratorOptions& options);
Result<Schedule> spectrain(const GeneratorOptions& options);
Result<Schedule> xpipe(const GeneratorOptions& options);
Result<Schedule> pipeoptim(const GeneratorOptions& options);
Result<Schedule> nesterov(const GeneratorOptions& options);
Result<Schedule> paci(const GeneratorOptions& options);

// Planned with costs under a memory cap: zero_bubble_auto.cpp, zbv_greedy.cpp
Result<Schedule> zb_auto(const GeneratorOptions& options);
Result<Schedule> zb_1p(const GeneratorOptions& options);
Result<Schedule> zb_2p(const GeneratorOptions& options);
Result<Schedule> zbv_greedy(const GeneratorOptions& options);

// From repeated building blocks: controllable_memory.cpp
Result<Schedule> v_half(const GeneratorOptions& options);
Result<Schedule> v_min(const GeneratorOptions& options);

}  // namespace collie
