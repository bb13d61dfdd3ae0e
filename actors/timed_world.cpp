#include "actors/timed_world.hpp"

#include <algorithm>
#include <array>
#include <map>
#include <utility>

#include "actors/core_cast.hpp"

namespace collie {

namespace {

class EventWorld final : public TimedWorld {
 public:
  EventWorld(WorldOptions options, Executors executors, TimeModel times)
      : cast_(std::move(options), std::move(executors)), times_(std::move(times)) {
    free_s_.resize(cast_.rank_count(), {now_s_, now_s_});
  }

  double now_s() const override { return now_s_; }

  Result<RoundOutcome> round(const RoundRequest& request,
                             const std::optional<RoundRequest>& next) override {
    return cast_.round(
        request, next, [this](int from, Commands commands) { perform(from, std::move(commands)); },
        [this] { return step_once(); });
  }

 private:
  struct Event {
    int at = 0;  // a rank, the feeder or the trainer
    bool is_work = false;
    double begin_s = 0.0;  // of a work
    Command what;
  };

  bool step_once() {
    if (events_.empty()) return false;
    auto event = events_.extract(events_.begin());
    now_s_ = event.key().first;
    if (event.mapped().is_work) {
      finish_work(event.mapped());
    } else {
      perform(event.mapped().at,
              cast_.deliver(event.mapped().at, std::move(std::get<Send>(event.mapped().what))));
    }
    return true;
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
        event.at = cast_.place_of(std::get<Send>(event.what).to);
      }
      events_.emplace(std::pair(at_s, made_++), std::move(event));
    }
  }

  void finish_work(Event& event) {
    const auto note = [&](Completion& completion) {
      completion.begin_s = event.begin_s;
      completion.end_s = now_s_;
    };
    perform(event.at, cast_.execute(static_cast<std::size_t>(event.at),
                                    std::move(std::get<Work>(event.what)), note));
  }

  CoreCast cast_;
  TimeModel times_;
  double now_s_ = 1.0;                         // 0 is no time in traces
  std::vector<std::array<double, 2>> free_s_;  // of each rank: when stream and copies are free
  std::map<std::pair<double, std::uint64_t>, Event> events_;
  std::uint64_t made_ = 0;
};

}  // namespace

std::unique_ptr<TimedWorld> make_timed_world(WorldOptions options, Executors executors,
                                             TimeModel times) {
  return std::make_unique<EventWorld>(std::move(options), std::move(executors), std::move(times));
}

}  // namespace collie
