#include "actors/core_cast.hpp"

#include <utility>

namespace collie {

CoreCast::CoreCast(WorldOptions options, Executors executors)
    : options_(std::move(options)),
      executors_(std::move(executors)),
      trainer_(options_.run, 0, options_.grid, options_.post_validates),
      feeder_(options_.run, 0, options_.grid, options_.batches, group_of(options_.schedule),
              options_.schedule.slices),
      hosts_(hosts_of_shards(options_.grid, options_.schedule)) {
  check_executors(options_, executors_);
  for (RankCoreConfig& config : rank_core_configs(options_, executors_)) {
    ranks_.emplace_back(std::move(config));
  }
}

int CoreCast::place_of(const Address& address) const {
  if (address.role == Role::trainer) return trainer_place;
  if (address.role == Role::feeder) return feeder_place;
  const int shard = index_of(options_.grid, address.shard);
  return static_cast<int>(hosts_[static_cast<std::size_t>(shard)]);
}

Commands CoreCast::deliver(int place, Send send) {
  Commands commands;
  if (place == trainer_place) {
    trainer_.receive(std::move(send.message), commands);
  } else if (place == feeder_place) {
    feeder_.receive(send.message, commands);
  } else {
    ranks_[static_cast<std::size_t>(place)].receive(send.to.shard, std::move(send.message),
                                                    commands);
  }
  return commands;
}

Commands CoreCast::execute(std::size_t rank, Work work,
                           const std::function<void(Completion&)>& note) {
  Commands commands;
  const auto shard = static_cast<std::size_t>(index_of(options_.grid, work.shard));
  executors_[shard]->execute(std::move(work), [&](Completion completion) {
    if (note) note(completion);
    ranks_[rank].completed(std::move(completion), commands);
  });
  return commands;
}

Result<RoundOutcome> CoreCast::round(const RoundRequest& request,
                                     const std::optional<RoundRequest>& next,
                                     const std::function<void(int, Commands)>& perform,
                                     const std::function<bool()>& step_once) {
  if (broken_) return *broken_;
  Commands commands;
  trainer_.begin(request, commands, next);
  perform(trainer_place, std::move(commands));
  while (true) {
    if (auto outcome = trainer_.take_outcome()) {
      if (!*outcome && outcome->error().code != ErrorCode::non_finite) broken_ = outcome->error();
      return std::move(*outcome);
    }
    if (!step_once()) broken_ = stuck();
    if (broken_) return *broken_;
  }
}

Error CoreCast::stuck() const {
  std::string who;
  for (const RankCore& rank : ranks_) who += fmt::format("; {}", rank.describe());
  return make_error(ErrorCode::lost, "nothing can happen any more: {}{}", trainer_.describe(), who);
}

}  // namespace collie
