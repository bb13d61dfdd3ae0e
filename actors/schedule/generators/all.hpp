// The generators by name, for the registry. See generators.hpp for what they are given; the bounds
// of their arguments have been checked by make_schedule.
#pragma once

#include "actors/schedule/generators.hpp"

namespace collie {

// Synchronous, one chunk per rank: simple.cpp
Result<Schedule> gpipe(const ScheduleOptions& options);
Result<Schedule> one_f_one_b(const ScheduleOptions& options);

// Several chunks per rank, looped: interleaved.cpp
Result<Schedule> interleaved(const ScheduleOptions& options);
Result<Schedule> looped_bfs(const ScheduleOptions& options);

// Split backwards: zero_bubble.cpp
Result<Schedule> zb_h1(const ScheduleOptions& options);
Result<Schedule> zb_h2(const ScheduleOptions& options);
Result<Schedule> interleaved_zb(const ScheduleOptions& options);

// Two chunks per rank, there and back again: v_shape.cpp
Result<Schedule> zbv(const ScheduleOptions& options);
Result<Schedule> dualpipev(const ScheduleOptions& options);

// Two replicas in opposite directions: bidirectional.cpp
Result<Schedule> dualpipe(const ScheduleOptions& options);
Result<Schedule> chimera(const ScheduleOptions& options);

// Zigzag: wave.cpp
Result<Schedule> hanayo(const ScheduleOptions& options);

// Micro-batches cut along the sequence: sequence.cpp
Result<Schedule> seq1f1b(const ScheduleOptions& options);

// No flush between updates: asynchronous.cpp
Result<Schedule> pipedream(const ScheduleOptions& options);
Result<Schedule> pipedream_vsync(const ScheduleOptions& options);
Result<Schedule> pipedream_2bw(const ScheduleOptions& options);
Result<Schedule> pipemare(const ScheduleOptions& options);
Result<Schedule> spectrain(const ScheduleOptions& options);
Result<Schedule> xpipe(const ScheduleOptions& options);
Result<Schedule> pipeoptim(const ScheduleOptions& options);
Result<Schedule> nesterov(const ScheduleOptions& options);
Result<Schedule> paci(const ScheduleOptions& options);

// Planned with costs under a memory cap: zero_bubble_auto.cpp, zbv_greedy.cpp
Result<Schedule> zb_auto(const ScheduleOptions& options);
Result<Schedule> zb_1p(const ScheduleOptions& options);
Result<Schedule> zb_2p(const ScheduleOptions& options);
Result<Schedule> zbv_greedy(const ScheduleOptions& options);

// From repeated building blocks: controllable_memory.cpp
Result<Schedule> v_half(const ScheduleOptions& options);
Result<Schedule> v_min(const ScheduleOptions& options);

}  // namespace collie
