#include "actors/timed_world.hpp"

#include <algorithm>
#include <array>
#include <map>

namespace collie {

namespace {

constexpr int timed_trainer = -2, timed_feeder = -1;  // ranks count from 0

class EventWorld final : public TimedWorld {
 public:
  EventWorld(WorldOptions options, Executors executors, TimeModel times)
      : options_(std::move(options)),
        executors_(std::move(executors)),
        times_(std::move(times)),
        trainer_(options_.run, 0, options_.grid, options_.post_validates),
        feeder_(options_.run, 0, options_.grid, options_.batches, group_of(options_.schedule),
                options_.schedule.slices),
        hosts_(hosts_of_shards(options_.grid, options_.schedule)) {
    check_executors(options_, executors_);
    for (RankCoreConfig& config : rank_core_configs(options_, executors_)) {
      ranks_.emplace_back(std::move(config));
    }
    free_s_.resize(ranks_.size(), {now_s_, now_s_});
  }

  double now_s() const override { return now_s_; }

  Result<RoundOutcome> round(const RoundRequest& request,
                             const std::optional<RoundRequest>& next) override {
    if (broken_) return *broken_;
    Commands commands;
    trainer_.begin(request, commands, next);
    perform(timed_trainer, std::move(commands));
    while (true) {
      if (auto outcome = trainer_.take_outcome()) {
        if (!*outcome && outcome->error().code != ErrorCode::non_finite) broken_ = outcome->error();
        return std::move(*outcome);
      }
      if (events_.empty()) {
        broken_ = make_error(ErrorCode::lost, "nothing can happen: {}", trainer_.describe());
        return *broken_;
      }
      auto event = events_.extract(events_.begin());
      now_s_ = event.key().first;
      if (event.mapped().is_work) {
        finish_work(event.mapped());
      } else {
        deliver(event.mapped());
      }
    }
  }

 private:
  struct Event {
    int at = 0;  // a rank, the feeder or the trainer
    bool is_work = false;
    double begin_s = 0.0;  // of a work
    Command what;
  };

  int place_of(const Address& address) const {
    if (address.role == Role::trainer) return timed_trainer;
    if (address.role == Role::feeder) return timed_feeder;
    const int shard = index_of(options_.grid, address.shard);
    return static_cast<int>(hosts_[static_cast<std::size_t>(shard)]);
  }

  void perform(int from, Commands commands) {
    for (Command& command : commands) {
      Event event{from, false, now_s_, std::move(command)};
      double at_s = now_s_ + times_.message_s;
      if (const auto* work = std::get_if<Work>(&event.what)) {
        event.is_work = true;
        const std::size_t lane = work->kind == WorkKind::fetch ? 1 : 0;
        double& free_s = free_s_[static_cast<std::size_t>(from)][lane];
        event.begin_s = std::max(now_s_, free_s);
        at_s = free_s = event.begin_s + times_.seconds(*work);
      } else {
        event.at = place_of(std::get<Send>(event.what).to);
      }
      events_.emplace(std::pair(at_s, made_++), std::move(event));
    }
  }

  void deliver(Event& event) {
    Send& send = std::get<Send>(event.what);
    Commands commands;
    if (event.at == timed_trainer) {
      trainer_.receive(std::move(send.message), commands);
    } else if (event.at == timed_feeder) {
      feeder_.receive(send.message, commands);
    } else {
      ranks_[static_cast<std::size_t>(event.at)].receive(send.to.shard, std::move(send.message),
                                                         commands);
    }
    perform(event.at, std::move(commands));
  }

  void finish_work(Event& event) {
    Work work = std::move(std::get<Work>(event.what));
    Commands commands;
    const auto shard = static_cast<std::size_t>(index_of(options_.grid, work.shard));
    executors_[shard]->execute(std::move(work), [&](Completion completion) {
      completion.begin_s = event.begin_s;
      completion.end_s = now_s_;
      ranks_[static_cast<std::size_t>(event.at)].completed(std::move(completion), commands);
    });
    perform(event.at, std::move(commands));
  }

  WorldOptions options_;
  Executors executors_;
  TimeModel times_;
  TrainerCore trainer_;
  FeederCore feeder_;
  std::vector<std::size_t> hosts_;  // of each shard: its rank
  std::vector<RankCore> ranks_;
  double now_s_ = 1.0;                         // 0 is no time in traces
  std::vector<std::array<double, 2>> free_s_;  // of each rank: when stream and copies are free
  std::map<std::pair<double, std::uint64_t>, Event> events_;
  std::uint64_t made_ = 0;
  std::optional<Error> broken_;
};

}  // namespace

std::unique_ptr<TimedWorld> make_timed_world(WorldOptions options, Executors executors,
                                             TimeModel times) {
  return std::make_unique<EventWorld>(std::move(options), std::move(executors), std::move(times));
}

}  // namespace collie
